"""Owns how services, policies and hubs are written into rows and read back. It must not know when that happens."""

from __future__ import annotations

import msgspec

from idscope.directory.snapshot import AccessPolicy, EmbeddedHub, LinkedHub, ProvisioningService, Right
from idscope.model.document import decode, encode, encode_revealing
from idscope.model.enrollment import AllocationPolicy
from idscope.model.etag import new_etag
from idscope.secret import Secret
from idscope.security.sealing import Place, Sealer
from idscope.storage import AccessPolicyRow, EmbeddedHubRow, LinkedHubRow, ProvisioningServiceRow


class ServiceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`host_names` are those given by name; the address where the server listens is added when it is read."""

    name: str
    host_names: tuple[str, ...] = ()
    allocation_policy: AllocationPolicy = "hashed"
    created: int


class HubDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`host_name` None: wherever the server listens."""

    host_name: str | None = None
    created: int


class LinkedHubDocument(msgspec.Struct, frozen=True, kw_only=True):
    connector: str
    host_name: str | None = None
    allocation_weight: int = 1
    apply_allocation_policy: bool = True


class _PolicyDocument(msgspec.Struct, frozen=True):
    rights: tuple[Right, ...]


class _PolicyKeys(msgspec.Struct, frozen=True):
    primary_key: Secret
    secondary_key: Secret


def service_owner(service_id: str) -> str:
    """The `owner` of a service's access policies."""
    return f"service/{service_id}"


def hub_owner(hub_id: str) -> str:
    """The `owner` of an embedded hub's access policies."""
    return f"hub/{hub_id}"


def service_row(service_id: str, document: ServiceDocument, now: int) -> ProvisioningServiceRow:
    return ProvisioningServiceRow(service_id=service_id, etag=new_etag(now), document=encode(document))


def hub_row(service_id: str, hub_id: str, document: HubDocument, now: int) -> EmbeddedHubRow:
    return EmbeddedHubRow(service_id=service_id, hub_id=hub_id, etag=new_etag(now), document=encode(document))


def linked_hub_row(service_id: str, hub_id: str, document: LinkedHubDocument, now: int) -> LinkedHubRow:
    return LinkedHubRow(service_id=service_id, hub_id=hub_id, etag=new_etag(now), document=encode(document), sealed="")


def policy_row(service_id: str, owner: str, policy: AccessPolicy, sealer: Sealer, now: int) -> AccessPolicyRow:
    keys = encode_revealing(_PolicyKeys(policy.primary_key, policy.secondary_key))
    rights = tuple(sorted(policy.rights, key=lambda right: right.value))
    return AccessPolicyRow(
        service_id=service_id,
        owner=owner,
        name=policy.name,
        etag=new_etag(now),
        document=encode(_PolicyDocument(rights)),
        sealed=sealer.seal(keys, _policy_place(service_id, owner, policy.name)),
    )


def read_policy(row: AccessPolicyRow, sealer: Sealer) -> AccessPolicy:
    """Raises CannotOpen where the key file is not the one that sealed the row."""
    rights = decode(row.document, _PolicyDocument).rights
    keys = decode(sealer.open(row.sealed, _policy_place(row.service_id, row.owner, row.name)), _PolicyKeys)
    return AccessPolicy(row.name, frozenset(rights), keys.primary_key, keys.secondary_key)


def read_service(
    row: ProvisioningServiceRow,
    policies: dict[str, AccessPolicy],
    linked_hubs: tuple[LinkedHub, ...],
    own_names: tuple[str, ...],
) -> ProvisioningService:
    """`own_names` are the names under which this server is reached, the one shown to people first."""
    document = decode(row.document, ServiceDocument)
    names = dict.fromkeys(name.lower() for name in (*document.host_names, *own_names))
    return ProvisioningService(
        service_id=row.service_id,
        name=document.name,
        host_names=tuple(names),
        policies=policies,
        linked_hubs=linked_hubs,
        allocation_policy=document.allocation_policy,
        revision=row.revision,
    )


def read_hub(row: EmbeddedHubRow, policies: dict[str, AccessPolicy], own_names: tuple[str, ...]) -> EmbeddedHub:
    name = decode(row.document, HubDocument).host_name
    names = own_names if name is None else (name,)
    return EmbeddedHub(row.hub_id, tuple(dict.fromkeys(one.lower() for one in names)), policies)


def read_linked_hub(row: LinkedHubRow, own_address: str) -> LinkedHub:
    document = decode(row.document, LinkedHubDocument)
    return LinkedHub(
        hub_id=row.hub_id,
        host_name=document.host_name or own_address,
        connector=document.connector,
        allocation_weight=document.allocation_weight,
        apply_allocation_policy=document.apply_allocation_policy,
    )


def created(row: ProvisioningServiceRow | EmbeddedHubRow) -> int:
    """When the row was made: the first service and the first hub are the defaults."""
    return decode(row.document, _Created).created


class _Created(msgspec.Struct, frozen=True):
    created: int


def _policy_place(service_id: str, owner: str, name: str) -> Place:
    return Place("access_policy", service_id, owner, name)
