"""Owns device twins: reading, patching and replacing them. It must not know who asks, nor how a device is told.

A twin is created and deleted with its device, never by itself. Where the caller names no etag, a change is applied to
whatever is stored then: compare-and-swap, again until it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from idscope.clock import Clock, next_time
from idscope.embedded_hub import twin_content
from idscope.embedded_hub.cloud_messages import Nudge
from idscope.embedded_hub.connections import DeviceState, device_states
from idscope.embedded_hub.desired_changes import DESIRED, change_writes, patch_between
from idscope.embedded_hub.documents import (
    DeviceCapabilities,
    Twin,
    TwinChange,
    TwinProperties,
    X509Thumbprint,
)
from idscope.embedded_hub.records import (
    DeviceRecord,
    TwinRecord,
    TwinSection,
    desired_mark,
    initial_content,
    reported_mark,
    time_or_never,
    twin_row,
)
from idscope.errors import HubDeviceNotFound, HubPreconditionFailed, HubThrottled
from idscope.model.device_identity import TwinContent
from idscope.model.document import UNSET, UnsetType
from idscope.model.etag import ANYTHING, Expectation, Matches
from idscope.storage import ExpectationFailed, HubDeviceRow, HubTwinRow, Key, Put, Store, Unit, Write

MAX_TRIES: Final = 100  # each lost race is another writer's success
Change = Callable[[TwinRecord, int], TwinRecord]
PatchOf = Callable[[TwinRecord], Raw]


def new_twin(generation_id: str, now: int, content: TwinContent | None) -> TwinRecord:
    """The twin of a new device; raises HubArgumentInvalid, HubTwinTooLarge. Initial values stand at `$version` 1."""
    given = initial_content(content)
    twin_content.check_content(given.tags, "Tags", twin_content.TAGS_LIMIT)
    twin_content.check_content(given.desired, "Properties.Desired", twin_content.PROPERTIES_LIMIT)
    mark = desired_mark(now, 1) if twin_content.members(given.desired) else reported_mark(now)
    desired = TwinSection(given.desired, twin_content.stamp({}, given.desired, mark))
    reported = TwinSection(twin_content.EMPTY, reported_mark(now))
    return TwinRecord(generation_id, now, desired, reported, tags=given.tags)


def twin_document(device_row: HubDeviceRow, twin_row_: HubTwinRow, state: DeviceState) -> Twin:
    device = msgspec.json.decode(device_row.document, type=DeviceRecord)
    twin = msgspec.json.decode(twin_row_.document, type=TwinRecord)
    stored = device.authentication
    return Twin(
        device_id=device_row.device_id,
        etag=twin.etag,
        device_etag=device_row.etag,
        status=device.status,
        status_reason=UNSET if device.status_reason is None else device.status_reason,
        status_update_time=time_or_never(device.status_updated),
        connection_state=state.word,
        last_activity_time=time_or_never(state.last_activity),
        cloud_to_device_message_count=state.messages,
        authentication_type=stored.type,
        x509_thumbprint=X509Thumbprint(
            primary_thumbprint=stored.primary_thumbprint, secondary_thumbprint=stored.secondary_thumbprint
        ),
        version=twin.version,
        tags=twin.tags if twin_content.members(twin.tags) else UNSET,
        properties=TwinProperties(desired=_section(twin.desired), reported=_section(twin.reported)),
        capabilities=DeviceCapabilities(iot_edge=device.iot_edge),
        device_scope=UNSET if device.device_scope is None else device.device_scope,
        parent_scopes=UNSET if device.parent_scopes is None else device.parent_scopes,
    )


def _section(section: TwinSection) -> Raw:
    values = twin_content.members(section.values)
    return twin_content.object_of({**values, "$metadata": section.metadata, "$version": section.version})


def _device_section(section: TwinSection) -> Raw:
    return twin_content.object_of({**twin_content.members(section.values), "$version": section.version})


class Twins:
    """The twins of every embedded hub; all methods raise HubDeviceNotFound where there is no such device.

    `nudge(kind, hub_id, device_id)` tells the device's session that its desired properties changed.
    """

    def __init__(self, store: Store, clock: Clock, nudge: Nudge | None = None) -> None:
        self._store = store
        self._clock = clock
        self._nudge = nudge

    async def get(self, hub_id: str, device_id: str) -> Twin:
        return await self._document(*await self._rows(hub_id, device_id))

    async def properties(self, hub_id: str, device_id: str) -> bytes:
        """Desired and reported properties as the device itself gets them: without metadata."""
        _, row = await self._rows(hub_id, device_id)
        twin = msgspec.json.decode(row.document, type=TwinRecord)
        both = {"desired": _device_section(twin.desired), "reported": _device_section(twin.reported)}
        return bytes(twin_content.object_of(both))

    async def page(self, hub_id: str, after: str | None, limit: int) -> list[Twin]:
        """Up to `limit` twins behind the device id `after`, in the order of device ids."""
        rows = await self._store.page(HubTwinRow, (hub_id,), None if after is None else (after,), limit)
        devices = await self._store.fetch([Key(HubDeviceRow, (hub_id, row.device_id)) for row in rows])
        states = await device_states(self._store, hub_id, [row.device_id for row in rows], self._clock.now())
        return [
            twin_document(device, row, state)
            for device, row, state in zip(devices, rows, states, strict=True)
            if device is not None
        ]

    async def patch(self, hub_id: str, device_id: str, change: TwinChange, expect: Expectation = ANYTHING) -> Twin:
        """Merge what the change holds into tags and desired properties; null removes.

        Raises HubPreconditionFailed, HubArgumentInvalid, HubTwinTooLarge.
        """
        tags, desired = _parts(change)

        def patched(twin: TwinRecord, now: int) -> TwinRecord:
            new_tags = None if tags is None or not twin_content.members(tags) else twin_content.merge(twin.tags, tags)
            new_desired = None if desired is None else _patched(twin.desired, desired, now)
            return _changed(twin, new_tags, new_desired, now)

        return await self._change(hub_id, device_id, patched, expect, lambda _: desired or twin_content.EMPTY)

    async def replace(self, hub_id: str, device_id: str, change: TwinChange, expect: Expectation = ANYTHING) -> Twin:
        """Put the change's tags and desired properties in the place of the stored ones.

        What the change leaves out stays [choice: published as two operations, replacing tags and replacing desired
        properties]. Raises as `patch`.
        """
        tags, desired = _parts(change)

        def replaced(twin: TwinRecord, now: int) -> TwinRecord:
            new_tags = None if tags is None else twin_content.without_nulls(tags)
            new_desired = None if desired is None else _replaced(twin.desired, desired, now)
            return _changed(twin, new_tags, new_desired, now)

        def patch(twin: TwinRecord) -> Raw:
            return patch_between(twin.desired.values, twin_content.without_nulls(desired or twin_content.EMPTY))

        return await self._change(hub_id, device_id, replaced, expect, patch)

    async def patch_reported(self, hub_id: str, device_id: str, patch: Raw) -> int:
        """Merge what the device reports; answers the new `$version` of its reported properties."""
        content = twin_content.check_shape(twin_content.without_system_members(patch))

        def reported(twin: TwinRecord, now: int) -> TwinRecord:
            values = twin_content.merge(twin.reported.values, content)
            twin_content.check_content(values, "Properties.Reported", twin_content.PROPERTIES_LIMIT)
            metadata = twin_content.stamp(twin.reported.metadata, content, reported_mark(now))
            section = TwinSection(values, metadata, twin.reported.version + 1)
            return msgspec.structs.replace(twin, reported=section, version=twin.version + 1, updated=now)

        _, row = await self._apply(hub_id, device_id, reported, ANYTHING)
        return msgspec.json.decode(row.document, type=TwinRecord).reported.version

    async def _change(self, hub_id: str, device_id: str, change: Change, expect: Expectation, patch: PatchOf) -> Twin:
        device_row, row = await self._apply(hub_id, device_id, change, expect, patch)
        if self._nudge is not None:
            await self._nudge(DESIRED, hub_id, device_id)
        return await self._document(device_row, row)

    async def _document(self, device_row: HubDeviceRow, row: HubTwinRow) -> Twin:
        [state] = await device_states(self._store, row.hub_id, [row.device_id], self._clock.now())
        return twin_document(device_row, row, state)

    async def _apply(
        self, hub_id: str, device_id: str, change: Change, expect: Expectation, patch: PatchOf | None = None
    ) -> tuple[HubDeviceRow, HubTwinRow]:
        """`patch` makes of the twin before the change what a connected device is told of it."""
        for _ in range(MAX_TRIES):
            device_row, row = await self._rows(hub_id, device_id)
            twin = msgspec.json.decode(row.document, type=TwinRecord)
            if isinstance(expect, Matches) and expect.etag != twin.etag:
                raise HubPreconditionFailed(f"ETag mismatch for device ID '{device_id}'")
            changed = change(twin, next_time(self._clock.now(), twin.updated))
            if changed is twin:
                return device_row, row
            new_row = twin_row(hub_id, device_id, changed)
            told: tuple[Write, ...] = ()
            if patch is not None and changed.desired is not twin.desired:
                told = change_writes(hub_id, device_id, changed.desired, patch(twin))
            try:
                await self._store.commit(Unit.of(Put(new_row, Matches(row.etag)), *told))
            except ExpectationFailed:
                await asyncio.sleep(0)
                continue
            return device_row, new_row
        raise HubThrottled(reason=f"the twin changed {MAX_TRIES} times meanwhile")

    async def _rows(self, hub_id: str, device_id: str) -> tuple[HubDeviceRow, HubTwinRow]:
        keys: Sequence[Key[Any]] = (Key(HubDeviceRow, (hub_id, device_id)), Key(HubTwinRow, (hub_id, device_id)))
        device_row, row = await self._store.fetch(keys)
        if device_row is None or row is None:
            raise HubDeviceNotFound(device_id)
        return device_row, row


def _parts(change: TwinChange) -> tuple[Raw | None, Raw | None]:
    """Tags and desired properties as far as the change holds them."""
    desired = change.properties.desired if change.properties else UNSET
    return _part(change.tags), _part(desired)


def _part(given: Raw | UnsetType) -> Raw | None:
    """A null in the place of the whole object is the empty object for a replacement, and nothing for a patch."""
    if given is UNSET:
        return None
    if twin_content.is_null(given):
        return twin_content.EMPTY
    return twin_content.check_shape(twin_content.without_system_members(given))


def _patched(section: TwinSection, patch: Raw, now: int) -> TwinSection:
    if not twin_content.members(patch):
        return section
    version = section.version + 1
    metadata = twin_content.stamp(section.metadata, patch, desired_mark(now, version))
    return TwinSection(twin_content.merge(section.values, patch), metadata, version)


def _replaced(section: TwinSection, values: Raw, now: int) -> TwinSection:
    version = section.version + 1
    return TwinSection(
        twin_content.without_nulls(values), twin_content.stamp({}, values, desired_mark(now, version)), version
    )


def _changed(twin: TwinRecord, tags: Raw | None, desired: TwinSection | None, now: int) -> TwinRecord:
    """The twin with what changed, held to the limits; the very same where nothing was asked for."""
    if tags is not None:
        twin_content.check_content(tags, "Tags", twin_content.TAGS_LIMIT)
    if desired is not None:
        twin_content.check_content(desired.values, "Properties.Desired", twin_content.PROPERTIES_LIMIT)
    if tags is None and (desired is None or desired is twin.desired):
        return twin
    return msgspec.structs.replace(
        twin,
        tags=twin.tags if tags is None else tags,
        desired=desired or twin.desired,
        updated=now,
        edition=twin.edition + 1,
        version=twin.version + 1,
    )
