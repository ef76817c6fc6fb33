"""Owns a sample of each row, with values that are hard to store. It must not know who stores them."""

from __future__ import annotations

from typing import Any

from idscope.storage import (
    AccessPolicyRow,
    AttemptRow,
    CaCertificateRow,
    CertificateThumbprintRow,
    EmbeddedHubRow,
    EnrollmentGroupRow,
    EnrollmentRow,
    HubConnectionRow,
    HubDesiredChangeRow,
    HubDeviceRow,
    HubMessageRow,
    HubMethodCallRow,
    HubStreamRow,
    HubTelemetryRow,
    HubTwinRow,
    LinkedHubRow,
    OperationRow,
    ProvisioningServiceRow,
    RegistrationRow,
    Row,
    ServerRow,
)

SERVICE = "0ne00000001"


def service(*, etag: str = "s1", revision: int = 0) -> ProvisioningServiceRow:
    return ProvisioningServiceRow(service_id=SERVICE, etag=etag, document=b"{}", revision=revision)


def enrollment(key: str, *, service_id: str = SERVICE, created: int = 1, **searched: Any) -> EnrollmentRow:
    return EnrollmentRow(
        service_id=service_id,
        registration_key=key,
        etag="e1",
        attestation_type="symmetricKey",
        endorsement_key_hash=None,
        document=b"{}",
        sealed="",
        created=created,
        updated=2,
        **searched,
    )


def registration(
    key: str, *, etag: str = "e1", status: str = "assigned", document: bytes = b"{}", **searched: Any
) -> RegistrationRow:
    return RegistrationRow(
        service_id=SERVICE,
        registration_key=key,
        etag=etag,
        status=status,
        document=document,
        sealed="",
        created=1,
        updated=2,
        **{"enrollment_group_key": None, **searched},
    )


def operation(key: str, *, lease_until: int) -> OperationRow:
    return OperationRow(
        service_id=SERVICE,
        registration_key=key,
        etag="o1",
        guid="g",
        owner="w",
        lease_until=lease_until,
        step="hub",
        document=b"",
        sealed="",
        created=1,
    )


def attempt(bucket: str, at: int, attempt_id: str = "a") -> AttemptRow:
    return AttemptRow(
        service_id=SERVICE,
        bucket=bucket,
        at=at,
        attempt_id=attempt_id,
        registration_key="r",
        verdict="refused",
        document=b"",
    )


def device(device_id: str, *, etag: str = "d1") -> HubDeviceRow:
    return HubDeviceRow(hub_id="h", device_id=device_id, etag=etag, document=b"{}", sealed="")


ONE_OF_EACH: tuple[Row, ...] = (
    ServerRow(name="server-key", sealed="v1:k:n:c"),
    ProvisioningServiceRow(service_id="other", etag="e", document=b'{"a":1}'),
    AccessPolicyRow(service_id=SERVICE, owner="hub/h", name="n", etag="e", document=b"\x00\xff", sealed="x"),
    LinkedHubRow(service_id=SERVICE, hub_id="127.0.0.1", etag="e", document=b"", sealed=""),
    EmbeddedHubRow(service_id=SERVICE, hub_id="h", etag="e", document="ü".encode()),
    EnrollmentRow(
        service_id=SERVICE,
        registration_key="tpm-1",
        etag="e",
        attestation_type="tpm",
        endorsement_key_hash="AB",
        document=b"{}",
        sealed="v1",
        created=1_684_537_845_477_793,
        updated=2**62,
        device_id="Gerät",
        provisioning_status="disabled",
        iot_edge=1,
        migrate_device_data=0,
        client_primary_not_after=-1,
    ),
    EnrollmentGroupRow(
        service_id=SERVICE,
        group_key="grüppe",
        etag="e",
        attestation_type="symmetricKey",
        document=b"",
        sealed="",
        created=0,
        updated=-1,
    ),
    CertificateThumbprintRow(service_id=SERVICE, thumbprint="00FF", owner="enrollment/x"),
    CaCertificateRow(service_id=SERVICE, name="root-1._", etag="e", document=b'{"name":"Root-1._"}'),
    registration("ключ-'%_\\", document=bytes(range(256)), device_id="Gerät", error_code=400209),
    operation("r", lease_until=-1),
    attempt("", 5),
    device("Device"),
    HubTwinRow(hub_id="h", device_id="Device", etag="e", document=b"x" * 9_000),
    HubConnectionRow(
        hub_id="h", device_id="Device", etag="s", worker="", state_updated=1, last_activity=2, document=b"{}"
    ),
    HubMessageRow(hub_id="h", device_id="Device", sequence=2**53, etag="m", expires=3, document=b"{}", body=b"\x00"),
    HubMethodCallRow(
        hub_id="h",
        device_id="Device",
        call_id="c",
        etag="e",
        session_id="s",
        caller="w",
        expires=4,
        document=b"{}",
        answer=b"",
    ),
    HubDesiredChangeRow(hub_id="h", device_id="Device", version=2, document=b"{}"),
    HubStreamRow(hub_id="h", etag="1", next_sequence=1),
    HubTelemetryRow(hub_id="h", sequence=0, device_id="Device", enqueued=5, document=b"{}", body=bytes(range(256))),
)
