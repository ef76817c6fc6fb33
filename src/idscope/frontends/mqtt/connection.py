"""Owns one MQTT connection: the session machine on a transport, its time limits, its back-pressure, its end. It must
not know what any topic means, nor whether TLS or a WebSocket is beneath.

One thing at a time: while a side handles an event, nothing more is taken from the session; what arrives meanwhile waits
unread, and once that is a whole packet the transport is told to stop reading. So a client is served in its own order,
and what it has under way is bounded, without a queue. What is said while an event is handled leaves when it is
handled, in one write: a PUBACK with the answer behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import structlog

from idscope.errors import IdscopeError
from idscope.frontends.deadlines import NEVER
from idscope.frontends.mqtt.side import ConnectRefused, Peer, SessionSide
from idscope.protocols.mqtt import Closed, Connect, ConnectCode, Event, Publish, Session, State, Subscribe

if TYPE_CHECKING:
    from idscope.frontends.mqtt.front_end import MqttFrontEnd

_log = structlog.get_logger(__name__)


class MqttProtocol(asyncio.Protocol):
    """One connection; also the `Outlet` of its side."""

    __slots__ = (
        "_clogged_since",
        "_ended",
        "_ends_at",
        "_front_end",
        "_last_words",
        "_loop",
        "_reading",
        "_session",
        "_side",
        "_task",
        "_transport",
        "deadline",
    )

    def __init__(self, front_end: MqttFrontEnd) -> None:
        self._front_end = front_end
        self._loop = asyncio.get_running_loop()
        self._session = Session(self._loop.time(), front_end.limits.session)
        self._transport: asyncio.Transport | None = None
        self._side: SessionSide | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading = True
        self._ended = False
        self._last_words = ""
        self._clogged_since = NEVER
        self._ends_at = NEVER
        self.deadline = NEVER

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._front_end.deadlines.add(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._session.receive(data, self._loop.time())
        if self._task is None:
            self._go_on()
        if self._session.full:
            self._read(on=False)

    def eof_received(self) -> bool:
        return False  # a client that says no more wants no more

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it broke changes nothing
        self._front_end.deadlines.discard(self)
        self.deadline = NEVER
        self._transport = None
        self._session.close("the connection was lost")
        if self._task is None:
            self._go_on()

    def pause_writing(self) -> None:
        self._clogged_since = self._loop.time()
        self._watch()

    def resume_writing(self) -> None:
        self._clogged_since = NEVER
        if self._task is None:
            self._go_on()

    # What listener and watch call

    def shutdown(self) -> None:
        """Finish the event that is being handled, then close."""
        self._finish("the server stops")

    def _finish(self, reason: str) -> None:
        self._last_words = reason
        if self._task is None:
            self.close(reason)

    def on_deadline(self) -> None:
        now = self._loop.time()
        if self._ended or now >= self._clogged_since + self._front_end.limits.write_seconds:
            self._abort()
            return
        if now >= self._ends_at:
            self._ends_at = NEVER
            self._finish("the session lasted as long as it may")
        elif self._task is None and self._session.expire(now):
            self._go_on()
        self._watch()

    # What the side calls

    def acknowledge(self, packet: Publish) -> None:
        self._session.acknowledge(packet)
        if self._task is None:
            self._go_on()  # what came after it may have waited for this

    def grant(self, packet: Subscribe, accepted: Sequence[bool]) -> None:
        self._session.grant(packet, accepted)
        self._flush_unless_busy()

    def publish(self, topic: str, payload: bytes, qos: int = 1, delivery: Any = None) -> bool:
        if self._clogged_since != NEVER and self._task is None:
            return False
        taken = self._session.publish(topic, payload, qos, delivery)
        self._flush_unless_busy()
        return taken

    def close(self, reason: str) -> None:
        self._session.close(reason)
        if self._task is None:
            self._go_on()

    # The events

    def _go_on(self) -> None:
        """Take what comes next, if the client reads what it is told."""
        event = self._next_event()
        if event is not None:
            self._task = self._loop.create_task(self._work(event))
            self._front_end.running.add(self._task)
            self._task.add_done_callback(self._front_end.running.discard)

    def _next_event(self) -> Event | None:
        """The next event that takes time; what takes none is done, and what it says is sent."""
        if self._clogged_since != NEVER and self._session.state is not State.CLOSED:
            return None
        event = self._session.next_event(self._loop.time())
        if isinstance(event, Closed):
            self._end(event)
            return None
        if event is None:
            self._flush()
            self._read(on=not self._session.full)
            self._watch()
        return event

    async def _work(self, event: Event | None) -> None:
        """Handle this event, and those that came meanwhile."""
        while event is not None:
            try:
                await self._handle(event)
            except Exception:  # noqa: BLE001 - the one catch-all: a session that fails is closed, not left hanging
                _log.exception("an MQTT session failed inside the server", peer=self._address())
                self._session.close("an error inside the server")
            if self._last_words:
                self._session.close(self._last_words)
            if self._session.state is not State.CLOSED:
                self._flush()
            event = self._next_event()
        self._task = None
        self._watch()

    async def _handle(self, event: Event) -> None:
        if isinstance(event, Connect):
            await self._open(event)
        elif self._side is not None and not isinstance(event, Closed):
            await self._side.handle(event)

    async def _open(self, connect: Connect) -> None:
        try:
            self._side = side = await self._front_end.open(connect, self._peer(), self)
        except ConnectRefused as refused:
            self._session.refuse(refused.code, refused.reason)
        except IdscopeError as error:
            self._session.refuse(ConnectCode.SERVER_UNAVAILABLE, error.reason or error.message)
        except Exception:  # noqa: BLE001 - the catch-all of a CONNECT, which has an answer of its own
            _log.exception("a CONNECT failed inside the server", peer=self._address())
            self._session.refuse(ConnectCode.SERVER_UNAVAILABLE, "an error inside the server")
        else:
            self._ends_at = self._loop.time() + side.seconds
            self._session.accept(side.packet_bytes, side.restored)

    def _peer(self) -> Peer:
        transport = self._transport
        if transport is None:
            return Peer("", (), "Mqtt")
        chain = transport.get_extra_info("client_certificate_chain", ())
        return Peer(self._address(), chain, "MqttWs" if transport.get_extra_info("websocket") else "Mqtt")

    def _address(self) -> str:
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(name[0]) if name else ""

    # The end

    def _end(self, closed: Closed) -> None:
        self._ended = True
        side, self._side = self._side, None
        if side is not None:
            side.closed(orderly=closed.orderly)
        _log.debug("an MQTT session ended", reason=closed.reason, orderly=closed.orderly)
        transport = self._transport
        if transport is None:
            return
        said = self._session.take_output()
        if said:
            transport.write(said)
        self._read(on=True)  # or the client's end would go unseen
        limits = self._front_end.limits
        if side is None and said:  # a refusal: closing at once could take it from a client that is still sending
            self.deadline = self._loop.time() + limits.linger_seconds
            getattr(transport, "finish_writing", transport.close)()
        else:
            self.deadline = self._loop.time() + limits.write_seconds
            transport.close()

    def _abort(self) -> None:
        self.deadline = NEVER
        if self._transport is not None:
            self._transport.abort()

    def _flush_unless_busy(self) -> None:
        if self._task is None:
            self._flush()

    def _flush(self) -> None:
        output = self._session.take_output()
        if output and self._transport is not None:
            self._transport.write(output)

    def _read(self, *, on: bool) -> None:
        if self._reading != on and self._transport is not None:
            self._reading = on
            if on:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _watch(self) -> None:
        """Time that the client waits for the server is not held against it."""
        if not self._ended:
            waited_for = NEVER if self._task is not None else self._session.deadline()
            clogged = self._clogged_since + self._front_end.limits.write_seconds
            self.deadline = min(waited_for, clogged, self._ends_at)
