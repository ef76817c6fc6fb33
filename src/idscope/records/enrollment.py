"""Owns enrollments, individual ones and groups, as they are kept: the document, and its secrets sealed beside it.
It must not know what may be enrolled.

Sealed: symmetric keys, and the webhook's URL, whose query commonly carries a function key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, Generic, TypeVar

import msgspec

from idscope.model.attestation import SymmetricKeyAttestation
from idscope.model.document import UNSET, Document, UnsetType, decode, encode_revealing, given
from idscope.model.enrollment import EnrollmentGroup, IndividualEnrollment
from idscope.records.searched import searched_columns, searched_columns_of_one_device
from idscope.secret import Secret
from idscope.security.sealing import Place, Sealer
from idscope.storage import EnrollmentGroupRow, EnrollmentRow

_HIDDEN: Final = Secret("")

E = TypeVar("E", IndividualEnrollment, EnrollmentGroup)


class EnrollmentRecord(msgspec.Struct, Generic[E], frozen=True):
    """The whole enrollment, secrets in memory as `Secret`; `key` is its id in lower case, times in microseconds."""

    enrollment: E
    key: str
    etag: str
    created: int
    updated: int


IndividualRecord = EnrollmentRecord[IndividualEnrollment]
GroupRecord = EnrollmentRecord[EnrollmentGroup]


class _Secrets(Document):
    symmetric_key: SymmetricKeyAttestation | UnsetType = UNSET
    webhook_url: Secret | UnsetType = UNSET


def enrollment_row(service_id: str, record: IndividualRecord, sealer: Sealer) -> EnrollmentRow:
    document, sealed = _written(record.enrollment, Place("enrollment", service_id, record.key), sealer)
    return EnrollmentRow(
        service_id=service_id,
        registration_key=record.key,
        etag=record.etag,
        attestation_type=record.enrollment.attestation.type,
        endorsement_key_hash=_endorsement_key_hash(record.enrollment),
        document=document,
        sealed=sealed,
        created=record.created,
        updated=record.updated,
        **searched_columns(record.enrollment),
        **searched_columns_of_one_device(record.enrollment),
    )


def group_row(service_id: str, record: GroupRecord, sealer: Sealer) -> EnrollmentGroupRow:
    document, sealed = _written(record.enrollment, Place("enrollment_group", service_id, record.key), sealer)
    return EnrollmentGroupRow(
        service_id=service_id,
        group_key=record.key,
        etag=record.etag,
        attestation_type=record.enrollment.attestation.type,
        document=document,
        sealed=sealed,
        created=record.created,
        updated=record.updated,
        **searched_columns(record.enrollment),
    )


def read_enrollment(row: EnrollmentRow, sealer: Sealer) -> IndividualRecord:
    """Raises CannotOpen where the key file is not the one that sealed the row."""
    place = Place("enrollment", row.service_id, row.registration_key)
    enrollment = _read(row.document, IndividualEnrollment, row.sealed, place, sealer)
    return EnrollmentRecord(enrollment, row.registration_key, row.etag, row.created, row.updated)


def read_group(row: EnrollmentGroupRow, sealer: Sealer) -> GroupRecord:
    """Raises CannotOpen where the key file is not the one that sealed the row."""
    place = Place("enrollment_group", row.service_id, row.group_key)
    group = _read(row.document, EnrollmentGroup, row.sealed, place, sealer)
    return EnrollmentRecord(group, row.group_key, row.etag, row.created, row.updated)


def symmetric_keys(enrollment: IndividualEnrollment | EnrollmentGroup) -> tuple[Secret, ...]:
    """Primary and secondary key; empty where the enrollment has none."""
    keys = given(enrollment.attestation.symmetric_key)
    if keys is None:
        return ()
    return tuple(key for key in (given(keys.primary_key), given(keys.secondary_key)) if key)


def _written(enrollment: E, place: Place, sealer: Sealer) -> tuple[bytes, str]:
    """The document without secrets, and the secrets sealed for their place, "" where there are none."""
    public, secrets = _split(enrollment)
    plaintext = encode_revealing(secrets)
    return encode_revealing(public), "" if plaintext == b"{}" else sealer.seal(plaintext, place)


def _read(document: bytes, kind: type[E], sealed: str, place: Place, sealer: Sealer) -> E:
    enrollment = decode(document, kind)
    return _join(enrollment, decode(sealer.open(sealed, place), _Secrets)) if sealed else enrollment


def _split(enrollment: E) -> tuple[E, _Secrets]:
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


def _join(enrollment: E, secrets: _Secrets) -> E:
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
