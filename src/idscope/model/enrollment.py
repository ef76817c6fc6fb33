"""Owns the documents of enrollments, queries and bulk operations. It must not know how they are stored or judged.

Member order is the order in which the live service writes them (observed).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Raw

from idscope.model.attestation import AttestationMechanism
from idscope.model.document import UNSET, Document, FreeObject, UnsetType
from idscope.secret import Secret

AllocationPolicy = Literal["hashed", "geoLatency", "static", "custom"]
ProvisioningStatus = Literal["enabled", "disabled"]
BulkMode = Literal["create", "update", "updateIfMatchETag", "delete"]


class DeviceCapabilities(Document):
    iot_edge: bool = False


class InitialTwinProperties(Document):
    desired: FreeObject | UnsetType = UNSET


class InitialTwin(Document):
    """`tags` and `desired` are free JSON objects: members named version, count, metadata mean nothing special."""

    tags: FreeObject | UnsetType = UNSET
    properties: InitialTwinProperties | UnsetType | None = UNSET


class ReprovisionPolicy(Document):
    update_hub_assignment: bool = True
    migrate_device_data: bool = True


class CustomAllocationDefinition(Document):
    """The URL commonly carries a function key in its query, so it is kept as a secret."""

    webhook_url: Secret
    api_version: str


class IndividualEnrollment(Document, kw_only=True):
    """The device enrollment record; `registration_state` in a request is ignored, whatever it holds."""

    registration_id: str
    device_id: str | UnsetType | None = UNSET
    registration_state: (
        Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/DeviceRegistrationState"})] | UnsetType
    ) = UNSET
    optional_device_information: FreeObject | UnsetType = UNSET
    attestation: AttestationMechanism
    capabilities: DeviceCapabilities | UnsetType | None = UNSET
    iot_hub_host_name: str | UnsetType | None = UNSET
    initial_twin: InitialTwin | UnsetType | None = UNSET
    etag: str | UnsetType | None = UNSET
    provisioning_status: ProvisioningStatus | UnsetType | None = UNSET
    reprovision_policy: ReprovisionPolicy | UnsetType | None = UNSET
    created_date_time_utc: str | UnsetType | None = UNSET
    last_updated_date_time_utc: str | UnsetType | None = UNSET
    allocation_policy: AllocationPolicy | UnsetType | None = UNSET
    iot_hubs: list[str] | UnsetType | None = UNSET
    custom_allocation_definition: CustomAllocationDefinition | UnsetType | None = UNSET
    credential_policy_name: str | UnsetType | None = UNSET
    namespace_name: str | UnsetType | None = UNSET
    certificate_authority_name: str | UnsetType | None = UNSET
    certificate_policy_name: str | UnsetType | None = UNSET


class EnrollmentGroup(Document, frozen=True, kw_only=True):
    """The enrollment group record: as an individual one, without what belongs to one device."""

    enrollment_group_id: str
    attestation: AttestationMechanism
    capabilities: DeviceCapabilities | UnsetType | None = UNSET
    iot_hub_host_name: str | UnsetType | None = UNSET
    initial_twin: InitialTwin | UnsetType | None = UNSET
    etag: str | UnsetType | None = UNSET
    provisioning_status: ProvisioningStatus | UnsetType | None = UNSET
    reprovision_policy: ReprovisionPolicy | UnsetType | None = UNSET
    created_date_time_utc: str | UnsetType | None = UNSET
    last_updated_date_time_utc: str | UnsetType | None = UNSET
    allocation_policy: AllocationPolicy | UnsetType | None = UNSET
    iot_hubs: list[str] | UnsetType | None = UNSET
    custom_allocation_definition: CustomAllocationDefinition | UnsetType | None = UNSET
    credential_policy_name: str | UnsetType | None = UNSET
    namespace_name: str | UnsetType | None = UNSET
    certificate_authority_name: str | UnsetType | None = UNSET
    certificate_policy_name: str | UnsetType | None = UNSET


Enrollment = IndividualEnrollment | EnrollmentGroup


class QuerySpecification(Document):
    query: str


class RegistrationQuerySpecification(Document):
    """The published operation has no body; clients send a query, or an empty one, all the same."""

    query: str | UnsetType | None = UNSET


class BulkEnrollmentOperation(Document):
    enrollments: list[IndividualEnrollment]
    mode: BulkMode


class BulkEnrollmentOperationError(Document):
    registration_id: str
    error_code: int
    error_status: str


class BulkEnrollmentOperationResult(Document):
    errors: list[BulkEnrollmentOperationError]
    is_successful: bool


class BulkEnrollmentGroupOperation(Document):
    enrollment_groups: list[EnrollmentGroup]
    mode: BulkMode


class BulkEnrollmentGroupOperationError(Document):
    enrollment_group_id: str
    error_code: int
    error_status: str


class BulkEnrollmentGroupOperationResult(Document):
    errors: list[BulkEnrollmentGroupOperationError]
    is_successful: bool
