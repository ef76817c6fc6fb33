"""Owns what is known of certificate authorities when a chain is judged: those uploaded, those enrolled, and the
groups that are met through them. It must not know how they are stored, nor judge any chain."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from idscope.attestation.verdict import KeySlot
from idscope.model.attestation import (
    AttestationMechanism,
    X509CAReferences,
    X509Certificates,
    X509CertificateWithInfo,
)
from idscope.model.document import given
from idscope.model.enrollment import EnrollmentGroup
from idscope.security.certificate_chain import CertificatePool
from idscope.security.chain_certificate import ChainCertificate, ChainRefused, read_chain_certificate

_SHOWN: Final = 5
_SLOTS: Final[tuple[KeySlot, ...]] = ("primary", "secondary")


class CaCertificate(msgspec.Struct, frozen=True):
    """A certificate uploaded to the service; `is_verified` once the possession of its key was proved."""

    name: str
    der: bytes
    thumbprint: str
    is_verified: bool


class X509Group(msgspec.Struct, frozen=True):
    """An enrollment group, and by which certificates (thumbprints) a chain meets it."""

    group_key: str
    group: EnrollmentGroup
    etag: str
    slots: Mapping[str, KeySlot]


class Authorities(msgspec.Struct, frozen=True):
    """`pool`: every uploaded or enrolled certificate. `verified`: thumbprints. `uploaded`: by name in lower case.
    `groups`: by the thumbprint of the certificate that meets them."""

    pool: CertificatePool
    uploaded: Mapping[str, CaCertificate]
    verified: frozenset[str]
    groups: Mapping[str, X509Group]

    def verified_names(self) -> str:
        """For an operator: whom a chain might have ended at."""
        names = [each.name for each in self.uploaded.values() if each.is_verified]
        if not names:
            return "no CA certificate is uploaded and verified"
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"verified CA certificates are {', '.join(sorted(names)[:_SHOWN])}{more}"


NO_AUTHORITIES: Final = Authorities(CertificatePool(), {}, frozenset(), {})


def known_authorities(
    uploaded: Iterable[CaCertificate], groups: Iterable[tuple[str, EnrollmentGroup, str]]
) -> Authorities:
    """From what stands in the store: the certificates, and each group as (key, group, etag)."""
    by_name = {each.name.lower(): each for each in uploaded}
    certificates = [read for each in by_name.values() if (read := _readable(each.der)) is not None]
    met: dict[str, X509Group] = {}
    for group_key, group, etag in groups:
        enrolled = signing_certificates(group.attestation)
        certificates += [certificate for _, certificate in enrolled]
        slots = {certificate.thumbprint: slot for slot, certificate in reversed(enrolled)}
        slots |= {ca.thumbprint: slot for slot, ca in reversed(referred(group.attestation, by_name))}
        one = X509Group(group_key, group, etag, slots)
        for thumbprint in slots:
            met.setdefault(thumbprint, one)
    verified = frozenset(each.thumbprint for each in by_name.values() if each.is_verified)
    return Authorities(CertificatePool(certificates), by_name, verified, met)


def client_thumbprints(attestation: AttestationMechanism) -> list[tuple[KeySlot, str]]:
    """Those of the certificates that the device shows itself, the primary one first."""
    return [
        (slot, info.sha256_thumbprint)
        for slot, certificate in _pair(attestation, "client_certificates")
        if (info := given(certificate.info)) is not None
    ]


def signing_certificates(attestation: AttestationMechanism) -> list[tuple[KeySlot, ChainCertificate]]:
    """The enrolled signing certificates, the primary one first."""
    found = ((slot, given(certificate.certificate)) for slot, certificate in _pair(attestation, "signing_certificates"))
    read = ((slot, _readable(_decoded(text))) for slot, text in found if text)
    return [(slot, certificate) for slot, certificate in read if certificate is not None]


def referred(
    attestation: AttestationMechanism, uploaded: Mapping[str, CaCertificate]
) -> list[tuple[KeySlot, CaCertificate]]:
    """The uploaded certificates that the enrollment refers to, the primary one first."""
    return [(slot, uploaded[name]) for slot, name in reference_names(attestation) if name in uploaded]


def reference_names(attestation: AttestationMechanism) -> list[tuple[KeySlot, str]]:
    """The names that the enrollment refers to, in lower case."""
    x509 = given(attestation.x509) if attestation.type == "x509" else None
    pair: X509CAReferences | None = None if x509 is None else given(x509.ca_references)
    if pair is None:
        return []
    names: list[tuple[KeySlot, str | None]] = [(slot, given(getattr(pair, slot))) for slot in _SLOTS]
    return [(slot, name.lower()) for slot, name in names if name]


def _pair(attestation: AttestationMechanism, name: str) -> list[tuple[KeySlot, X509CertificateWithInfo]]:
    x509 = given(attestation.x509) if attestation.type == "x509" else None
    pair: X509Certificates | None = None if x509 is None else given(getattr(x509, name))
    if pair is None:
        return []
    slots = ((slot, given(getattr(pair, slot))) for slot in _SLOTS)
    return [(slot, certificate) for slot, certificate in slots if certificate is not None]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""


def _readable(der: bytes) -> ChainCertificate | None:
    """A stored certificate that cannot be read leads nowhere; the others still do."""
    try:
        return read_chain_certificate(der)
    except ChainRefused:
        return None
