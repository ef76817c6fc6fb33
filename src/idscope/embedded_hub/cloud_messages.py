"""Owns the queues of cloud-to-device messages: at most 50 each, kept until they are acknowledged or expire.
It must not know whether a device is connected, nor how a message reaches it.

A message is delivered at least once: again after each reconnect, until its acknowledgement. How often is not counted,
so nothing is given up before it expires [choice: the real hub gives up after ten deliveries].
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from idscope.clock import MICROSECONDS, Clock, next_time
from idscope.embedded_hub.connections import QUEUE_LIMIT
from idscope.embedded_hub.message import (
    CLOUD_TO_DEVICE_LIMIT,
    MessageProperties,
    check_size,
    properties_document,
    stored_properties,
)
from idscope.errors import HubArgumentInvalid, HubDeviceNotFound, HubQueueFull, HubThrottled
from idscope.model.etag import ABSENT, Matches
from idscope.storage import (
    Delete,
    ExpectationFailed,
    HubDeviceRow,
    HubMessageRow,
    Key,
    Put,
    Row,
    Store,
    Trim,
    Unit,
    key_of,
)

TIME_TO_LIVE: Final = 3600 * MICROSECONDS  # published default
LONGEST_TIME_TO_LIVE: Final = 48 * TIME_TO_LIVE  # published: two days
_MAX_TRIES: Final = 100

Nudge = Callable[[str, str, str], Awaitable[None]]


class CloudMessage(msgspec.Struct, frozen=True):
    """A message as it waits; `uid` is its own forever."""

    hub_id: str
    device_id: str
    sequence: int
    uid: str
    properties: MessageProperties
    body: bytes


class CloudMessages:
    """The queues of every embedded hub; `nudge(kind, hub_id, device_id)` tells the device's session."""

    def __init__(self, store: Store, clock: Clock, nudge: Nudge) -> None:
        self._store = store
        self._clock = clock
        self._nudge = nudge

    async def send(
        self, hub_id: str, device_id: str, properties: MessageProperties, body: bytes, expires: int | None = None
    ) -> None:
        """Return once the message is safe in the device's queue.

        `expires` in microseconds since the epoch. Raises HubDeviceNotFound, HubQueueFull, HubMessageTooLarge,
        HubArgumentInvalid.
        """
        check_size(properties, body, CLOUD_TO_DEVICE_LIMIT)
        end = self._expiry(expires)
        for _ in range(_MAX_TRIES):
            row = await self._row(hub_id, device_id, properties, body, end)
            try:
                await self._store.commit(Unit.of(Put(row, ABSENT)))
            except ExpectationFailed:
                continue
            await self._nudge("message", hub_id, device_id)
            return
        raise HubThrottled(reason=f"{_MAX_TRIES} other messages came between")

    async def waiting(self, hub_id: str, device_id: str) -> list[CloudMessage]:
        """The messages that wait, oldest first; what has expired is removed."""
        return [_message(row) for row in await self._fresh(hub_id, device_id)]

    async def complete(self, message: CloudMessage) -> None:
        """The device has it."""
        key: Key[Row] = Key(HubMessageRow, (message.hub_id, message.device_id, message.sequence))
        try:
            await self._store.commit(Unit.of(Delete(key, Matches(message.uid))))
        except ExpectationFailed:
            return  # purged or expired meanwhile

    async def purge(self, hub_id: str, device_id: str) -> int:
        """Empty the queue; answers how many messages it held. Raises HubDeviceNotFound."""
        await self._require_device(hub_id, device_id)
        rows = await self._fresh(hub_id, device_id)
        await self._store.commit(Unit.of(Trim(HubMessageRow, (hub_id, device_id), 0)))
        return len(rows)

    def _expiry(self, asked: int | None) -> int:
        now = self._clock.now()
        if asked is None:
            return now + TIME_TO_LIVE
        if not now < asked <= now + LONGEST_TIME_TO_LIVE:
            raise HubArgumentInvalid("A message's expiry must be a time within the next two days.")
        return asked

    async def _row(
        self, hub_id: str, device_id: str, properties: MessageProperties, body: bytes, expires: int
    ) -> HubMessageRow:
        """The next row of the queue: two senders at once want the same place, and one of them looks again."""
        await self._require_device(hub_id, device_id)
        rows = await self._fresh(hub_id, device_id)
        if len(rows) >= QUEUE_LIMIT:
            raise HubQueueFull(f"The queue of device '{device_id}' holds {QUEUE_LIMIT} messages already.")
        return HubMessageRow(
            hub_id=hub_id,
            device_id=device_id,
            sequence=rows[-1].sequence + 1 if rows else next_time(self._clock.now(), None),
            etag=secrets.token_hex(16),
            expires=expires,
            document=properties_document(properties),
            body=body,
        )

    async def _fresh(self, hub_id: str, device_id: str) -> list[HubMessageRow]:
        rows = await self._store.page(HubMessageRow, (hub_id, device_id), None, QUEUE_LIMIT + 1)
        now = self._clock.now()
        expired = [row for row in rows if row.expires <= now]
        if expired:
            await self._store.commit(Unit.of(*(Delete(key_of(row)) for row in expired)))
        return [row for row in rows if row.expires > now]

    async def _require_device(self, hub_id: str, device_id: str) -> None:
        [device] = await self._store.fetch([Key(HubDeviceRow, (hub_id, device_id))])
        if device is None:
            raise HubDeviceNotFound(device_id)


def _message(row: HubMessageRow) -> CloudMessage:
    return CloudMessage(row.hub_id, row.device_id, row.sequence, row.etag, stored_properties(row.document), row.body)
