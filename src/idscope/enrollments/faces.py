"""Owns how an enrollment looks from outside, by operation and api-version. It must not know how it is stored."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from idscope.clock import format_time
from idscope.enrollments.attestation import with_keys, without_secrets
from idscope.model.api_version import SINCE, ApiVersion
from idscope.model.document import UNSET, encode
from idscope.model.enrollment import IndividualEnrollment
from idscope.model.registration import DeviceRegistrationState
from idscope.records import EnrollmentRecord, RegistrationRecord, registration_state

_WIRE_NAMES = dict(
    zip(IndividualEnrollment.__struct_fields__, IndividualEnrollment.__struct_encode_fields__, strict=True)
)


def after_put(record: EnrollmentRecord, version: ApiVersion) -> IndividualEnrollment:
    """With symmetric keys, without registration state (observed)."""
    return _shown(record, version, with_keys(record.enrollment.attestation))


def in_query(record: EnrollmentRecord, version: ApiVersion) -> IndividualEnrollment:
    """Without keys and without registration state (observed)."""
    return _shown(record, version, without_secrets(record.enrollment.attestation))


def after_get(
    record: EnrollmentRecord, registration: RegistrationRecord | None, version: ApiVersion
) -> IndividualEnrollment:
    """Without keys, with the registration state: `unassigned` before the first registration (observed)."""
    if registration is None:
        state = DeviceRegistrationState(registration_id=record.enrollment.registration_id, status="unassigned")
    else:
        state = registration_state(registration)
    return msgspec.structs.replace(in_query(record, version), registration_state=Raw(encode(state)))


def _shown(record: EnrollmentRecord, version: ApiVersion, attestation: object) -> IndividualEnrollment:
    """Members sent as null are left out, except `provisioningStatus` (observed); newer members are masked."""
    changes = {
        name: UNSET
        for name, wire_name in _WIRE_NAMES.items()
        if (name != "provisioning_status" and _is_null(getattr(record.enrollment, name)))
        or (wire_name in SINCE and version < SINCE[wire_name])
    }
    return msgspec.structs.replace(
        record.enrollment,
        **changes,
        attestation=attestation,
        registration_state=UNSET,
        etag=record.etag,
        created_date_time_utc=format_time(record.created),
        last_updated_date_time_utc=format_time(record.updated),
    )


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, Raw) and bytes(value) == b"null")
