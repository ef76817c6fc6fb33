"""Owns how an enrollment looks from outside, by operation and api-version. It must not know how it is stored."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw

from idscope.clock import format_time
from idscope.enrollments.attestation import with_keys, without_secrets
from idscope.model.api_version import SINCE, ApiVersion
from idscope.model.attestation import AttestationMechanism
from idscope.model.document import UNSET, encode
from idscope.model.enrollment import EnrollmentGroup, IndividualEnrollment
from idscope.model.registration import DeviceRegistrationState
from idscope.records import EnrollmentRecord, IndividualRecord, RegistrationRecord, registration_state

E = TypeVar("E", IndividualEnrollment, EnrollmentGroup)


def after_put(record: EnrollmentRecord[E], version: ApiVersion) -> E:
    """With symmetric keys, without registration state (observed)."""
    return _shown(record, version, with_keys(record.enrollment.attestation))


def in_query(record: EnrollmentRecord[E], version: ApiVersion) -> E:
    """Without keys and without registration state (observed)."""
    return _shown(record, version, without_secrets(record.enrollment.attestation))


def after_get(
    record: IndividualRecord, registration: RegistrationRecord | None, version: ApiVersion
) -> IndividualEnrollment:
    """Without keys, with the registration state: `unassigned` before the first registration (observed)."""
    if registration is None:
        state = DeviceRegistrationState(registration_id=record.enrollment.registration_id, status="unassigned")
    else:
        state = registration_state(registration)
    return msgspec.structs.replace(in_query(record, version), registration_state=Raw(encode(state)))


def _shown(record: EnrollmentRecord[E], version: ApiVersion, attestation: AttestationMechanism) -> E:
    """Members sent as null are left out, except `provisioningStatus` (observed); newer members are masked."""
    shown = record.enrollment
    wire_names = zip(shown.__struct_fields__, shown.__struct_encode_fields__, strict=True)
    left_out = {
        name: UNSET
        for name, wire_name in wire_names
        if (name != "provisioning_status" and _is_null(getattr(shown, name)))
        or (wire_name in SINCE and version < SINCE[wire_name])
    }
    return msgspec.structs.replace(
        shown,
        **left_out,
        attestation=attestation,
        etag=record.etag,
        created_date_time_utc=format_time(record.created),
        last_updated_date_time_utc=format_time(record.updated),
    )


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, Raw) and bytes(value) == b"null")
