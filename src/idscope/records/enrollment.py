"""Owns an individual enrollment as it is kept: the document, and its secrets sealed beside it.
It must not know what may be enrolled.

Sealed: symmetric keys, and the webhook's URL, whose query commonly carries a function key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from idscope.model.attestation import SymmetricKeyAttestation
from idscope.model.document import UNSET, Document, UnsetType, decode, encode_revealing, given
from idscope.model.enrollment import IndividualEnrollment
from idscope.secret import Secret
from idscope.security.sealing import Place, Sealer
from idscope.storage import EnrollmentRow

_HIDDEN = Secret("")


class EnrollmentRecord(msgspec.Struct, frozen=True):
    """The whole enrollment, secrets in memory as `Secret`; times in microseconds."""

    enrollment: IndividualEnrollment
    registration_key: str
    etag: str
    created: int
    updated: int


class _Secrets(Document):
    symmetric_key: SymmetricKeyAttestation | UnsetType = UNSET
    webhook_url: Secret | UnsetType = UNSET


def enrollment_row(service_id: str, record: EnrollmentRecord, sealer: Sealer) -> EnrollmentRow:
    public, secrets = _split(record.enrollment)
    plaintext = encode_revealing(secrets)
    return EnrollmentRow(
        service_id=service_id,
        registration_key=record.registration_key,
        etag=record.etag,
        attestation_type=public.attestation.type,
        endorsement_key_hash=_endorsement_key_hash(public),
        document=encode_revealing(public),
        sealed="" if plaintext == b"{}" else sealer.seal(plaintext, _place(service_id, record.registration_key)),
        created=record.created,
        updated=record.updated,
    )


def read_enrollment(row: EnrollmentRow, sealer: Sealer) -> EnrollmentRecord:
    """Raises CannotOpen where the key file is not the one that sealed the row."""
    enrollment = decode(row.document, IndividualEnrollment)
    if row.sealed:
        opened = sealer.open(row.sealed, _place(row.service_id, row.registration_key))
        enrollment = _join(enrollment, decode(opened, _Secrets))
    return EnrollmentRecord(enrollment, row.registration_key, row.etag, row.created, row.updated)


def symmetric_keys(enrollment: IndividualEnrollment) -> tuple[Secret, ...]:
    """Primary and secondary key; empty where the enrollment has none."""
    keys = given(enrollment.attestation.symmetric_key)
    if keys is None:
        return ()
    return tuple(key for key in (given(keys.primary_key), given(keys.secondary_key)) if key)


def _split(enrollment: IndividualEnrollment) -> tuple[IndividualEnrollment, _Secrets]:
    attestation = enrollment.attestation
    secrets = _Secrets()
    keys = given(attestation.symmetric_key)
    if keys is not None:
        secrets = msgspec.structs.replace(secrets, symmetric_key=keys)
        attestation = msgspec.structs.replace(attestation, symmetric_key=SymmetricKeyAttestation())
    definition = given(enrollment.custom_allocation_definition)
    if definition is not None:
        secrets = msgspec.structs.replace(secrets, webhook_url=definition.webhook_url)
        definition = msgspec.structs.replace(definition, webhook_url=_HIDDEN)
        enrollment = msgspec.structs.replace(enrollment, custom_allocation_definition=definition)
    return msgspec.structs.replace(enrollment, attestation=attestation), secrets


def _join(enrollment: IndividualEnrollment, secrets: _Secrets) -> IndividualEnrollment:
    if secrets.symmetric_key is not UNSET:
        attestation = msgspec.structs.replace(enrollment.attestation, symmetric_key=secrets.symmetric_key)
        enrollment = msgspec.structs.replace(enrollment, attestation=attestation)
    definition = given(enrollment.custom_allocation_definition)
    if definition is not None and secrets.webhook_url is not UNSET:
        definition = msgspec.structs.replace(definition, webhook_url=secrets.webhook_url)
        enrollment = msgspec.structs.replace(enrollment, custom_allocation_definition=definition)
    return enrollment


def _endorsement_key_hash(enrollment: IndividualEnrollment) -> str | None:
    """SHA-256 of the structure, hex; not unique: many enrollments may share one endorsement key (observed)."""
    tpm = given(enrollment.attestation.tpm)
    if tpm is None:
        return None
    try:
        key = base64.b64decode(tpm.endorsement_key, validate=True)
    except (binascii.Error, ValueError):
        return None
    return hashlib.sha256(key).hexdigest()


def _place(service_id: str, registration_key: str) -> Place:
    return Place("enrollment", service_id, registration_key)
