"""Owns direct methods: a call is stored, its device's session is woken, the answer comes back through the store.
It must not know where the session is, nor how a device is asked.

A call is addressed to the one session that the device has when it is made; when that session ends, in whatever way,
the call ends with 404103. No session is asked twice.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from idscope.clock import MICROSECONDS, Clock
from idscope.embedded_hub.connections import is_online
from idscope.embedded_hub.wake_ups import WakeUp, WakeUps
from idscope.errors import (
    HubArgumentInvalid,
    HubDeviceNotFound,
    HubDeviceNotOnline,
    HubGatewayTimeout,
    HubMessageTooLarge,
    ServiceUnavailable,
)
from idscope.model.document import UNSET, Document, RawJson, UnsetType, decode, encode
from idscope.model.etag import ABSENT, Matches
from idscope.storage import (
    Delete,
    ExpectationFailed,
    HubConnectionRow,
    HubDeviceRow,
    HubMethodCallRow,
    Key,
    Put,
    Store,
    Unit,
)

METHODS: Final = "methods"
CALL: Final = "call"
ANSWER: Final = "answer"
PAYLOAD_LIMIT: Final = 128 * 1024  # published, like the seconds below
DEFAULT_RESPONSE_SECONDS: Final = 30
_LOOK_SECONDS: Final = 1.0  # how long a lost wake-up goes unnoticed
_CONNECT_LOOK_SECONDS: Final = 0.25
_PAGE: Final = 100

# published: printable US-ASCII except separators; `+` and `#` could stand in no topic
_GOOD_NAME: Final = re.compile(r"""[!%&'*.0-9A-Z^_`a-z|~-]+\Z""", re.ASCII)

_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_ResponseSeconds = Annotated[int, Meta(ge=5, le=300)]
_ConnectSeconds = Annotated[int, Meta(ge=0, le=300)]


class MethodRequest(Document):
    """What a service asks of a device."""

    method_name: _Name
    payload: RawJson | UnsetType = UNSET
    response_timeout_in_seconds: _ResponseSeconds | None = None
    connect_timeout_in_seconds: _ConnectSeconds | None = None


class MethodResult(Document):
    """What the device answered."""

    status: int
    payload: RawJson


class MethodCall(msgspec.Struct, frozen=True):
    """A call on its way to the device; `payload` is JSON."""

    call_id: str
    name: str
    payload: bytes


class _StoredCall(msgspec.Struct, frozen=True):
    name: str
    payload: msgspec.Raw


class Methods:
    """The direct methods of every embedded hub."""

    def __init__(self, store: Store, clock: Clock, wake_ups: WakeUps) -> None:
        self._store = store
        self._clock = clock
        self._wake_ups = wake_ups
        self._waiting: dict[str, asyncio.Event] = {}

    async def invoke(self, hub_id: str, device_id: str, request: MethodRequest) -> MethodResult:
        """Raises HubDeviceNotFound, HubDeviceNotOnline, HubGatewayTimeout, HubArgumentInvalid, HubMessageTooLarge."""
        payload = b"null" if request.payload is UNSET else bytes(request.payload)
        if len(payload) > PAYLOAD_LIMIT:
            raise HubMessageTooLarge(f"A method's payload may have up to {PAYLOAD_LIMIT} bytes.")
        if not _GOOD_NAME.match(request.method_name):
            raise HubArgumentInvalid("The methodName has a character that it may not have.")
        connection = await self._connection(hub_id, device_id, request.connect_timeout_in_seconds or 0)
        seconds = request.response_timeout_in_seconds or DEFAULT_RESPONSE_SECONDS
        call = HubMethodCallRow(
            hub_id=hub_id,
            device_id=device_id,
            call_id=secrets.token_hex(8),
            etag="asked",
            session_id=connection.etag,
            caller=self._wake_ups.name,
            expires=self._clock.now() + seconds * MICROSECONDS,
            document=encode(_StoredCall(request.method_name, msgspec.Raw(payload))),
            answer=b"",
        )
        async with self._stored(call) as answered:
            self._wake_ups.send(connection.worker, WakeUp(CALL, hub_id, device_id))
            return await self._answer(call, answered, self._clock.monotonic() + seconds)

    async def _connection(self, hub_id: str, device_id: str, seconds: int) -> HubConnectionRow:
        """The connection of a device that takes method calls, waited for so long."""
        until = self._clock.monotonic() + seconds
        while True:
            keys: tuple[Key[Any], ...] = (
                Key(HubDeviceRow, (hub_id, device_id)),
                Key(HubConnectionRow, (hub_id, device_id)),
            )
            device, connection = await self._store.fetch(keys)
            if device is None:
                raise HubDeviceNotFound(device_id)
            if is_online(connection, METHODS) and self._wake_ups.is_alive(connection.worker):
                return connection  # type: ignore[no-any-return]  # the key says which row it is
            if self._clock.monotonic() >= until:
                raise HubDeviceNotOnline(reason="it is not connected, or did not subscribe to methods")
            await self._clock.wait(min(until, self._clock.monotonic() + _CONNECT_LOOK_SECONDS))

    @asynccontextmanager
    async def _stored(self, call: HubMethodCallRow) -> AsyncIterator[asyncio.Event]:
        await self._store.commit(Unit.of(Put(call, ABSENT)))
        answered = self._waiting[call.call_id] = asyncio.Event()
        try:
            yield answered
        finally:
            del self._waiting[call.call_id]
            with suppress(ServiceUnavailable):  # whoever tidies up finds it
                await self._store.commit(Unit.of(Delete(_key(call))))

    async def _answer(self, call: HubMethodCallRow, answered: asyncio.Event, until: float) -> MethodResult:
        while True:
            keys: tuple[Key[Any], ...] = (_key(call), Key(HubConnectionRow, (call.hub_id, call.device_id)))
            row, connection = await self._store.fetch(keys)
            if row is not None and row.answer:
                return decode(row.answer, MethodResult)
            if row is None or connection is None or not self._holds(connection, call):
                raise HubDeviceNotOnline(reason="its session ended before the answer came")
            if self._clock.monotonic() >= until:
                raise HubGatewayTimeout
            await self._woken(answered, min(until, self._clock.monotonic() + _LOOK_SECONDS))

    def _holds(self, connection: HubConnectionRow, call: HubMethodCallRow) -> bool:
        """Whether the call's session still has the device."""
        mine = connection.etag == call.session_id and bool(connection.worker)
        return mine and self._wake_ups.is_alive(connection.worker)

    async def _woken(self, answered: asyncio.Event, until: float) -> None:
        woken, late = asyncio.ensure_future(answered.wait()), asyncio.ensure_future(self._clock.wait(until))
        try:
            await asyncio.wait((woken, late), return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            late.cancel()
        answered.clear()

    # The session's side

    async def calls_for(self, hub_id: str, device_id: str, session_id: str) -> list[MethodCall]:
        """The calls that this session is asked and has not answered."""
        rows = await self._store.page(HubMethodCallRow, (hub_id, device_id), None, _PAGE)
        now = self._clock.now()
        return [_call(row) for row in rows if row.session_id == session_id and not row.answer and row.expires > now]

    async def answer(self, hub_id: str, device_id: str, call_id: str, status: int, payload: bytes) -> None:
        """Hand the device's answer back; one that nobody waits for is dropped."""
        [row] = await self._store.fetch([Key(HubMethodCallRow, (hub_id, device_id, call_id))])
        if row is None or row.answer:
            return
        result = MethodResult(status=status, payload=_json(payload))
        answered = msgspec.structs.replace(row, etag="answered", answer=encode(result))
        try:
            await self._store.commit(Unit.of(Put(answered, Matches("asked"))))
        except ExpectationFailed:
            return
        self._wake_ups.send(row.caller, WakeUp(ANSWER, hub_id, call_id))

    def on_answer(self, call_id: str) -> None:
        """A worker says that this call has its answer."""
        if call_id in self._waiting:
            self._waiting[call_id].set()

    async def forget_expired(self) -> None:
        """Remove calls whose caller's worker died."""
        rows = await self._store.page(HubMethodCallRow, (), None, _PAGE)
        old = [row for row in rows if row.expires + DEFAULT_RESPONSE_SECONDS * MICROSECONDS < self._clock.now()]
        if old:
            await self._store.commit(Unit.of(*(Delete(_key(row)) for row in old)))


def _json(payload: bytes) -> msgspec.Raw:
    """The device's payload: null where it is empty, the text as a JSON string where it is no JSON [choice]."""
    if not payload.strip():
        return msgspec.Raw(b"null")
    try:
        payload.decode("utf-8")
        msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.Raw(msgspec.json.encode(payload.decode("utf-8", "replace")))
    return msgspec.Raw(payload)


def _key(call: HubMethodCallRow) -> Key[Any]:
    return Key(HubMethodCallRow, (call.hub_id, call.device_id, call.call_id))


def _call(row: HubMethodCallRow) -> MethodCall:
    stored = decode(row.document, _StoredCall)
    return MethodCall(row.call_id, stored.name, bytes(stored.payload))
