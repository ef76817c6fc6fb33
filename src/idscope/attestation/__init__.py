"""Whether a device is what it claims to be. Pure: a claim, what is stored, and the time go in; a verdict comes out."""

from idscope.attestation.authorities import (
    NO_AUTHORITIES,
    Authorities,
    CaCertificate,
    client_thumbprints,
    known_authorities,
)
from idscope.attestation.claim import Claim
from idscope.attestation.diagnosis import diagnose
from idscope.attestation.lookup import Candidates, GroupCandidate, LookupKeys, lookup_keys
from idscope.attestation.precedence import judge
from idscope.attestation.rules import AttestationRules
from idscope.attestation.tpm import challenge_first
from idscope.attestation.tpm_nonces import TpmNonces, new_nonce
from idscope.attestation.verdict import Authenticated, Challenge, Proof, Refused, Verdict

__all__ = [
    "NO_AUTHORITIES",
    "AttestationRules",
    "Authenticated",
    "Authorities",
    "CaCertificate",
    "Candidates",
    "Challenge",
    "Claim",
    "GroupCandidate",
    "LookupKeys",
    "Proof",
    "Refused",
    "TpmNonces",
    "Verdict",
    "challenge_first",
    "client_thumbprints",
    "diagnose",
    "judge",
    "known_authorities",
    "lookup_keys",
    "new_nonce",
]
