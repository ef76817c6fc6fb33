"""Owns what is stored of the connections of devices: who is connected where, since when, and what it asked for.
It must not know a session, nor a wire.

Only the session that a row names writes it; another session takes the row over, and the first one finds out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Final

import msgspec

from idscope.clock import next_time
from idscope.model.document import decode, encode
from idscope.model.etag import ABSENT, Matches
from idscope.storage import ExpectationFailed, HubConnectionRow, HubMessageRow, Key, Put, Store, Unit

QUEUE_LIMIT: Final = 50  # published: cloud-to-device messages that wait for one device
_PAGE: Final = 1000


class Asked(msgspec.Struct, frozen=True):
    """What a session asked to be sent: `features` in the hub's words, `filters` in those of its wire."""

    features: frozenset[str] = frozenset()
    filters: dict[str, int] = {}


NOTHING: Final = Asked()


class DeviceState(msgspec.Struct, frozen=True):
    """Times in microseconds, None where there was nothing yet; `messages` wait for the device."""

    connected: bool = False
    updated: int | None = None
    last_activity: int | None = None
    messages: int = 0

    @property
    def word(self) -> str:
        return "Connected" if self.connected else "Disconnected"


def is_online(row: HubConnectionRow | None, feature: str) -> bool:
    """Whether a session holds the device and asked for this."""
    return row is not None and bool(row.worker) and feature in decode(row.document, Asked).features


def asked_of(row: HubConnectionRow) -> Asked:
    return decode(row.document, Asked)


async def device_states(store: Store, hub_id: str, device_ids: Sequence[str], now: int) -> list[DeviceState]:
    rows = await store.fetch([Key(HubConnectionRow, (hub_id, device_id)) for device_id in device_ids])
    return [
        DeviceState(
            connected=row is not None and bool(row.worker),
            updated=None if row is None else row.state_updated,
            last_activity=None if row is None else row.last_activity,
            messages=await _waiting(store, hub_id, device_id, now),
        )
        for device_id, row in zip(device_ids, rows, strict=True)
    ]


async def _waiting(store: Store, hub_id: str, device_id: str, now: int) -> int:
    rows = await store.page(HubMessageRow, (hub_id, device_id), None, QUEUE_LIMIT)
    return sum(row.expires > now for row in rows)


async def connected_count(store: Store, hub_id: str) -> int:
    """How many devices of the hub are connected."""
    return sum([bool(row.worker) async for row in _every_row(store, (hub_id,))])


async def take_over(
    store: Store, fresh: Callable[[HubConnectionRow | None], HubConnectionRow], key: tuple[str, str], tries: int
) -> HubConnectionRow | None:
    """Put the fresh row in the place of the stored one; answers that one, whose session has lost the device.

    Raises ExpectationFailed where another session came between each time.
    """
    for attempt in range(tries):
        [row] = await store.fetch([Key(HubConnectionRow, key)])
        try:
            await store.commit(Unit.of(Put(fresh(row), ABSENT if row is None else Matches(row.etag))))
        except ExpectationFailed:
            if attempt == tries - 1:
                raise
            continue
        return row  # type: ignore[no-any-return]  # the key says which row it is
    raise AssertionError("there is no connection without a try")


def fresh_row(
    key: tuple[str, str], session_id: str, worker: str, asked: Asked, now: int, before: HubConnectionRow | None
) -> HubConnectionRow:
    return HubConnectionRow(
        hub_id=key[0],
        device_id=key[1],
        etag=session_id,
        worker=worker,
        state_updated=next_time(now, before.state_updated if before else None),
        last_activity=now,
        document=encode(asked),
    )


async def update_own(store: Store, row: HubConnectionRow) -> bool:
    """Write the row of the session that it names; False where the device is another session's, or gone."""
    try:
        await store.commit(Unit.of(Put(row, Matches(row.etag))))
    except ExpectationFailed:
        return False
    return True


def let_go(row: HubConnectionRow, now: int) -> HubConnectionRow:
    """The row once its session has ended."""
    return msgspec.structs.replace(row, worker="", state_updated=next_time(now, row.state_updated))


async def release_dead(store: Store, living: Collection[str], now: int) -> int:
    """Disconnect the devices of workers that are no more; answers how many."""
    released = 0
    async for row in _every_row(store, ()):
        if row.worker and row.worker not in living:
            released += await update_own(store, let_go(row, now))
    return released


async def _every_row(store: Store, prefix: tuple[str, ...]) -> AsyncIterator[HubConnectionRow]:
    after: tuple[str, ...] | None = None
    while rows := await store.page(HubConnectionRow, prefix, after, _PAGE):
        for row in rows:
            yield row
        after = (rows[-1].hub_id, rows[-1].device_id)[len(prefix) :]
