"""Owns the rows: what is stored of each thing, its natural key, and what is searched. It must not know any SQL.

A row holds canonical JSON without secrets (`document`), sealed secrets (`sealed`, empty where there are none), and a
column for each thing that is searched or compared. Times are integer microseconds. A row's class says its table, the
columns of its key in order, and whether its service's revision rises when it changes (caches are keyed by that).
"""

from __future__ import annotations

from typing import ClassVar, Generic, NamedTuple, TypeVar, dataclass_transform

import msgspec


class Searched(NamedTuple):
    """An index for searches: the service, this column, the rest of the key. What the column does not hold is not in it,
    nor are rows that hold `but`. A `coarse` one has few values, so that many rows may hold the same."""

    column: str
    but: str | None = None
    coarse: bool = False


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Row(msgspec.Struct, frozen=True, kw_only=True):
    """`TABLE` is the table's name; `KEY` its key columns, which are fields of the row, in order; `ORDERS` are further
    ones, indexed, by which pages may go, and `SEARCHED` the indexes for searches, the most telling first.

    A row with an `etag` field can be put and deleted on the condition of an etag; others only on absence.
    """

    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    ORDERS: ClassVar[tuple[tuple[str, ...], ...]] = ()
    SEARCHED: ClassVar[tuple[Searched, ...]] = ()
    RAISES_REVISION: ClassVar[bool] = False


R = TypeVar("R", bound=Row)


class Key(msgspec.Struct, Generic[R], frozen=True):
    """Names one row: `Key(EnrollmentRow, (service_id, registration_key))`."""

    kind: type[R]
    values: tuple[str | int, ...]


def key_of(row: R) -> Key[R]:
    return Key(type(row), tuple(getattr(row, name) for name in row.KEY))


class ServerRow(Row):
    """One fact of the whole server, such as its sealed server key."""

    TABLE = "server"
    KEY = ("name",)
    name: str
    sealed: str


class ProvisioningServiceRow(Row):
    """`service_id` is the id scope: immutable and unique. `revision` is kept by the store, a put leaves it alone."""

    TABLE = "provisioning_service"
    KEY = ("service_id",)
    RAISES_REVISION = True
    service_id: str
    etag: str
    document: bytes
    revision: int = 0


class AccessPolicyRow(Row):
    """A shared access policy. `owner` is `service/{service_id}` or `hub/{hub_id}`."""

    TABLE = "access_policy"
    KEY = ("service_id", "owner", "name")
    RAISES_REVISION = True
    service_id: str
    owner: str
    name: str
    etag: str
    document: bytes
    sealed: str


class LinkedHubRow(Row):
    """An IoT hub that a service may assign devices to; `hub_id` is its host name, or the id of an embedded hub."""

    TABLE = "linked_hub"
    KEY = ("service_id", "hub_id")
    RAISES_REVISION = True
    service_id: str
    hub_id: str
    etag: str
    document: bytes
    sealed: str


class EmbeddedHubRow(Row):
    """A hub that lives in this server; `service_id` is the service whose revision covers it."""

    TABLE = "embedded_hub"
    KEY = ("service_id", "hub_id")
    RAISES_REVISION = True
    service_id: str
    hub_id: str
    etag: str
    document: bytes


class EnrollmentRow(Row):
    """From `device_id` on: what is searched of the document, None where it does not stand there. Booleans are 0 and 1,
    thumbprints SHA-256 in upper-case hex, references to CA certificates in lower case."""

    TABLE = "enrollment"
    KEY = ("service_id", "registration_key")
    SEARCHED = (
        Searched("client_primary_thumbprint"),
        Searched("client_secondary_thumbprint"),
        Searched("device_id"),
        Searched("signing_primary_thumbprint"),
        Searched("signing_secondary_thumbprint"),
        Searched("client_primary_not_after"),
        Searched("client_secondary_not_after"),
        Searched("signing_primary_not_after"),
        Searched("signing_secondary_not_after"),
        Searched("primary_ca_reference", coarse=True),
        Searched("secondary_ca_reference", coarse=True),
        Searched("provisioning_status", but="enabled", coarse=True),
        Searched("allocation_policy", coarse=True),
        Searched("attestation_type", coarse=True),
    )
    service_id: str
    registration_key: str
    etag: str
    attestation_type: str
    endorsement_key_hash: str | None
    document: bytes
    sealed: str
    created: int
    updated: int
    device_id: str | None = None
    provisioning_status: str | None = None
    allocation_policy: str | None = None
    iot_edge: int | None = None
    update_hub_assignment: int | None = None
    migrate_device_data: int | None = None
    client_primary_thumbprint: str | None = None
    client_primary_not_after: int | None = None
    client_secondary_thumbprint: str | None = None
    client_secondary_not_after: int | None = None
    signing_primary_thumbprint: str | None = None
    signing_primary_not_after: int | None = None
    signing_secondary_thumbprint: str | None = None
    signing_secondary_not_after: int | None = None
    primary_ca_reference: str | None = None
    secondary_ca_reference: str | None = None


class EnrollmentGroupRow(Row):
    """A group decides about ids that it does not name, so every change of one raises the service's revision. Its
    columns are an enrollment's; a service has few groups, so that no index is needed to search them."""

    TABLE = "enrollment_group"
    KEY = ("service_id", "group_key")
    RAISES_REVISION = True
    service_id: str
    group_key: str
    etag: str
    attestation_type: str
    document: bytes
    sealed: str
    created: int
    updated: int
    provisioning_status: str | None = None
    allocation_policy: str | None = None
    iot_edge: int | None = None
    update_hub_assignment: int | None = None
    migrate_device_data: int | None = None
    signing_primary_thumbprint: str | None = None
    signing_primary_not_after: int | None = None
    signing_secondary_thumbprint: str | None = None
    signing_secondary_not_after: int | None = None
    primary_ca_reference: str | None = None
    secondary_ca_reference: str | None = None


class CertificateThumbprintRow(Row):
    """A certificate stands in one enrollment only: the thumbprint (SHA-256, upper-case hex) is the key."""

    TABLE = "certificate_thumbprint"
    KEY = ("service_id", "thumbprint")
    service_id: str
    thumbprint: str
    owner: str


class CaCertificateRow(Row):
    """A CA certificate that a service trusts once it is verified; `name` in lower case. What devices may enter depends
    on it, so every change raises the service's revision."""

    TABLE = "ca_certificate"
    KEY = ("service_id", "name")
    RAISES_REVISION = True
    service_id: str
    name: str
    etag: str
    document: bytes


class RegistrationRow(Row):
    """The last finished result of a registration. From `device_id` on: what is searched of what the service API shows
    of it, None where that is not shown; `assigned_hub` in lower case.

    Its indexes cost an assigned device nothing but that of its group: writing one is what the server does most.
    """

    TABLE = "registration"
    KEY = ("service_id", "registration_key")
    BY_GROUP: ClassVar[tuple[str, ...]] = ("service_id", "enrollment_group_key", "registration_key")
    ORDERS = (BY_GROUP,)
    SEARCHED = (
        Searched("error_code"),
        Searched("status", but="assigned"),
        Searched("enrollment_group_key"),
    )
    service_id: str
    registration_key: str
    etag: str
    status: str
    enrollment_group_key: str | None
    document: bytes
    sealed: str
    created: int
    updated: int
    device_id: str | None = None
    assigned_hub: str | None = None
    substatus: str | None = None
    error_code: int | None = None


class OperationRow(Row):
    """Exists only while a registration is unfinished. `etag` changes with each step, claim and renewal of the lease."""

    TABLE = "operation"
    KEY = ("service_id", "registration_key")
    service_id: str
    registration_key: str
    etag: str
    guid: str
    owner: str
    lease_until: int
    step: str
    document: bytes
    sealed: str
    created: int


class AttemptRow(Row):
    """One run of the workflow. `bucket` is the registration key of a known id, "" for all unknown ones together;
    `service_id` is "" where the device named an id scope of nobody. `registration_key` may be no id at all."""

    TABLE = "attempt"
    KEY = ("service_id", "bucket", "at", "attempt_id")
    BY_REGISTRATION: ClassVar[tuple[str, ...]] = ("service_id", "registration_key", "at", "attempt_id")
    BY_ATTEMPT_ID: ClassVar[tuple[str, ...]] = ("attempt_id", "service_id", "bucket", "at")
    ORDERS = (BY_REGISTRATION, BY_ATTEMPT_ID)
    service_id: str
    bucket: str
    at: int
    attempt_id: str
    registration_key: str
    verdict: str
    document: bytes


class HubDeviceRow(Row):
    """A device identity of an embedded hub; ids are case-sensitive."""

    TABLE = "hub_device"
    KEY = ("hub_id", "device_id")
    hub_id: str
    device_id: str
    etag: str
    document: bytes
    sealed: str


class HubTwinRow(Row):
    TABLE = "hub_twin"
    KEY = ("hub_id", "device_id")
    hub_id: str
    device_id: str
    etag: str
    document: bytes


class HubConnectionRow(Row):
    """How a device stands with its hub. `etag` is the id of its last session; `worker` names the process that holds the
    session, empty where none does. The document says what the session asked for."""

    TABLE = "hub_connection"
    KEY = ("hub_id", "device_id")
    hub_id: str
    device_id: str
    etag: str
    worker: str
    state_updated: int
    last_activity: int
    document: bytes


class HubMessageRow(Row):
    """A cloud-to-device message that waits for its device's acknowledgement."""

    TABLE = "hub_message"
    KEY = ("hub_id", "device_id", "sequence")
    hub_id: str
    device_id: str
    sequence: int
    etag: str
    expires: int
    document: bytes
    body: bytes


class HubMethodCallRow(Row):
    """A direct method under way: addressed to one session, answered to the worker `caller`. No answer yet: empty."""

    TABLE = "hub_method_call"
    KEY = ("hub_id", "device_id", "call_id")
    hub_id: str
    device_id: str
    call_id: str
    etag: str
    session_id: str
    caller: str
    expires: int
    document: bytes
    answer: bytes


class HubDesiredChangeRow(Row):
    """One of the last changes of a twin's desired properties, under the `$version` that it made."""

    TABLE = "hub_desired_change"
    KEY = ("hub_id", "device_id", "version")
    hub_id: str
    device_id: str
    version: int
    document: bytes


class HubStreamRow(Row):
    """The head of a hub's telemetry: the number that its next message gets. `etag` changes with it."""

    TABLE = "hub_stream"
    KEY = ("hub_id",)
    hub_id: str
    etag: str
    next_sequence: int


class HubTelemetryRow(Row):
    """A device-to-cloud message; a hub's messages are numbered without a gap in the order of their commits."""

    TABLE = "hub_telemetry"
    KEY = ("hub_id", "sequence")
    hub_id: str
    sequence: int
    device_id: str
    enqueued: int
    document: bytes
    body: bytes


EVERY_ROW: tuple[type[Row], ...] = (
    ServerRow,
    ProvisioningServiceRow,
    AccessPolicyRow,
    LinkedHubRow,
    EmbeddedHubRow,
    EnrollmentRow,
    EnrollmentGroupRow,
    CertificateThumbprintRow,
    CaCertificateRow,
    RegistrationRow,
    OperationRow,
    AttemptRow,
    HubDeviceRow,
    HubTwinRow,
    HubConnectionRow,
    HubMessageRow,
    HubMethodCallRow,
    HubDesiredChangeRow,
    HubStreamRow,
    HubTelemetryRow,
)
