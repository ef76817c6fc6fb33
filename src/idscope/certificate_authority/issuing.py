"""Owns the issuing of certificates for devices: test CAs, device certificates below them, and the proof that somebody
holds a CA's key. It must not know files, nor what a service thinks of them.

Dates, serial numbers and extensions follow RFC 5280; a certificate never outlives its issuer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from idscope.certificate_authority.authority import CLOCK_SKEW, PrivateKey, key_usage, moment
from idscope.certificate_authority.server_certificate import KeyKind

MAX_COMMON_NAME: Final = 64
"""RFC 5280, ub-common-name; a registration id may be longer, but no certificate can name it then."""

_PROOF_LIFETIME: Final = timedelta(days=1)


class CannotIssue(Exception):
    """The certificate cannot be made; the text says why."""


class Issued(msgspec.Struct, frozen=True):
    """A certificate and its key; `issuers` are the certificates above it, the next one first, without the root."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def is_root(self) -> bool:
        return self.certificate.subject == self.certificate.issuer

    @property
    def above_its_leaves(self) -> tuple[x509.Certificate, ...]:
        """What a device sends behind its own certificate: everything but the root, which the service was given."""
        return self.issuers if self.is_root else (self.certificate, *self.issuers)


def make_key(kind: KeyKind) -> PrivateKey:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def issue_authority(
    common_name: str, key: PrivateKey, lifetime: timedelta, now: int, issuer: Issued | None = None
) -> Issued:
    """A CA: a root, or an intermediate below `issuer`. Raises CannotIssue."""
    extensions = (
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), True),
    )
    return _issued(common_name, key, lifetime, now, issuer, extensions)


def issue_device_certificate(
    registration_id: str, key: PrivateKey, lifetime: timedelta, now: int, issuer: Issued | None = None
) -> Issued:
    """A device's certificate, self-signed without an issuer; its common name is the registration id. Raises
    CannotIssue."""
    extensions = (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(digital_signature=True, key_encipherment=isinstance(key, rsa.RSAPrivateKey)), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    )
    return _issued(registration_id, key, lifetime, now, issuer, extensions)


def issue_verification_certificate(authority: Issued, code: str, now: int) -> x509.Certificate:
    """What proves to a service that its caller holds the authority's key. Its own key is thrown away."""
    key = ec.generate_private_key(ec.SECP256R1())
    extensions = ((x509.BasicConstraints(ca=False, path_length=None), True),)
    return _issued(code, key, _PROOF_LIFETIME, now, authority, extensions).certificate


def _issued(
    common_name: str,
    key: PrivateKey,
    lifetime: timedelta,
    now: int,
    issuer: Issued | None,
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
) -> Issued:
    if not 0 < len(common_name.encode()) <= MAX_COMMON_NAME:
        raise CannotIssue(f"A certificate's common name has 1 to {MAX_COMMON_NAME} bytes")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start = moment(now) - CLOCK_SKEW
    end = start + lifetime
    if issuer is not None:
        start = max(start, issuer.certificate.not_valid_before_utc)
        end = min(end, issuer.certificate.not_valid_after_utc)
    if end <= start:
        raise CannotIssue("The certificate of the CA has expired")
    builder = (
        x509.CertificateBuilder(
            subject_name=subject,
            issuer_name=subject if issuer is None else issuer.certificate.subject,
            public_key=key.public_key(),
        )
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(_authority_key_identifier(issuer.certificate), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signing_key = key if issuer is None else issuer.key
    certificate = builder.sign(signing_key, _hash_for(signing_key))
    return Issued(certificate, key, () if issuer is None else issuer.above_its_leaves)


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's own identifier where it has one: not every CA makes it from its key as RFC 5280 proposes."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        public_key = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)  # type: ignore[arg-type]  # a CA's signs
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _hash_for(key: CertificateIssuerPrivateKeyTypes) -> SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else SHA256()
