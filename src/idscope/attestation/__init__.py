"""Whether a device is what it claims to be. Pure: a claim, what is stored, and the time go in; a verdict comes out."""

from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates, GroupCandidate, LookupKeys, lookup_keys
from idscope.attestation.precedence import judge
from idscope.attestation.verdict import Authenticated, Challenge, Proof, Refused, Verdict

__all__ = [
    "Authenticated",
    "Candidates",
    "Challenge",
    "Claim",
    "GroupCandidate",
    "LookupKeys",
    "Proof",
    "Refused",
    "Verdict",
    "judge",
    "lookup_keys",
]
