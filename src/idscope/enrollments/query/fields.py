"""Owns what may be asked for: the fields of each collection, their types, and the columns in which they stand.
It must not know how a query is written.

Names are those of the published documents. `docs/reference/query-language.md` has the same table, and a test compares.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, get_args

import msgspec

from idscope.model.attestation import AttestationType
from idscope.model.enrollment import AllocationPolicy, ProvisioningStatus
from idscope.model.registration import AssignedDeviceSubstatus, EnrollmentStatus
from idscope.storage import Condition, EnrollmentGroupRow, EnrollmentRow, RegistrationRow, Row, Search


class FieldType(Enum):
    """`WORD` is text of which all possible values are known."""

    TEXT = "text"
    WORD = "word"
    NUMBER = "number"
    TIME = "time"
    BOOLEAN = "boolean"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """`fold` makes one of all spellings that count as the same, the one that the column holds. `beside` says that the
    column is one of the row beside. `absent` is the value that stands for none."""

    name: str
    type: FieldType
    column: str
    words: tuple[str, ...] = ()
    fold: Callable[[str], str] | None = None
    beside: bool = False
    absent: str | None = None


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """What FROM may name, with its rows; `others` are names that mean the same."""

    name: str
    row: type[Row]
    fields: tuple[Field, ...]
    others: tuple[str, ...] = ()
    beside: type[Row] | None = None

    def field(self, name: str) -> Field | None:
        """In any case, as no two names differ in that only."""
        return _BY_NAME[self.name].get(name.lower())

    def search(self, service_id: str, condition: Condition | None) -> Search[Row]:
        return Search(kind=self.row, service_id=service_id, condition=condition, beside=self.beside)


def _text(name: str, column: str, fold: Callable[[str], str] | None = None) -> Field:
    return Field(name=name, type=FieldType.TEXT, column=column, fold=fold)


def _word(name: str, column: str, words: object) -> Field:
    return Field(name=name, type=FieldType.WORD, column=column, words=get_args(words))


def _number(name: str, column: str) -> Field:
    return Field(name=name, type=FieldType.NUMBER, column=column)


def _time(name: str, column: str) -> Field:
    return Field(name=name, type=FieldType.TIME, column=column)


def _boolean(name: str, column: str) -> Field:
    return Field(name=name, type=FieldType.BOOLEAN, column=column)


def _certificates(member: str, prefix: str) -> tuple[Field, ...]:
    """The primary and the secondary certificate of one member of an X.509 attestation."""
    return tuple(
        field
        for slot in ("primary", "secondary")
        for field in (
            _time(f"attestation.x509.{member}.{slot}.info.notAfterUtc", f"{prefix}_{slot}_not_after"),
            _text(f"attestation.x509.{member}.{slot}.info.sha256Thumbprint", f"{prefix}_{slot}_thumbprint", str.upper),
        )
    )


_TIMES: Final = (_time("createdDateTimeUtc", "created"), _time("lastUpdatedDateTimeUtc", "updated"))
_STATE: Final = (
    _word("status", "status", EnrollmentStatus),
    _word("substatus", "substatus", AssignedDeviceSubstatus),
    _text("assignedHub", "assigned_hub", str.lower),
    _text("deviceId", "device_id"),
    _number("errorCode", "error_code"),
    *_TIMES,
)
_BOTH_KINDS: Final = (
    _word("provisioningStatus", "provisioning_status", ProvisioningStatus),
    _word("allocationPolicy", "allocation_policy", AllocationPolicy),
    _boolean("capabilities.iotEdge", "iot_edge"),
    _boolean("reprovisionPolicy.updateHubAssignment", "update_hub_assignment"),
    _boolean("reprovisionPolicy.migrateDeviceData", "migrate_device_data"),
    *_TIMES,
    _word("attestation.type", "attestation_type", AttestationType),
    _text("attestation.x509.caReferences.primary", "primary_ca_reference", str.lower),
    _text("attestation.x509.caReferences.secondary", "secondary_ca_reference", str.lower),
    *_certificates("signingCertificates", "signing"),
)


def _of_registration_state(field: Field) -> Field:
    """A device that never registered is shown as unassigned."""
    absent = "unassigned" if field.name == "status" else None
    return msgspec.structs.replace(field, name=f"registrationState.{field.name}", beside=True, absent=absent)


ENROLLMENTS: Final = Collection(
    name="enrollments",
    row=EnrollmentRow,
    beside=RegistrationRow,
    fields=(
        _text("registrationId", "registration_key", str.lower),
        _text("deviceId", "device_id"),
        *_BOTH_KINDS,
        *_certificates("clientCertificates", "client"),
        *(_of_registration_state(field) for field in _STATE),
    ),
)
ENROLLMENT_GROUPS: Final = Collection(
    name="enrollmentGroups",
    row=EnrollmentGroupRow,
    fields=(_text("enrollmentGroupId", "group_key", str.lower), *_BOTH_KINDS),
)
REGISTRATIONS: Final = Collection(
    name="registrations",
    row=RegistrationRow,
    others=("enrollmentGroups",),  # quirk: a live test of Microsoft's asks so, and is answered
    fields=(_text("registrationId", "registration_key", str.lower), *_STATE),
)
COLLECTIONS: Final = (ENROLLMENTS, ENROLLMENT_GROUPS, REGISTRATIONS)

_BY_NAME: Final = {each.name: {field.name.lower(): field for field in each.fields} for each in COLLECTIONS}
