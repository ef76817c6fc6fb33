"""Owns the signature of a certificate: by which algorithm it was made, whether a key made it, and what it costs to find
out. It must not know whose key it is.

quirk: the library verifies whatever it is asked to, and compares neither the two places that name the algorithm nor
the algorithm with the kind of key.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from idscope.security.der import element

MAX_RSA_BITS: Final = 16384
# OpenSSL's own limit for large keys; without it one signature check of a small key may take a second.
MAX_RSA_EXPONENT_BITS: Final = 64
_ORDINARY_RSA_BITS: Final = 2048
_ORDINARY_EXPONENT_BITS: Final = 17  # of 65537
_VERSION_TAG: Final = 0xA0

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
Parameters = padding.PKCS1v15 | padding.PSS | ec.ECDSA | None

_PKCS1: Final = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_MD5,
        SignatureAlgorithmOID.RSA_WITH_SHA1,
        SignatureAlgorithmOID.RSA_WITH_SHA224,
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSA_WITH_SHA3_224,
        SignatureAlgorithmOID.RSA_WITH_SHA3_256,
        SignatureAlgorithmOID.RSA_WITH_SHA3_384,
        SignatureAlgorithmOID.RSA_WITH_SHA3_512,
    }
)
_ECDSA: Final = frozenset(
    {
        SignatureAlgorithmOID.ECDSA_WITH_SHA1,
        SignatureAlgorithmOID.ECDSA_WITH_SHA224,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
        SignatureAlgorithmOID.ECDSA_WITH_SHA3_224,
        SignatureAlgorithmOID.ECDSA_WITH_SHA3_256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA3_384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA3_512,
    }
)
T = TypeVar("T")


class TwoAlgorithms(ValueError):
    """What stands beside the signature is not what was signed."""


class Signature(msgspec.Struct, frozen=True, eq=False):
    """`signed`: the bytes it was made over. `algorithm`: an OID. `hash` and `parameters` are None where the algorithm
    has none, or none that is used here."""

    signed: bytes
    value: bytes
    algorithm: str
    hash: hashes.HashAlgorithm | None
    parameters: Parameters


def read_signature(der: bytes, certificate: x509.Certificate) -> Signature:
    """Raises TwoAlgorithms."""
    signed = certificate.tbs_certificate_bytes
    if not _names_one_algorithm(der, signed):
        raise TwoAlgorithms
    return Signature(
        signed=signed,
        value=certificate.signature,
        algorithm=certificate.signature_algorithm_oid.dotted_string,
        hash=_supported(lambda: certificate.signature_hash_algorithm),
        parameters=_supported(lambda: _parameters(certificate)),
    )


def is_made_by(signature: Signature, key: PublicKey | None) -> bool:
    """Whether the key made it, by the algorithm that the certificate names."""
    try:
        return _verify(signature, key)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False


def _verify(signature: Signature, key: PublicKey | None) -> bool:
    """True where the algorithm is one for this kind of key; raises where the signature is wrong."""
    value, signed, parameters = signature.value, signature.signed, signature.parameters
    match key:
        case rsa.RSAPublicKey() if isinstance(parameters, padding.PKCS1v15 | padding.PSS):
            if signature.hash is None or not is_bounded(key):
                return False
            key.verify(value, signed, parameters, signature.hash)
        case ec.EllipticCurvePublicKey() if isinstance(parameters, ec.ECDSA):
            key.verify(value, signed, parameters)
        case ed25519.Ed25519PublicKey() if signature.algorithm == SignatureAlgorithmOID.ED25519.dotted_string:
            key.verify(value, signed)
        case ed448.Ed448PublicKey() if signature.algorithm == SignatureAlgorithmOID.ED448.dotted_string:
            key.verify(value, signed)
        case _:
            return False
    return True


def is_bounded(key: rsa.RSAPublicKey) -> bool:
    """Whether a signature check with this key takes no unreasonable time."""
    return key.key_size <= MAX_RSA_BITS and key.public_numbers().e.bit_length() <= MAX_RSA_EXPONENT_BITS


def names_its_curve(key: bytes, signed: bytes) -> bool:
    """Whether the certificate names the curve of its key, as RFC 5480, 2.1.1 wants it: parameters that are spelled out
    may be almost those of a curve. `key` has it named; the library reads both forms and tells neither."""
    start, _ = element(key, 0)
    return key[start : element(key, start)[1]] in signed


def signature_work(key: PublicKey | None) -> int:
    """What a check with this key takes, in units of an ordinary one (RSA-2048, or any curve); by the sizes, which is
    more than is measured."""
    if not isinstance(key, rsa.RSAPublicKey) or not is_bounded(key):
        return 1
    size, exponent = key.key_size / _ORDINARY_RSA_BITS, key.public_numbers().e.bit_length() / _ORDINARY_EXPONENT_BITS
    return max(1, math.ceil(size * size * exponent))


def _names_one_algorithm(der: bytes, signed: bytes) -> bool:
    """RFC 5280, 4.1.1.2: what stands beside the signature is what was signed. The library does not compare them."""
    at, _ = element(signed, 0)
    if signed[at] == _VERSION_TAG:
        _, at = element(signed, at)
    _, at = element(signed, at)  # the serial number
    _, end = element(signed, at)
    beside = element(der, 0)[0] + len(signed)
    return der[beside : element(der, beside)[1]] == signed[at:end]


def _parameters(certificate: x509.Certificate) -> Parameters:
    """quirk: the library names none beside a hash that it would not sign with (MD5, SHA-1)."""
    algorithm = certificate.signature_algorithm_oid
    if algorithm in _PKCS1:
        return padding.PKCS1v15()
    if algorithm in _ECDSA and certificate.signature_hash_algorithm is not None:
        return ec.ECDSA(certificate.signature_hash_algorithm)
    return certificate.signature_algorithm_parameters


def _supported(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (UnsupportedAlgorithm, ValueError):
        return None
