"""Owns the server certificate: for which names it is issued, and when it must be issued anew.
It must not know files, nor who listens with it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Literal, TypeAlias

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from idscope.certificate_authority.authority import (
    CLOCK_SKEW,
    CertificateAuthority,
    PrivateKey,
    key_usage,
    moment,
    private_key_pem,
)

KeyKind: TypeAlias = Literal["ecdsa", "rsa"]

ALWAYS_NAMED: Final = ("127.0.0.1", "::1", "localhost")
LIFETIME: Final = timedelta(days=397)  # what browsers and Apple's TLS accept at most is 398 days
RENEW_BEFORE: Final = timedelta(days=132)  # a third, so that a server restarted twice a year is never caught out


class ServerCertificate(msgspec.Struct, frozen=True):
    """A server certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        return private_key_pem(self.key)


def server_names(machine_name: str, configured: Iterable[str]) -> tuple[str, ...]:
    """Every name of the certificate, in lower case and once. A machine name that no certificate can hold is left out,
    and so is an address that only means "all addresses"."""
    machine = [machine_name] if machine_name.isascii() and machine_name.strip() else []
    names = [name.lower() for name in (*configured, *ALWAYS_NAMED, *machine)]
    return tuple(dict.fromkeys(name for name in names if not _means_all(name)))


def issue_server_certificate(
    authority: CertificateAuthority, names: tuple[str, ...], key_kind: KeyKind, now: int
) -> ServerCertificate:
    """A certificate over a fresh key; it does not outlive the CA."""
    key = _make_key(key_kind)
    start = moment(now) - CLOCK_SKEW
    issuer = authority.certificate
    builder = (
        x509.CertificateBuilder(
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]),
            issuer_name=issuer.subject,
            public_key=key.public_key(),
        )
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(start, issuer.not_valid_before_utc))
        .not_valid_after(min(start + LIFETIME, issuer.not_valid_after_utc))
    )
    for extension, critical in _extensions(authority, key, names):
        builder = builder.add_extension(extension, critical=critical)
    return ServerCertificate(builder.sign(authority.key, SHA256()), key)


def reason_to_renew(
    certificate: x509.Certificate,
    authority: CertificateAuthority,
    names: tuple[str, ...],
    key_kind: KeyKind,
    now: int,
) -> str | None:
    """Why the certificate must be issued anew, in words for the log; None while it is good."""
    if not _issued_by(certificate, authority):
        return "the CA is another one"
    if _names_of(certificate) != frozenset(_general_names(names)):
        return "the names changed"
    if isinstance(certificate.public_key(), rsa.RSAPublicKey) != (key_kind == "rsa"):
        return "the kind of key changed"
    end = certificate.not_valid_after_utc
    # one that ends with the CA cannot be made to last longer
    if moment(now) >= end - RENEW_BEFORE and end < authority.certificate.not_valid_after_utc:
        return "it is near its end"
    if moment(now) < certificate.not_valid_before_utc:
        return "it is not valid yet"
    return None


def _make_key(key_kind: KeyKind) -> PrivateKey:
    if key_kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _extensions(
    authority: CertificateAuthority, key: PrivateKey, names: tuple[str, ...]
) -> Iterable[tuple[x509.ExtensionType, bool]]:
    issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    yield x509.BasicConstraints(ca=False, path_length=None), True
    # key encipherment is for the RSA key exchange of TLS 1.2, which needs an RSA key
    yield key_usage(digital_signature=True, key_encipherment=isinstance(key, rsa.RSAPrivateKey)), True
    yield x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
    yield x509.SubjectAlternativeName(_general_names(names)), False
    yield x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
    yield x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), False


def _general_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names_of(certificate: x509.Certificate) -> frozenset[x509.GeneralName]:
    try:
        return frozenset(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return frozenset()


def _issued_by(certificate: x509.Certificate, authority: CertificateAuthority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _means_all(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False
