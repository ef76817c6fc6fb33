"""Owns a CA certificate as it is kept. It must not know how possession of its key is proved, nor whom it lets in."""

from __future__ import annotations

import msgspec

from idscope.model.document import Document, decode, encode
from idscope.storage import CaCertificateRow


class CaCertificateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`name` in its first spelling, `certificate` in DER, times in microseconds.

    `verification_code` is what the next proof of possession must name; None where none was asked for.
    """

    name: str
    certificate: bytes
    is_verified: bool
    verification_code: str | None = None
    etag: str
    created: int
    updated: int

    @property
    def key(self) -> str:
        return ca_certificate_key(self.name)


class _Document(Document):
    """The part of the record that no column holds."""

    name: str
    certificate: bytes
    is_verified: bool
    verification_code: str | None
    created: int
    updated: int


def ca_certificate_key(name: str) -> str:
    """Names of ARM resources, and references to them, are compared without case."""
    return name.lower()


def ca_certificate_row(service_id: str, record: CaCertificateRecord) -> CaCertificateRow:
    document = _Document(
        name=record.name,
        certificate=record.certificate,
        is_verified=record.is_verified,
        verification_code=record.verification_code,
        created=record.created,
        updated=record.updated,
    )
    return CaCertificateRow(service_id=service_id, name=record.key, etag=record.etag, document=encode(document))


def read_ca_certificate(row: CaCertificateRow) -> CaCertificateRecord:
    document = decode(row.document, _Document)
    return CaCertificateRecord(
        name=document.name,
        certificate=document.certificate,
        is_verified=document.is_verified,
        verification_code=document.verification_code,
        etag=row.etag,
        created=document.created,
        updated=document.updated,
    )
