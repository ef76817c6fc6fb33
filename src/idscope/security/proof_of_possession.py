"""Owns the proof that somebody holds the private key of a CA certificate: the code, and the judging of a certificate
that names it. It must not know where either is kept."""

from __future__ import annotations

import secrets
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from idscope.errors import ProofOfPossessionFailed
from idscope.security.certificates import distinguished_name

_CODE_BYTES: Final = 24  # 48 characters (observed)


def new_verification_code() -> str:
    return secrets.token_hex(_CODE_BYTES).upper()


def check_proof(authority: x509.Certificate, proof: x509.Certificate, code: str) -> None:
    """Whether the proof names the code and was signed with the authority's key; raises ProofOfPossessionFailed.

    Neither its dates nor its extensions count, nor its X.509 version: the code is fresh and random, so only who holds
    the key now can have signed it.
    """
    named = common_name(proof)
    if named != code:
        raise ProofOfPossessionFailed(
            "Proof-Of-Possession failed. The common name (CN) of the verification certificate is not the verification "
            "code that was generated last."
        )
    try:
        proof.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise ProofOfPossessionFailed(
            "Proof-Of-Possession failed. The verification certificate was not issued by "
            f"'{distinguished_name(authority.subject)}' with the key of the uploaded certificate."
        ) from None


def common_name(certificate: x509.Certificate) -> str | None:
    """The value of the subject's first common name."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else None
