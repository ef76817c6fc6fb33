"""Owns the device identities of embedded hubs: create, read, update, delete, list, count.
It must not know who asks, nor what provisioning is.

A device and its twin are created and deleted in one unit. Where the caller expects nothing of what is stored, a change
is tried again until no other writer came between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import msgspec

from idscope.clock import Clock
from idscope.embedded_hub.authentication import open_authentication, seal_keys, settle, without_secrets
from idscope.embedded_hub.connections import DeviceState, connected_count, device_states
from idscope.embedded_hub.device_change import changed_device, new_device
from idscope.embedded_hub.documents import (
    AuthenticationMechanism,
    Device,
    DeviceCapabilities,
    DeviceChange,
    RegistryStatistics,
)
from idscope.embedded_hub.records import (
    DeviceRecord,
    new_device_etag,
    time_or_never,
    twin_row,
    version_in,
)
from idscope.embedded_hub.twins import MAX_TRIES, new_twin
from idscope.errors import (
    HubDeviceExists,
    HubDeviceNotFound,
    HubPreconditionFailed,
    HubThrottled,
)
from idscope.model.device_identity import TwinContent
from idscope.model.document import UNSET
from idscope.model.etag import ABSENT, ANYTHING, Absent, Anything, Expectation, Matches, Present
from idscope.security.sealing import Sealer
from idscope.storage import (
    Delete,
    ExpectationFailed,
    HubConnectionRow,
    HubDesiredChangeRow,
    HubDeviceRow,
    HubMessageRow,
    HubTwinRow,
    Key,
    Put,
    Store,
    Trim,
    Unit,
    Write,
)

PAGE_LIMIT: Final = 1000  # published
_UNSEEN: Final = DeviceState()


Changed = Callable[[str, str], Awaitable[None]]


class Identities:
    """The device identities of every embedded hub; ids are case-sensitive.

    `changed(hub_id, device_id)` is told where a device may no longer be connected.
    """

    def __init__(self, store: Store, sealer: Sealer, clock: Clock, changed: Changed | None = None) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._changed = changed

    async def find(self, hub_id: str, device_id: str) -> Device | None:
        """The device without a look at its connection."""
        row = await self._row(hub_id, device_id)
        return None if row is None else self._document(row, _UNSEEN)

    async def get(self, hub_id: str, device_id: str) -> Device:
        """Raises HubDeviceNotFound."""
        row = await self._row(hub_id, device_id)
        if row is None:
            raise HubDeviceNotFound(device_id)
        return (await self._documents(hub_id, [row]))[0]

    async def create_or_update(
        self,
        hub_id: str,
        device_id: str,
        change: DeviceChange,
        expect: Expectation,
        initial_twin: TwinContent | None = None,
    ) -> Device:
        """Create (`Absent`), update (`Matches`, `Present`) or either (`Anything`).

        A new device has the initial twin; an update leaves the twin alone. Raises HubArgumentInvalid,
        HubTwinTooLarge, HubDeviceExists, HubDeviceNotFound, HubPreconditionFailed.
        """
        for attempt in range(MAX_TRIES):
            # A new device is the common case, and the unit itself expects that it is new: no look before the first try.
            unseen = attempt == 0 and isinstance(expect, Absent)
            row = None if unseen else await self._row(hub_id, device_id)
            _hold_to(expect, row, device_id)
            unit, new_row = self._written(hub_id, device_id, change, row, initial_twin)
            try:
                await self._store.commit(unit)
            except ExpectationFailed:
                await asyncio.sleep(0)  # the next look tells what came between
                continue
            return await self._after(row, new_row)
        raise HubThrottled(reason=f"the device changed {MAX_TRIES} times meanwhile")

    def creation(
        self, hub_id: str, device_id: str, change: DeviceChange, initial_twin: TwinContent
    ) -> tuple[Write, ...]:
        """The writes that create a device, for a unit of the caller's. Raises HubArgumentInvalid, HubTwinTooLarge."""
        unit, _ = self._written(hub_id, device_id, change, None, initial_twin)
        return unit.writes

    async def delete(self, hub_id: str, device_id: str, expect: Expectation) -> None:
        """Remove the device and all that is kept of it.

        Raises HubDeviceNotFound and HubPreconditionFailed, but nothing of a missing device under `Anything`.
        """
        for _ in range(MAX_TRIES):
            row = await self._row(hub_id, device_id)
            _hold_to(expect, row, device_id)
            if row is None:
                return
            try:
                await self._store.commit(
                    Unit.of(
                        Delete(Key(HubDeviceRow, (hub_id, device_id)), Matches(row.etag)),
                        Delete(Key(HubTwinRow, (hub_id, device_id))),
                        Delete(Key(HubConnectionRow, (hub_id, device_id))),
                        Trim(HubMessageRow, (hub_id, device_id), 0),
                        Trim(HubDesiredChangeRow, (hub_id, device_id), 0),
                    )
                )
            except ExpectationFailed:
                await asyncio.sleep(0)
                continue
            await self._tell(hub_id, device_id)
            return
        raise HubThrottled(reason=f"the device changed {MAX_TRIES} times meanwhile")

    async def page(self, hub_id: str, after: str | None, limit: int) -> list[Device]:
        """Up to `limit` devices behind the id `after`, in the order of ids."""
        rows = await self._store.page(HubDeviceRow, (hub_id,), None if after is None else (after,), limit)
        return await self._documents(hub_id, rows)

    async def statistics(self, hub_id: str) -> RegistryStatistics:
        total = disabled = 0
        async for row in self._every_row(hub_id):
            total += 1
            disabled += _record(row).status == "disabled"
        return RegistryStatistics(
            total_device_count=total, enabled_device_count=total - disabled, disabled_device_count=disabled
        )

    async def connected(self, hub_id: str) -> int:
        """How many devices are connected."""
        return await connected_count(self._store, hub_id)

    async def check(self) -> None:
        """Return if the hub's store can be read and written."""
        await self._store.check()

    async def _every_row(self, hub_id: str) -> AsyncIterator[HubDeviceRow]:
        after: tuple[str] | None = None
        while rows := await self._store.page(HubDeviceRow, (hub_id,), after, PAGE_LIMIT):
            for row in rows:
                yield row
            after = (rows[-1].device_id,)

    async def _row(self, hub_id: str, device_id: str) -> HubDeviceRow | None:
        [row] = await self._store.fetch([Key(HubDeviceRow, (hub_id, device_id))])
        return row  # type: ignore[no-any-return]  # the key says which row it is

    def _written(
        self,
        hub_id: str,
        device_id: str,
        change: DeviceChange,
        row: HubDeviceRow | None,
        initial_twin: TwinContent | None,
    ) -> tuple[Unit, HubDeviceRow]:
        """The unit that writes the change on top of the row (with a new twin where there is none)."""
        now = self._clock.now()
        new_row = self._changed_row(hub_id, device_id, change, row, now)
        if row is not None:
            return Unit.of(Put(new_row, Matches(row.etag))), new_row
        twin = new_twin(_record(new_row).generation_id, now, initial_twin)
        return Unit.of(Put(new_row, ABSENT), Put(twin_row(hub_id, device_id, twin), ANYTHING)), new_row

    def _changed_row(
        self, hub_id: str, device_id: str, change: DeviceChange, row: HubDeviceRow | None, now: int
    ) -> HubDeviceRow:
        authentication = settle(change.authentication, None if row is None else self._authentication(row))
        stored = without_secrets(authentication)
        record = (
            new_device(device_id, change, stored, now)
            if row is None
            else changed_device(device_id, change, _record(row), stored, now)
        )
        return HubDeviceRow(
            hub_id=hub_id,
            device_id=device_id,
            etag=new_device_etag(),
            document=msgspec.json.encode(record),
            sealed=seal_keys(self._sealer, hub_id, device_id, authentication),
        )

    def _authentication(self, row: HubDeviceRow) -> AuthenticationMechanism:
        return open_authentication(self._sealer, row.hub_id, row.device_id, _record(row).authentication, row.sealed)

    async def _after(self, before: HubDeviceRow | None, row: HubDeviceRow) -> Device:
        """The device that was written; a new one is connected nowhere."""
        if before is None:
            return self._document(row, _UNSEEN)
        if _record(row).status != "enabled":
            await self._tell(row.hub_id, row.device_id)
        return (await self._documents(row.hub_id, [row]))[0]

    async def _tell(self, hub_id: str, device_id: str) -> None:
        if self._changed is not None:
            await self._changed(hub_id, device_id)

    async def _documents(self, hub_id: str, rows: Sequence[HubDeviceRow]) -> list[Device]:
        states = await device_states(self._store, hub_id, [row.device_id for row in rows], self._clock.now())
        return [self._document(row, state) for row, state in zip(rows, states, strict=True)]

    def _document(self, row: HubDeviceRow, state: DeviceState) -> Device:
        record = _record(row)
        return Device(
            device_id=row.device_id,
            generation_id=record.generation_id,
            etag=row.etag,
            connection_state=state.word,
            status=record.status,
            status_reason=record.status_reason,
            connection_state_updated_time=time_or_never(state.updated),
            status_updated_time=time_or_never(record.status_updated),
            last_activity_time=time_or_never(state.last_activity),
            cloud_to_device_message_count=state.messages,
            authentication=self._authentication(row),
            capabilities=DeviceCapabilities(iot_edge=record.iot_edge),
            device_scope=UNSET if record.device_scope is None else record.device_scope,
            parent_scopes=UNSET if record.parent_scopes is None else record.parent_scopes,
        )


def _record(row: HubDeviceRow) -> DeviceRecord:
    return msgspec.json.decode(row.document, type=DeviceRecord)


def _hold_to(expect: Expectation, row: HubDeviceRow | None, device_id: str) -> None:
    match expect, row:
        case Anything(), _:
            return
        case Absent(), None:
            return
        case Absent(), _:
            raise HubDeviceExists(f"A device with ID '{device_id}' is already registered.")
        case _, None:
            raise HubDeviceNotFound(device_id)
        case Matches(etag=etag), HubDeviceRow() if etag != row.etag:
            raise HubPreconditionFailed(
                "Precondition failed: Device version did not match, "
                f"existingVersion:{version_in(row.etag)} newVersion:{version_in(etag)}"
            )
        case Present(), _:
            return
