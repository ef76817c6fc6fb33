"""Owns the documents of the IoT Hub service API (2021-04-12) for device identities and twins.
It must not know how they are stored.

Member order is the order in which the live hub writes them (observed). Unlike the provisioning service's, a hub's
documents hold nulls. What a caller may say stands apart from what is answered, for the read-only members that clients
send back are of any type (quirk: Node's Device holds `cloudToDeviceMessageCount: "0"`).
"""

from __future__ import annotations

from idscope.model.document import UNSET, Document, FreeObject, RawJson, UnsetType
from idscope.secret import Secret


class SymmetricKey(Document):
    """Base64 of 16 to 64 bytes each."""

    primary_key: Secret | None = None
    secondary_key: Secret | None = None


class X509Thumbprint(Document):
    """Hex, of SHA-1 or SHA-256."""

    primary_thumbprint: str | None = None
    secondary_thumbprint: str | None = None


class AuthenticationMechanism(Document):
    """`type` is sas, selfSigned, certificateAuthority or none."""

    symmetric_key: SymmetricKey | None = None
    x509_thumbprint: X509Thumbprint | None = None
    type: str | None = None


class DeviceCapabilities(Document):
    iot_edge: bool = False


class Device(Document, kw_only=True):
    """A device identity as it is answered."""

    device_id: str
    generation_id: str
    etag: str
    connection_state: str
    status: str
    status_reason: str | None
    connection_state_updated_time: str
    status_updated_time: str
    last_activity_time: str
    cloud_to_device_message_count: int
    authentication: AuthenticationMechanism
    capabilities: DeviceCapabilities
    device_scope: str | UnsetType = UNSET
    parent_scopes: list[str] | UnsetType = UNSET


class DeviceChange(Document):
    """What a caller says of a device identity; members that only the hub writes are ignored."""

    device_id: str | None = None
    status: str | None = None
    status_reason: str | None = None
    authentication: AuthenticationMechanism | None = None
    capabilities: DeviceCapabilities | None = None
    device_scope: str | None = None
    parent_scopes: list[str] | None = None


class TwinProperties(Document):
    """Each an object of free members, `$metadata` and `$version`."""

    desired: FreeObject
    reported: FreeObject


class Twin(Document, kw_only=True):
    """A device twin as it is answered; `etag` counts the service's changes, `version` all of them."""

    device_id: str
    etag: str
    device_etag: str
    status: str
    status_reason: str | UnsetType = UNSET
    status_update_time: str
    connection_state: str
    last_activity_time: str
    cloud_to_device_message_count: int
    authentication_type: str
    x509_thumbprint: X509Thumbprint
    version: int
    tags: FreeObject | UnsetType = UNSET
    properties: TwinProperties
    capabilities: DeviceCapabilities
    device_scope: str | UnsetType = UNSET
    parent_scopes: list[str] | UnsetType = UNSET


class TwinPropertiesChange(Document):
    """Reported properties are the device's: what a service says of them is ignored."""

    desired: RawJson | UnsetType = UNSET


class TwinChange(Document):
    """What a service says of a twin: part of it, or all of what it has read."""

    device_id: str | None = None
    tags: RawJson | UnsetType = UNSET
    properties: TwinPropertiesChange | UnsetType | None = UNSET


class ExportImportDevice(Document):
    """One item of a bulk operation.

    quirk: the published name of the etag is `eTag`; Node's bulk operations send a device's `etag` as they have read it.
    """

    id: str
    module_id: str | None = None
    e_tag: str | None = None
    etag: str | None = None
    import_mode: str | None = None
    status: str | None = None
    status_reason: str | None = None
    authentication: AuthenticationMechanism | None = None
    twin_e_tag: str | None = None
    tags: RawJson | UnsetType = UNSET
    properties: TwinPropertiesChange | UnsetType | None = UNSET
    capabilities: DeviceCapabilities | None = None
    device_scope: str | None = None
    parent_scopes: list[str] | None = None


class DeviceRegistryOperationError(Document):
    device_id: str
    error_code: str
    error_status: str
    module_id: str | None = None
    operation: str | None = None


class DeviceRegistryOperationWarning(Document):
    device_id: str
    warning_code: str
    warning_status: str


class BulkRegistryOperationResult(Document):
    is_successful: bool
    errors: list[DeviceRegistryOperationError]
    warnings: list[DeviceRegistryOperationWarning]


class RegistryStatistics(Document):
    total_device_count: int
    enabled_device_count: int
    disabled_device_count: int


class ServiceStatistics(Document):
    connected_device_count: int


class QuerySpecification(Document):
    query: str


class PurgeMessageQueueResult(Document):
    total_messages_purged: int
    device_id: str
    module_id: str | None = None
