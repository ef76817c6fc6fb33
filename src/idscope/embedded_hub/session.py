"""Owns one device's session at its hub: what waits for the device is handed to its wire, in order, once each.
It must not know the wire, nor the sessions of other devices.

Whoever has something for the device wakes the session, which then looks into the store: a wake-up says only where.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import msgspec
import structlog

from idscope.clock import Clock
from idscope.embedded_hub.cloud_messages import CloudMessage, CloudMessages
from idscope.embedded_hub.connections import Asked, let_go, update_own
from idscope.embedded_hub.desired_changes import DESIRED, DesiredChange, changes_after, desired_version
from idscope.embedded_hub.methods import CALL, METHODS, MethodCall, Methods
from idscope.embedded_hub.records import DeviceRecord
from idscope.errors import ServiceUnavailable
from idscope.model.document import encode
from idscope.storage import HubConnectionRow, HubDeviceRow, Key, Store

_log = structlog.get_logger(__name__)

MESSAGES: Final = "messages"
MESSAGE: Final = "message"
STANDING: Final = "session"
_DISPLACED: Final = "the device connected anew"


class Wire(Protocol):
    """What a session needs of the connection that carries it. False: not now; the session tries again when the device
    has acknowledged something, and from time to time."""

    def send_message(self, message: CloudMessage) -> bool: ...

    def send_call(self, call: MethodCall) -> bool: ...

    def send_desired(self, change: DesiredChange) -> bool: ...

    def close(self, reason: str) -> None: ...


class Ground(msgspec.Struct, frozen=True):
    """What every session of a worker works with."""

    store: Store
    clock: Clock
    messages: CloudMessages
    methods: Methods


class Session:
    """One connection of one device; `generation_id` and `expires` (microseconds, None: never) are those it was admitted
    with. `left` is called once it has ended."""

    def __init__(
        self,
        ground: Ground,
        row: HubConnectionRow,
        wire: Wire,
        *,
        generation_id: str,
        expires: int | None,
        asked: Asked,
        left: Callable[[Session], None],
    ) -> None:
        self.hub_id = row.hub_id
        self.device_id = row.device_id
        self.session_id = row.etag
        self.since = row.state_updated
        self.asked = asked
        self._ground = ground
        self._row = row
        self._wire = wire
        self._generation_id = generation_id
        self._expires = expires
        self._left = left
        self._last_activity = row.last_activity
        self._unacknowledged: set[str] = set()
        self._called: set[str] = set()
        self._desired = -1
        self._due: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._open = True

    def start(self) -> None:
        """The wire is open: hand over what waits."""
        self.wake(*_STEPS)

    def wake(self, *kinds: str) -> None:
        """Something of these kinds may wait."""
        if not self._open:
            return
        self._due.update(kind for kind in kinds if kind in _STEPS)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())

    async def ask(self, features: frozenset[str], filters: Mapping[str, int]) -> None:
        """What the device wants to be sent from now on; returns once everybody can see it. Raises StoreUnavailable."""
        if DESIRED in features and DESIRED not in self.asked.features:
            self._desired = await desired_version(self._ground.store, self.hub_id, self.device_id)
        asked = Asked(features, dict(filters))
        if asked == self.asked:
            return
        new = features - self.asked.features
        self.asked = asked
        await self._write()
        self.wake(*(kind for kind, feature in _FEATURE_OF.items() if feature in new))

    def touch(self) -> None:
        """The device did something."""
        self._last_activity = self._ground.clock.now()

    async def completed(self, message: CloudMessage) -> None:
        """The device acknowledged the message."""
        self.touch()
        await self._ground.messages.complete(message)
        self._unacknowledged.discard(message.uid)
        self.wake(MESSAGE)

    async def answered(self, call_id: str, status: int, payload: bytes) -> None:
        """The device answered a method call; what it was not asked is dropped."""
        self.touch()
        if call_id in self._called:
            self._called.discard(call_id)
            await self._ground.methods.answer(self.hub_id, self.device_id, call_id, status, payload)

    async def look_after(self) -> None:
        """Now and then: make up for lost wake-ups, and tell when the device was last heard."""
        if self._last_activity > self._row.last_activity:
            await self._write()
        self.wake(*_STEPS)

    def end(self, reason: str) -> None:
        """Close the connection from this side; the wire then calls `close`."""
        if self._open:
            self._wire.close(reason)

    async def close(self) -> None:
        """The connection is gone."""
        if not self._open:
            return
        self._open = False
        self._left(self)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await update_own(self._ground.store, let_go(self._present(), self._ground.clock.now()))
        except ServiceUnavailable as error:
            _log.warning("a device stays shown as connected", device_id=self.device_id, reason=error.reason)

    def _present(self) -> HubConnectionRow:
        """The row as it should be now: writes that overtake each other all end with the same."""
        return msgspec.structs.replace(
            self._row, document=encode(self.asked), last_activity=max(self._row.last_activity, self._last_activity)
        )

    async def _write(self) -> None:
        self._row = row = self._present()
        if not await update_own(self._ground.store, row):
            self.end(_DISPLACED)

    async def _look(self) -> None:
        while self._due and self._open:
            kind = self._due.pop()
            feature = _FEATURE_OF.get(kind)
            if feature is not None and feature not in self.asked.features:
                continue
            try:
                await _STEPS[kind](self)
            except ServiceUnavailable as error:
                _log.warning("a device waits for the store", device_id=self.device_id, reason=error.reason)

    async def _send_messages(self) -> None:
        for message in await self._ground.messages.waiting(self.hub_id, self.device_id):
            if message.uid in self._unacknowledged:
                continue
            self._unacknowledged.add(message.uid)  # first: a wire may acknowledge at once
            if not self._wire.send_message(message):
                self._unacknowledged.discard(message.uid)
                return

    async def _send_calls(self) -> None:
        for call in await self._ground.methods.calls_for(self.hub_id, self.device_id, self.session_id):
            if call.call_id in self._called:
                continue
            self._called.add(call.call_id)
            if not self._wire.send_call(call):
                self._called.discard(call.call_id)
                return

    async def _send_desired(self) -> None:
        store = self._ground.store
        if self._desired < 0:  # subscribed in an earlier connection: what changed meanwhile the device asks for itself
            self._desired = await desired_version(store, self.hub_id, self.device_id)
        for change in await changes_after(store, self.hub_id, self.device_id, self._desired):
            if not self._wire.send_desired(change):
                return
            self._desired = change.version

    async def _check_standing(self) -> None:
        """End a session whose device is another's now, disabled, deleted, or no longer vouched for."""
        reason = await self._why_to_end()
        if reason:
            self.end(reason)

    async def _why_to_end(self) -> str:
        key = (self.hub_id, self.device_id)
        connection, device = await self._ground.store.fetch([Key(HubConnectionRow, key), Key(HubDeviceRow, key)])
        if device is None:
            return "the device was deleted"
        record = msgspec.json.decode(device.document, type=DeviceRecord)
        if record.generation_id != self._generation_id:
            return "the device was deleted and created again"
        if record.status != "enabled":
            return "the device was disabled"
        if connection is None or connection.etag != self.session_id:
            return _DISPLACED
        if self._expires is not None and self._ground.clock.now() >= self._expires:
            return "the device's token expired"
        return ""


_STEPS: Final[Mapping[str, Callable[[Session], Awaitable[None]]]] = {
    STANDING: Session._check_standing,  # noqa: SLF001 - the class's own table
    MESSAGE: Session._send_messages,  # noqa: SLF001
    CALL: Session._send_calls,  # noqa: SLF001
    DESIRED: Session._send_desired,  # noqa: SLF001
}
_FEATURE_OF: Final[Mapping[str, str]] = {MESSAGE: MESSAGES, CALL: METHODS, DESIRED: DESIRED}
