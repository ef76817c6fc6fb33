"""Owns the present snapshot and reads it anew when a revision says that it is old.
It must not know what changed, nor who asks."""

from __future__ import annotations

from typing import Any, Final

from idscope.directory.documents import (
    created,
    hub_owner,
    read_hub,
    read_linked_hub,
    read_policy,
    read_service,
    service_owner,
)
from idscope.directory.snapshot import AccessPolicy, Snapshot
from idscope.security.sealing import Sealer
from idscope.storage import AccessPolicyRow, EmbeddedHubRow, LinkedHubRow, ProvisioningServiceRow, Store

_PAGE: Final = 1000


class Directory:
    """The services and hubs of this server.

    `own_names` are the names under which it is reached, its listen address first; a hub without a name of its own
    has that address.
    """

    def __init__(self, store: Store, sealer: Sealer, own_names: tuple[str, ...]) -> None:
        self._store = store
        self._sealer = sealer
        self._own_names = own_names
        self._snapshot = Snapshot((), ())

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    async def load(self) -> Snapshot:
        """Read everything; raises StoreUnavailable, CannotOpen."""
        services = sorted(await self._all(ProvisioningServiceRow), key=lambda row: (created(row), row.service_id))
        hubs = sorted(await self._all(EmbeddedHubRow), key=lambda row: (created(row), row.hub_id))
        linked = await self._all(LinkedHubRow)
        policies: dict[str, dict[str, AccessPolicy]] = {}
        for row in await self._all(AccessPolicyRow):
            policies.setdefault(row.owner, {})[row.name] = read_policy(row, self._sealer)
        address = self._own_names[0]
        self._snapshot = Snapshot(
            tuple(
                read_service(
                    row,
                    policies.get(service_owner(row.service_id), {}),
                    tuple(read_linked_hub(hub, address) for hub in linked if hub.service_id == row.service_id),
                    self._own_names,
                )
                for row in services
            ),
            tuple(read_hub(row, policies.get(hub_owner(row.hub_id), {}), self._own_names) for row in hubs),
        )
        return self._snapshot

    async def as_of(self, service_id: str, revision: int) -> Snapshot:
        """A snapshot that is not older than the service's `revision`, which every read batch brings along."""
        service = self._snapshot.service_by_id_scope(service_id)
        if service is None or service.revision < revision:
            return await self.load()
        return self._snapshot

    async def _all(self, kind: Any) -> list[Any]:
        rows: list[Any] = []
        after: tuple[str | int, ...] | None = None
        while True:
            page = await self._store.page(kind, (), after, _PAGE)
            rows += page
            if len(page) < _PAGE:
                return rows
            after = tuple(getattr(page[-1], name) for name in kind.KEY)
