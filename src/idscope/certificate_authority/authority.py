"""Owns the CA of this server: how it is made, read and told from another. It must not know files, nor what it issues.

Extensions follow RFC 5280, sections 4.2.1.2, 4.2.1.3 and 4.2.1.9: basicConstraints and keyUsage critical, the subject
key identifier always there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from idscope.clock import MICROSECONDS

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

LIFETIME: Final = timedelta(days=3652)
CLOCK_SKEW: Final = timedelta(hours=1)
"""notBefore lies so far in the past: a device's clock may run behind the server's."""


class AuthorityUnusable(Exception):
    """The CA's files cannot be used; the text says why and what to do, and holds no key."""


class CertificateAuthority(msgspec.Struct, frozen=True):
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        return private_key_pem(self.key)

    def check(self, now: int) -> None:
        """Raises AuthorityUnusable where nothing can be issued: any more, or yet."""
        start = self.certificate.not_valid_before_utc
        if moment(now) < start:
            raise AuthorityUnusable(
                f"the CA certificate is valid from {start:%Y-%m-%d %H:%M} UTC, but this machine's clock says "
                f"{moment(now):%Y-%m-%d %H:%M}; set the clock, or move ca.pem and ca.key away for a new CA"
            )
        if moment(now) >= self.certificate.not_valid_after_utc:
            raise AuthorityUnusable("the CA certificate has expired; move ca.pem and ca.key away and start again")


def make_authority(now: int, key: ec.EllipticCurvePrivateKey | None = None) -> CertificateAuthority:
    """A new self-signed CA, ECDSA P-256, valid for ten years; its name tells it from other servers' CAs."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"idscope CA {identifier.digest.hex()[:8]}")])
    start = moment(now) - CLOCK_SKEW
    certificate = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    return CertificateAuthority(certificate, key)


def read_authority(certificate_pem: bytes, key_pem: bytes) -> CertificateAuthority:
    """The CA from its two files; raises AuthorityUnusable."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError:
        raise AuthorityUnusable("ca.pem holds no certificate; restore it, or move ca.pem and ca.key away") from None
    key = read_authority_key(key_pem)
    if public_key_der(key) != public_key_der(certificate):
        raise AuthorityUnusable("ca.key is not the key of ca.pem; restore the one that belongs to it")
    return CertificateAuthority(certificate, key)


def read_authority_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The key from its file; raises AuthorityUnusable."""
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        raise AuthorityUnusable("ca.key holds no private key; restore it, or move ca.pem and ca.key away") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityUnusable("ca.key is no ECDSA key; restore it, or move ca.pem and ca.key away")
    return key


def moment(now: int) -> datetime:
    """Certificates know whole seconds only."""
    return datetime.fromtimestamp(now // MICROSECONDS, UTC)


def private_key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_key_der(holder: PrivateKeyTypes | x509.Certificate) -> bytes:
    """What a key and a certificate are compared by."""
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    """A key usage of those bits and no other."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
