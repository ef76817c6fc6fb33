"""Owns one WebSocket from its 101 on: frames on one side, a protocol that sees a plain stream on the other. It must not
know what the stream says.

    OPEN ──── close by the protocol inside, or drain: close frame out ────► CLOSING ── client's close frame ──┐
      ├────── client's close frame: the same code back ───────────────────────────────────────────────────────┼─► CLOSED
      └────── client breaks the protocol: close frame out, output ended ──► FAILED ──── close_seconds ────────┘

In CLOSING payload is thrown away, in FAILED and CLOSED everything. The protocol inside learns of the end when the
connection is lost; idle connections are its business, vanished peers TCP's.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, cast

from idscope.frontends.deadlines import NEVER, Deadlines
from idscope.frontends.websocket.transport import WebSocketTransport
from idscope.protocols.websocket.frames import (
    BINARY,
    GOING_AWAY,
    NORMAL,
    PONG,
    Ending,
    FrameReader,
    close_frame,
    frame,
)

if TYPE_CHECKING:
    from idscope.frontends.websocket.endpoints import WebSocketLimits


class _State(Enum):
    """See the top of the file."""

    OPEN = auto()
    CLOSING = auto()
    FAILED = auto()
    CLOSED = auto()


_DEAF: Final = (_State.FAILED, _State.CLOSED)


class WebSocketProtocol(asyncio.Protocol):
    """Stands on the transport of the connection that was upgraded; `head` is the 101 with which it begins."""

    __slots__ = (
        "_close_code",
        "_deadlines",
        "_head",
        "_inner",
        "_limits",
        "_loop",
        "_pong",
        "_reader",
        "_state",
        "_unsent",
        "_write_paused",
        "deadline",
        "raw",
        "unsent_bytes",
    )

    def __init__(self, inner: asyncio.Protocol, head: bytes, limits: WebSocketLimits, deadlines: Deadlines) -> None:
        self.raw: asyncio.Transport  # from `connection_made` on
        self.deadline = NEVER
        self._inner = inner
        self._head = head
        self._limits = limits
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(frame_bytes=limits.frame_bytes, message_bytes=limits.message_bytes)
        self._state = _State.OPEN
        self._close_code = NORMAL
        self._unsent: list[bytes] = []  # payload of this turn of the event loop, less than one longest frame
        self.unsent_bytes = 0
        self._pong: bytes | None = None  # owed until the client reads again
        self._write_paused = False

    # What the transport beneath calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.raw = cast("asyncio.Transport", transport)
        self._deadlines.add(self)
        self.raw.write(self._head)
        self._head = b""
        self._inner.connection_made(WebSocketTransport(self))

    def data_received(self, data: bytes) -> None:
        if self._state in _DEAF:
            return
        received = self._reader.feed(data)
        if received.payload and self._state is _State.OPEN:
            self._inner.data_received(received.payload)
            self._flush()  # what was answered at once goes at once
        if received.ping is not None:
            self._answer_ping(received.ping)
        if received.ending is not None:
            self._end(received.ending)

    def eof_received(self) -> bool:
        """An end without a close frame: nothing can be answered any more."""
        self._flush()
        return False

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._state is _State.OPEN:
            self.deadline = self._loop.time() + self._limits.write_seconds
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._state is _State.OPEN:
            self.deadline = NEVER
            self._inner.resume_writing()
            if self._pong is not None:
                self._answer_ping(self._pong)

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _State.CLOSED
        self._deadlines.discard(self)
        self._drop_unsent()
        self._inner.connection_lost(exc)
        self._inner = _GONE  # they refer to each other in a circle: cut, so that memory does not wait for the collector

    # What the listener and the watch over time call

    def shutdown(self) -> None:
        """Let the protocol inside finish what is under way; the connection then ends as one that goes away."""
        if self.is_closing():
            return
        self._close_code = GOING_AWAY
        finish = getattr(self._inner, "shutdown", self.start_closing)
        finish()

    def on_deadline(self) -> None:
        """The client does not read, or does not answer a close frame."""
        self.abort()

    # What the transport inside calls

    def get_inner(self) -> asyncio.Protocol:
        return self._inner

    def set_inner(self, protocol: asyncio.Protocol) -> None:
        self._inner = protocol

    def send(self, data: bytes) -> None:
        if self.is_closing():
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)
        self.unsent_bytes += len(data)
        if self.unsent_bytes >= self._limits.sent_frame_bytes:
            self._flush()

    def is_closing(self) -> bool:
        return self._state is not _State.OPEN or self.raw.is_closing()

    def start_closing(self) -> None:
        if self.is_closing():
            return
        self._say_close(self._close_code)
        self._state = _State.CLOSING
        self.raw.resume_reading()  # whatever the protocol inside had paused: the client's close frame is to come

    def abort(self) -> None:
        self.deadline = NEVER
        self._state = _State.CLOSED
        self._drop_unsent()
        self.raw.abort()

    # Frames out

    def _flush(self) -> None:
        """Everything written in this turn, in as few frames as hold it."""
        if not self._unsent or self.is_closing():
            return
        data = self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
        self._drop_unsent()
        most = self._limits.sent_frame_bytes
        for start in range(0, len(data), most):
            self.raw.write(frame(BINARY, data[start : start + most]))

    def _drop_unsent(self) -> None:
        self._unsent = []
        self.unsent_bytes = 0

    def _answer_ping(self, data: bytes) -> None:
        """At once, or when the client reads again: one pong then answers all its pings (RFC 6455, 5.5.3)."""
        if self._write_paused:
            self._pong = data
        elif not self.is_closing():
            self._pong = None
            self.raw.write(frame(PONG, data))

    def _say_close(self, code: int, reason: str = "") -> None:
        self._flush()
        self.raw.write(close_frame(code, reason))
        self.deadline = self._loop.time() + self._limits.close_seconds

    # The end

    def _end(self, ending: Ending) -> None:
        if self._state is _State.OPEN and not self.raw.is_closing():
            self._say_close(ending.code, ending.reason)
        if ending.failed:
            self._fail()
        else:
            self._state = _State.CLOSED
            self.raw.close()

    def _fail(self) -> None:
        """End the output but read on: closing while the client still sends, TCP would throw the close frame away."""
        self._state = _State.FAILED
        self.raw.resume_reading()
        finish_writing = getattr(self.raw, "finish_writing", self.raw.write_eof)
        finish_writing()


_GONE: Final = asyncio.Protocol()
