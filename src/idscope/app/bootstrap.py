"""Owns the first start: one provisioning service, its hubs and their policies, and the server's own key.
It creates what is absent and never changes what exists."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from idscope.clock import Clock
from idscope.directory import AccessPolicy, Right
from idscope.directory.documents import (
    HubDocument,
    LinkedHubDocument,
    ServiceDocument,
    hub_owner,
    hub_row,
    linked_hub_row,
    policy_row,
    service_owner,
    service_row,
)
from idscope.model.etag import ABSENT
from idscope.secret import Secret
from idscope.security.keys import new_symmetric_key
from idscope.security.sealing import Place, Sealer
from idscope.settings import Bootstrap, BootstrapHub, BootstrapPolicy
from idscope.storage import ExpectationFailed, Key, ProvisioningServiceRow, Put, Row, ServerRow, Store, Unit

_log = structlog.get_logger(__name__)

OWNER_POLICY: Final = "provisioningserviceowner"
HUB_OWNER_POLICY: Final = "iothubowner"
EMBEDDED_HUB_ID: Final = "embedded"
_SERVER_KEY: Final = "server_key"
_SERVER_KEY_BYTES: Final = 32
_HUB_KEY_BYTES: Final = 32

SERVICE_RIGHTS: Final = frozenset(
    {
        Right.SERVICE_CONFIG,
        Right.ENROLLMENT_READ,
        Right.ENROLLMENT_WRITE,
        Right.REGISTRATION_STATUS_READ,
        Right.REGISTRATION_STATUS_WRITE,
        Right.DEVICE_CONNECT,
    }
)
HUB_RIGHTS: Final = frozenset({Right.REGISTRY_READ, Right.REGISTRY_WRITE, Right.SERVICE_CONNECT, Right.DEVICE_CONNECT})
# The policies that every IoT hub is born with (published).
HUB_POLICIES: Final[Mapping[str, frozenset[Right]]] = {
    HUB_OWNER_POLICY: HUB_RIGHTS,
    "service": frozenset({Right.SERVICE_CONNECT}),
    "device": frozenset({Right.DEVICE_CONNECT}),
    "registryRead": frozenset({Right.REGISTRY_READ}),
    "registryReadWrite": frozenset({Right.REGISTRY_READ, Right.REGISTRY_WRITE}),
}


async def ensure_state(
    store: Store, sealer: Sealer, clock: Clock, bootstrap: Bootstrap, hub_host_names: tuple[str, ...]
) -> None:
    """Make what is absent, each thing in a unit of its own. Raises StoreUnavailable."""
    await server_key(store, sealer)
    service_id = await _ensure_service(store, clock, bootstrap)
    owner = service_owner(service_id)
    wanted = {OWNER_POLICY: BootstrapPolicy(), **bootstrap.service_policies}
    for name, asked in wanted.items():
        policy = _policy(name, asked, SERVICE_RIGHTS, 64)
        await _ensure(store, policy_row(service_id, owner, policy, sealer, clock.now()))
    for hub in _hubs(bootstrap, hub_host_names):
        await _ensure_hub(store, sealer, clock, service_id, hub)


async def server_key(store: Store, sealer: Sealer) -> bytes:
    """The server's own 32 bytes, by which it knows its operation ids; made once."""
    place = Place("server", _SERVER_KEY)
    key = Key(ServerRow, (_SERVER_KEY,))
    (row,) = await store.fetch((key,))
    if row is None:
        sealed = sealer.seal(secrets.token_bytes(_SERVER_KEY_BYTES), place)
        await _ensure(store, ServerRow(name=_SERVER_KEY, sealed=sealed))
        (row,) = await store.fetch((key,))
    return sealer.open(row.sealed, place)


def new_id_scope() -> str:
    """`0ne00` and six upper-case hex digits: the shape of recent ones (observed)."""
    return "0ne00" + "".join(secrets.choice(string.digits + "ABCDEF") for _ in range(6))


async def _ensure_service(store: Store, clock: Clock, bootstrap: Bootstrap) -> str:
    existing = await store.page(ProvisioningServiceRow, (), None, 100)
    if existing:
        ids = [row.service_id for row in existing]
        if bootstrap.id_scope is not None and bootstrap.id_scope not in ids:
            _log.warning("bootstrap names another id scope than what exists", exists=ids, named=bootstrap.id_scope)
        return bootstrap.id_scope if bootstrap.id_scope in ids else ids[0]
    service_id = bootstrap.id_scope or new_id_scope()
    now = clock.now()
    document = ServiceDocument(name=bootstrap.service_name or "idscope", created=now)
    await _ensure(store, service_row(service_id, document, now))
    return service_id


async def _ensure_hub(store: Store, sealer: Sealer, clock: Clock, service_id: str, hub: BootstrapHub | None) -> None:
    now = clock.now()
    host_name = None if hub is None else hub.host_name
    hub_id = host_name or EMBEDDED_HUB_ID
    await _ensure(store, hub_row(service_id, hub_id, HubDocument(host_name=host_name, created=now), now))
    linked = LinkedHubDocument(connector="embedded", host_name=host_name)
    await _ensure(store, linked_hub_row(service_id, hub_id, linked, now))
    asked = {} if hub is None else hub.policies
    for name in dict.fromkeys((*HUB_POLICIES, *asked)):
        rights = HUB_POLICIES.get(name, HUB_RIGHTS)
        policy = _policy(name, asked.get(name, BootstrapPolicy()), rights, _HUB_KEY_BYTES)
        await _ensure(store, policy_row(service_id, hub_owner(hub_id), policy, sealer, now))


def _hubs(bootstrap: Bootstrap, host_names: tuple[str, ...]) -> Iterable[BootstrapHub | None]:
    """The hubs by name; without any name, one hub at the server's own address."""
    named = {hub.host_name: hub for hub in bootstrap.hubs}
    for name in host_names:
        named.setdefault(name, BootstrapHub(host_name=name))
    return list(named.values()) or [None]


def _policy(name: str, asked: BootstrapPolicy, rights: frozenset[Right], length: int) -> AccessPolicy:
    return AccessPolicy(
        name,
        asked.rights or rights,
        asked.primary_key or new_symmetric_key(length),
        asked.secondary_key or new_symmetric_key(length),
    )


async def _ensure(store: Store, row: Row) -> None:
    try:
        await store.commit(Unit.of(Put(row, ABSENT)))
    except ExpectationFailed:
        return  # it is there already, which is as good


def connection_string(host: str, policy: AccessPolicy) -> Secret:
    """`HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`."""
    return Secret(f"HostName={host};SharedAccessKeyName={policy.name};SharedAccessKey={policy.primary_key.reveal()}")
