"""Owns what must hold for a path of certificates to be believed: RFC 5280, section 6.1, of what is present, and which
keys and hashes count as weak. It must not know what the path is for.

Absent key usage and key identifiers and a leaf of X.509 version 1 are accepted (observed of the real service). What
is present must hold.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from idscope.clock import format_time
from idscope.refusal import Cause
from idscope.security.certificate_chain import Path
from idscope.security.chain_certificate import ChainCertificate, ChainRefused
from idscope.security.chain_signature import is_bounded

_MIN_RSA_BITS: Final = 2048
_MIN_CURVE_BITS: Final = 224
_WEAK_HASHES: Final = frozenset({"md5", "sha1"})
_CLIENT_PURPOSES: Final = frozenset(
    {ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string}
)


class RuleBroken(ChainRefused):
    """What a certificate of the path is, or says of itself, and may not."""

    default_cause = Cause.CERTIFICATE_AGAINST_RULES


def check_path(path: Path, now: int, *, refuse_weak: bool = True) -> None:
    """`path` leads from the leaf to the certificate that is trusted, signatures already found good.

    Raises RuleBroken. The last one is trusted as it is stored here: its own signature is not looked at, unless it
    is the leaf.
    """
    for position, certificate in enumerate(path):
        _check_certificate(certificate, now)
        if position:
            _check_issuer(certificate, _intermediates(path[1:position]))
        else:
            _check_leaf(certificate)
        if refuse_weak:
            _check_key_strength(certificate)
            if position == 0 or position < len(path) - 1:
                _check_hash_strength(certificate)
    for child, issuer in pairwise(path):
        if child.issuer != issuer.subject:
            raise RuleBroken(
                f"{child.name} was signed with the key of {issuer.name}, but names {child.issuer_name} as its issuer"
            )


def _check_certificate(certificate: ChainCertificate, now: int) -> None:
    if now < certificate.not_before:
        raise RuleBroken(
            f"{certificate.name} is not valid before {format_time(certificate.not_before)}, "
            f"server time {format_time(now)}",
            Cause.CERTIFICATE_NOT_YET_VALID,
        )
    if now > certificate.not_after:
        raise RuleBroken(
            f"{certificate.name} expired at {format_time(certificate.not_after)}, server time {format_time(now)}",
            Cause.CERTIFICATE_EXPIRED,
        )
    if certificate.not_understood:
        oids = ", ".join(certificate.not_understood[:3])
        raise RuleBroken(f"{certificate.name} has a critical extension that is not understood here: {oids}")
    if certificate.constraints:
        oids = ", ".join(certificate.constraints)
        raise RuleBroken(f"{certificate.name} constrains names or policies, which is not worked out here: {oids}")
    key = certificate.public_key
    if key is None or (isinstance(key, rsa.RSAPublicKey) and not is_bounded(key)):
        raise RuleBroken(f"the key of {certificate.name} is of a kind or size that is not accepted")


def _check_leaf(leaf: ChainCertificate) -> None:
    """RFC 8446, 4.4.2.2, and RFC 5280, 4.2.1.12: who restricts a key to other uses does not want this one."""
    if leaf.key_usage is not None and not leaf.key_usage.digital_signature:
        raise RuleBroken(f"the key usage of {leaf.name} leaves digitalSignature out")
    _check_purposes(leaf)


def _check_purposes(certificate: ChainCertificate) -> None:
    """Of an issuer, too: an authority for servers is none for devices. RFC 5280 is silent, OpenSSL asks the same."""
    if certificate.purposes is not None and not certificate.purposes & _CLIENT_PURPOSES:
        raise RuleBroken(f"the extended key usage of {certificate.name} leaves clientAuth out")


def _check_issuer(issuer: ChainCertificate, below: int) -> None:
    """`below`: how many intermediates stand between the leaf and it, self-issued ones not counted (4.2.1.9)."""
    if issuer.is_authority is None:
        raise RuleBroken(f"{issuer.name} has no basic constraints, so it may not issue certificates")
    if not issuer.is_authority:
        raise RuleBroken(f"{issuer.name} is no certificate authority: its basic constraints say CA:FALSE")
    if issuer.key_usage is not None and not issuer.key_usage.key_cert_sign:
        raise RuleBroken(f"the key usage of {issuer.name} leaves keyCertSign out")
    _check_purposes(issuer)
    if issuer.path_length is not None and below > issuer.path_length:
        raise RuleBroken(
            f"{issuer.name} allows {issuer.path_length} intermediate certificates below it, here are {below}"
        )


def _intermediates(between: Path) -> int:
    return sum(each.subject != each.issuer for each in between)


def _check_key_strength(certificate: ChainCertificate) -> None:
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        raise RuleBroken(f"the key of {certificate.name} is weak: RSA with {key.key_size} bits", Cause.CERTIFICATE_WEAK)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < _MIN_CURVE_BITS:
        raise RuleBroken(f"the key of {certificate.name} is weak: {key.curve.name}", Cause.CERTIFICATE_WEAK)


def _check_hash_strength(certificate: ChainCertificate) -> None:
    used = certificate.signature.hash
    if used is not None and used.name in _WEAK_HASHES:
        raise RuleBroken(f"the signature of {certificate.name} is weak: {used.name.upper()}", Cause.CERTIFICATE_WEAK)
