"""Owns the device-to-cloud messages of embedded hubs: numbered, bounded, written in batches, read from any number on.
It must not know who sends or reads them.

What may be lost: nothing that was acknowledged, until more than `kept` messages of the hub came after it. A message
with QoS 1 is acknowledged once it is durable; one with QoS 0 is dropped where too many wait to be written. A hub's
messages are numbered in the order of their commits, so a reader who goes on behind the last number misses none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import msgspec
import structlog

from idscope.clock import Clock
from idscope.embedded_hub.message import (
    DEVICE_TO_CLOUD_LIMIT,
    MessageProperties,
    check_size,
    properties_document,
    stored_properties,
)
from idscope.errors import ServiceUnavailable
from idscope.model.etag import ABSENT, Expectation, Matches
from idscope.storage import ExpectationFailed, HubStreamRow, HubTelemetryRow, Key, Put, Store, Trim, Unit, Write

_log = structlog.get_logger(__name__)

KEPT: Final = 10_000
BATCH: Final = 200
CAPACITY: Final = 2_000
LOOK_SECONDS: Final = 0.2  # how often a reader who waits looks for more
_OVERSHOOT: Final = 10  # the store is trimmed after each tenth of what it keeps: a trim counts all of a hub's rows
_MAX_TRIES: Final = 100
_PAGE: Final = 200


class TelemetryMessage(msgspec.Struct, frozen=True):
    """A message as it was taken; `enqueued` in microseconds."""

    sequence: int
    device_id: str
    enqueued: int
    properties: MessageProperties
    body: bytes


class TelemetryPage(msgspec.Struct, frozen=True):
    """Messages in their order, and the number to go on behind."""

    messages: list[TelemetryMessage]
    last: int


class _Waiting(msgspec.Struct, frozen=True):
    hub_id: str
    device_id: str
    enqueued: int
    properties: MessageProperties
    body: bytes
    written: asyncio.Future[None]


class Telemetry:
    """One worker's part of every hub's stream."""

    def __init__(self, store: Store, clock: Clock, *, kept: int = KEPT, capacity: int = CAPACITY) -> None:
        self._store = store
        self._clock = clock
        self._kept = kept
        self._capacity = capacity
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def record(self, hub_id: str, device_id: str, properties: MessageProperties, body: bytes) -> asyncio.Future[None]:
        """Done once the message is durable. Raises, or ends with, HubMessageTooLarge, ServiceUnavailable."""
        if len(self._queue) >= self._capacity:
            raise ServiceUnavailable(reason="too many messages wait to be written")
        return self._put(hub_id, device_id, properties, body)

    def offer(self, hub_id: str, device_id: str, properties: MessageProperties, body: bytes) -> bool:
        """Take a message that nobody waits for; False where it was dropped. Raises HubMessageTooLarge."""
        if len(self._queue) >= self._capacity:
            self.dropped += 1
            return False
        self._put(hub_id, device_id, properties, body).add_done_callback(_note_loss)
        return True

    async def last(self, hub_id: str) -> int:
        """The number of the hub's last message, -1 before the first."""
        head = await self._head(hub_id)
        return -1 if head is None else head.next_sequence - 1

    async def read(self, hub_id: str, after: int, limit: int, device_id: str | None = None) -> TelemetryPage:
        """Up to `limit` messages behind the number `after` (-1: from the oldest kept), of one device or of all."""
        found: list[TelemetryMessage] = []
        while len(found) < limit:
            rows = await self._store.page(HubTelemetryRow, (hub_id,), (after,), _PAGE)
            for row in rows:
                after = row.sequence
                if device_id is None or row.device_id == device_id:
                    found.append(_message(row))
                    if len(found) == limit:
                        break
            if len(rows) < _PAGE:
                break
            await asyncio.sleep(0)
        return TelemetryPage(found, after)

    async def wait_and_read(
        self, hub_id: str, after: int, limit: int, device_id: str | None, seconds: float
    ) -> TelemetryPage:
        """As `read`, but wait so long for a first message."""
        until = self._clock.monotonic() + seconds
        while True:
            page = await self.read(hub_id, after, limit, device_id)
            after = page.last
            if page.messages or self._clock.monotonic() >= until:
                return page
            await self._clock.wait(min(until, self._clock.monotonic() + LOOK_SECONDS))

    async def close(self) -> None:
        """Write what waits."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _put(self, hub_id: str, device_id: str, properties: MessageProperties, body: bytes) -> asyncio.Future[None]:
        check_size(properties, body, DEVICE_TO_CLOUD_LIMIT)
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._queue.append(_Waiting(hub_id, device_id, self._clock.now(), properties, body, written))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._write())
        return written

    async def _write(self) -> None:
        """Batch after batch: what comes while one is written makes the next."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            for hub_id in dict.fromkeys(one.hub_id for one in batch):
                await self._write_batch(hub_id, [one for one in batch if one.hub_id == hub_id])

    async def _write_batch(self, hub_id: str, batch: list[_Waiting]) -> None:
        try:
            await self._commit(hub_id, batch)
        except Exception as error:  # noqa: BLE001 - nobody is left waiting for a batch, whatever befell it
            for one in batch:
                if not one.written.done():
                    one.written.set_exception(error)
            return
        for one in batch:
            if not one.written.done():
                one.written.set_result(None)

    async def _commit(self, hub_id: str, batch: list[_Waiting]) -> None:
        """Number the batch at the head of the stream; another worker may come first, then after it."""
        for _ in range(_MAX_TRIES):
            head = await self._head(hub_id)
            first = 0 if head is None else head.next_sequence
            following = first + len(batch)
            expect: Expectation = ABSENT if head is None else Matches(head.etag)
            new_head = HubStreamRow(hub_id=hub_id, etag=str(following), next_sequence=following)
            writes: list[Write] = [Put(new_head, expect)]
            writes += [Put(_row(first + number, one)) for number, one in enumerate(batch)]
            share = max(1, self._kept // _OVERSHOOT)
            if first // share != following // share:
                writes.append(Trim(HubTelemetryRow, (hub_id,), self._kept))
            try:
                await self._store.commit(Unit(tuple(writes)))
            except ExpectationFailed:
                await asyncio.sleep(0)
                continue
            return
        raise ServiceUnavailable(reason=f"other workers wrote {_MAX_TRIES} times meanwhile")

    async def _head(self, hub_id: str) -> HubStreamRow | None:
        [head] = await self._store.fetch([Key(HubStreamRow, (hub_id,))])
        return head  # type: ignore[no-any-return]  # the key says which row it is


def _note_loss(written: asyncio.Future[None]) -> None:
    if not written.cancelled() and written.exception() is not None:
        _log.warning("a message with QoS 0 was lost", reason=str(written.exception()))


def _row(sequence: int, one: _Waiting) -> HubTelemetryRow:
    return HubTelemetryRow(
        hub_id=one.hub_id,
        sequence=sequence,
        device_id=one.device_id,
        enqueued=one.enqueued,
        document=properties_document(one.properties),
        body=one.body,
    )


def _message(row: HubTelemetryRow) -> TelemetryMessage:
    return TelemetryMessage(row.sequence, row.device_id, row.enqueued, stored_properties(row.document), row.body)
