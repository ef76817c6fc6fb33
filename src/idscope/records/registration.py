"""Owns a registration as it is kept, and its faces: what the device is shown, what the service is shown.
It must not know how the result came about."""

from __future__ import annotations

import base64
from typing import Final

import msgspec
from msgspec import Raw

from idscope.clock import format_time
from idscope.model.api_version import ApiVersion, parse_api_version
from idscope.model.attestation import AttestationType
from idscope.model.document import UNSET, Document, decode, encode
from idscope.model.registration import (
    AssignedDeviceSubstatus,
    DeviceRegistrationResult,
    DeviceRegistrationState,
    EnrollmentStatus,
    SymmetricKeyRegistrationResult,
    TpmRegistrationResult,
    X509RegistrationResult,
)
from idscope.storage import RegistrationRow

# Up to this version the device side always calls a repeated assignment the initial one (observed).
_LAST_WITHOUT_REPROVISIONED: Final = parse_api_version("2019-03-31")

_WITHOUT_PLACEMENT: Final = frozenset({"failed", "disabled"})  # what is kept of it is not shown


class Placement(msgspec.Struct, frozen=True):
    """Where the device stands: kept also while its registration is failed or disabled."""

    hub_id: str
    host_name: str
    device_id: str


class TpmResult(msgspec.Struct, frozen=True):
    """The hub's key, wrapped for the device's TPM, and the storage root key (Base64) for which that was done."""

    authentication_key: bytes
    storage_root_key: str


class RegistrationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last finished result. Times in microseconds; `payload` is the webhook's answer, byte for byte; `group_id`
    is the enrollment group that the device entered by, None for an individual enrollment; `x509` is what a device is
    told that proved itself by certificate, `tpm` by TPM. `sealed` is the key that was made for a TPM; here it is not
    opened."""

    registration_id: str
    registration_key: str
    status: EnrollmentStatus
    mechanism: AttestationType
    etag: str
    created: int
    updated: int
    substatus: AssignedDeviceSubstatus | None = None
    placement: Placement | None = None
    error_code: int | None = None
    error_message: str | None = None
    payload: bytes | None = None
    group_id: str | None = None
    x509: X509RegistrationResult | None = None
    tpm: TpmResult | None = None
    sealed: str = ""


class _Document(Document):
    """The part of the record that no column holds."""

    registration_id: str
    mechanism: AttestationType
    substatus: AssignedDeviceSubstatus | None = None
    placement: Placement | None = None
    error_code: int | None = None
    error_message: str | None = None
    payload: Raw = Raw(b"null")
    group_id: str | None = None
    x509: X509RegistrationResult | None = None
    tpm: TpmResult | None = None


def registration_row(service_id: str, record: RegistrationRecord) -> RegistrationRow:
    document = _Document(
        registration_id=record.registration_id,
        mechanism=record.mechanism,
        substatus=record.substatus,
        placement=record.placement,
        error_code=record.error_code,
        error_message=record.error_message,
        payload=Raw(record.payload or b"null"),
        group_id=record.group_id,
        x509=record.x509,
        tpm=record.tpm,
    )
    shown = record.placement if record.status not in _WITHOUT_PLACEMENT else None
    return RegistrationRow(
        service_id=service_id,
        registration_key=record.registration_key,
        etag=record.etag,
        status=record.status,
        enrollment_group_key=None if record.group_id is None else record.group_id.lower(),
        document=encode(document),
        sealed=record.sealed,
        created=record.created,
        updated=record.updated,
        device_id=None if shown is None else shown.device_id,
        assigned_hub=None if shown is None else shown.host_name.lower(),
        substatus=None if record.status in _WITHOUT_PLACEMENT else record.substatus,
        error_code=record.error_code if record.status == "failed" else None,
    )


def read_registration(row: RegistrationRow) -> RegistrationRecord:
    document = decode(row.document, _Document)
    payload = bytes(document.payload)
    return RegistrationRecord(
        registration_id=document.registration_id,
        registration_key=row.registration_key,
        status=row.status,  # type: ignore[arg-type]  # written by registration_row
        mechanism=document.mechanism,
        etag=row.etag,
        created=row.created,
        updated=row.updated,
        substatus=document.substatus,
        placement=document.placement,
        error_code=document.error_code,
        error_message=document.error_message,
        payload=None if payload == b"null" else payload,
        group_id=document.group_id,
        x509=document.x509,
        tpm=document.tpm,
        sealed=row.sealed,
    )


def registration_state(record: RegistrationRecord) -> DeviceRegistrationState:
    """What the service API shows; it has the true substatus."""
    state = DeviceRegistrationState(
        registration_id=record.registration_id,
        status=record.status,
        last_updated_date_time_utc=format_time(record.updated),
        etag=record.etag,
    )
    if record.status == "disabled":  # observed: an id, a status, an etag and a time, nothing else
        return state
    state = msgspec.structs.replace(state, created_date_time_utc=format_time(record.created))
    if record.status == "failed":
        return msgspec.structs.replace(
            state,
            error_code=UNSET if record.error_code is None else record.error_code,
            error_message=UNSET if record.error_message is None else record.error_message,
        )
    placement = record.placement
    return msgspec.structs.replace(
        state,
        assigned_hub=UNSET if placement is None else placement.host_name,
        device_id=UNSET if placement is None else placement.device_id,
        substatus=UNSET if record.substatus is None else record.substatus,
        payload=UNSET if record.payload is None else Raw(record.payload),
    )


def device_result(record: RegistrationRecord, version: ApiVersion) -> DeviceRegistrationResult:
    """What the device is shown: the same etag and times, `x509` (observed as {}, at least), and the substatus
    that its version knows."""
    state = registration_state(record)
    substatus = state.substatus
    if substatus == "reprovisionedToInitialAssignment" and version <= _LAST_WITHOUT_REPROVISIONED:
        substatus = "initialAssignment"
    members = {name: getattr(state, name) for name in state.__struct_fields__}
    members["substatus"] = substatus
    if record.status == "assigned" and record.mechanism == "symmetricKey" and record.group_id is not None:
        members["symmetric_key"] = SymmetricKeyRegistrationResult(enrollment_group_id=record.group_id)
    if record.status == "assigned" and record.mechanism == "x509":
        members["x509"] = record.x509 or X509RegistrationResult()
    if record.status == "assigned" and record.mechanism == "tpm" and record.tpm is not None:
        key = base64.b64encode(record.tpm.authentication_key).decode()
        members["tpm"] = TpmRegistrationResult(authentication_key=key)
    return DeviceRegistrationResult(**members)
