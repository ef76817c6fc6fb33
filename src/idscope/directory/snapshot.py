"""Owns the snapshot of services, policies and hubs, and how a host name or an id scope finds one.
It must not know how the snapshot is stored, nor what a caller may do with it."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

from idscope.model.enrollment import AllocationPolicy
from idscope.secret import Secret


class Right(Enum):
    """Rights of shared access policies, in the published words of the two services."""

    SERVICE_CONFIG = "ServiceConfig"
    ENROLLMENT_READ = "EnrollmentRead"
    ENROLLMENT_WRITE = "EnrollmentWrite"
    REGISTRATION_STATUS_READ = "RegistrationStatusRead"
    REGISTRATION_STATUS_WRITE = "RegistrationStatusWrite"
    DEVICE_CONNECT = "DeviceConnect"
    REGISTRY_READ = "RegistryRead"
    REGISTRY_WRITE = "RegistryWrite"
    SERVICE_CONNECT = "ServiceConnect"


class AccessPolicy(msgspec.Struct, frozen=True):
    """A shared access policy; either key signs."""

    name: str
    rights: frozenset[Right]
    primary_key: Secret
    secondary_key: Secret


class LinkedHub(msgspec.Struct, frozen=True):
    """`hub_id` never changes; `host_name` is what devices are told now. `connector` is a key of the connector
    registry ("embedded"); weight 1 to 1000."""

    hub_id: str
    host_name: str
    connector: str = "embedded"
    allocation_weight: int = 1
    apply_allocation_policy: bool = True
    connection_string: Secret | None = None


class EmbeddedHub(msgspec.Struct, frozen=True):
    hub_id: str
    host_names: tuple[str, ...]
    policies: dict[str, AccessPolicy]


class ProvisioningService(msgspec.Struct, frozen=True):
    """`service_id` is the id scope as spelled; `host_names` are bare, lower case, the first one is shown to people."""

    service_id: str
    name: str
    host_names: tuple[str, ...]
    policies: dict[str, AccessPolicy]
    linked_hubs: tuple[LinkedHub, ...]
    allocation_policy: AllocationPolicy = "hashed"
    revision: int = 0
    state: Literal["Active"] = "Active"


class Snapshot(msgspec.Struct, frozen=True):
    """All of it; the first service and the first hub are the defaults."""

    services: tuple[ProvisioningService, ...]
    hubs: tuple[EmbeddedHub, ...]

    def service_by_id_scope(self, id_scope: str) -> ProvisioningService | None:
        """Compared without case: one client lower-cases what it signs."""
        wanted = id_scope.lower()
        return next((one for one in self.services if one.service_id.lower() == wanted), None)

    def service_by_host(self, host_name: str) -> ProvisioningService:
        """The service a Host header names; the default one where it names none."""
        wanted = host_name.lower()
        return next((one for one in self.services if wanted in one.host_names), self.services[0])

    def service_by_name(self, name: str) -> ProvisioningService | None:
        """By the name of its resource in the control plane, compared without case."""
        wanted = name.lower()
        return next((one for one in self.services if one.name.lower() == wanted), None)

    def no_service_named(self, name: str) -> str:
        """What an operator is told who asked for a service that is not here."""
        names = ", ".join(repr(one.name) for one in self.services)
        return f"The provisioning service {name[:64]!r} was not found. This server has {names}."

    def hub_by_host(self, host_name: str) -> EmbeddedHub | None:
        """The embedded hub that a Host header or a user name names, the first hub where it names none."""
        wanted = host_name.lower()
        return next((one for one in self.hubs if wanted in one.host_names), self.hubs[0] if self.hubs else None)
