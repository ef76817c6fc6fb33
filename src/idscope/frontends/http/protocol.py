"""Owns HTTP/1.1 on one connection: whose turn it is, how long each phase may last, and how the connection ends. It must
not know any route, nor how a request is read.

What the reader tells moves `_phase` on; every phase has one time limit, held in `deadline`. Requests are answered one
after the other, in their order. What is refused before the app has it is answered in its turn, and then nothing more is
read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, cast

from idscope.errors import IdscopeError, RequestTimeout
from idscope.frontends.deadlines import NEVER
from idscope.frontends.http.exchange import App, Exchange, refusing
from idscope.frontends.http.incoming import IncomingRequest, Peer
from idscope.frontends.http.limits import READ_AHEAD
from idscope.frontends.http.request_reader import Enough, RequestReader

if TYPE_CHECKING:
    from idscope.frontends.http.front_end import HttpFrontEnd


class _Phase(Enum):
    """What the connection waits for; the limit in brackets."""

    FIRST_BYTE = auto()  # [first_byte_seconds]
    HEAD = auto()  # [head_seconds]
    BODY = auto()  # [body_seconds]
    ANSWER = auto()  # a whole request is with the app [none]
    IDLE = auto()  # [keep_alive_seconds]
    LAST_ANSWER = auto()  # as ANSWER, and nothing more is read [none]
    LINGER = auto()  # everything is said, what still comes is thrown away [linger_seconds]
    CLOSED = auto()  # [write_seconds]


_NO_MORE_INPUT: Final = (_Phase.LAST_ANSWER, _Phase.LINGER, _Phase.CLOSED)
_NO_MORE_OUTPUT: Final = (_Phase.LINGER, _Phase.CLOSED)
_WITH_THE_APP: Final = (_Phase.ANSWER, _Phase.LAST_ANSWER)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpProtocol(asyncio.Protocol):
    """One connection, over TLS or not."""

    def __init__(self, front_end: HttpFrontEnd) -> None:
        self.deadline = NEVER
        self._front_end = front_end
        self._limits = front_end.limits
        self._loop = asyncio.get_running_loop()
        self._phase = _Phase.FIRST_BYTE
        self._last: Exchange | None = None  # the one whose request is being read, or was read last
        self._running: Exchange | None = None
        self._waiting: deque[tuple[Exchange, App]] = deque()
        self._rest_unread = False  # the client may still be sending what nobody will read
        self._discarded = 0
        self._reading_paused = self._writing_paused = False
        self._successor: asyncio.Protocol | None = None  # what the connection is upgraded to

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reader: RequestReader | None = RequestReader(self, _peer(self._transport), self._limits)
        self._wait(_Phase.FIRST_BYTE, self._limits.first_byte_seconds)
        self._front_end.deadlines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._phase = _Phase.CLOSED
        self._front_end.deadlines.discard(self)
        self._waiting.clear()
        if self._running is not None:
            self._running.request.abandon()
        self._release()

    def eof_received(self) -> bool:
        """A client that ends its own side still gets the answers under way."""
        if self._running is None or self._phase in (_Phase.BODY, *_NO_MORE_OUTPUT):
            return False
        self._make_last()
        return True

    def shutdown(self) -> None:
        """Finish what is under way, then close."""
        if self._running is None:
            self.close()
        elif self._last is not None:
            self._last.keep_alive = False

    def close(self) -> None:
        """Close; where the client may still be sending, so that the answer reaches it before TCP resets."""
        if self._phase in _NO_MORE_OUTPUT:
            return
        if self._rest_unread or self._phase in (_Phase.HEAD, _Phase.BODY):
            self._discarded = 0
            self._wait(_Phase.LINGER, self._limits.linger_seconds)
            self._resume_reading()
            finish_writing = getattr(self._transport, "finish_writing", self._transport.write_eof)
            finish_writing()
        else:
            self._wait(_Phase.CLOSED, self._limits.write_seconds)
            self._transport.close()

    def _make_last(self) -> None:
        """The answers under way are the last."""
        self._phase = _Phase.LAST_ANSWER
        if self._last is not None:
            self._last.keep_alive = False

    def _release(self) -> None:
        """Cut the circles of references, so that nothing waits for the collector."""
        self._reader = self._last = self._running = None

    def _is_closing(self) -> bool:
        return self._phase in _NO_MORE_OUTPUT or self._transport.is_closing()

    # Time

    def _wait(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self.deadline = self._loop.time() + seconds

    def on_deadline(self) -> None:
        """The phase has lasted too long."""
        phase = self._phase
        self.deadline = NEVER
        if self._writing_paused or phase in _NO_MORE_OUTPUT:
            self._transport.abort()
        elif phase in (_Phase.FIRST_BYTE, _Phase.IDLE):
            self.close()
        elif phase in (_Phase.HEAD, _Phase.BODY):
            if self._reading_paused:  # it is the app that is slow, not the client
                self.deadline = self._loop.time() + self._limits.body_seconds
            else:
                self._refuse(RequestTimeout())

    # Flow

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.deadline = self._loop.time() + self._limits.write_seconds

    def resume_writing(self) -> None:
        self._writing_paused = False
        waits = self._phase not in _WITH_THE_APP
        self.deadline = self._loop.time() + self._limits.write_seconds if waits else NEVER
        self._take_turns()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    # Input

    def data_received(self, data: bytes) -> None:
        if self._phase in _NO_MORE_INPUT or self._reader is None:
            self._discard(len(data))
            return
        try:
            rest = self._reader.feed(data)
        except Enough:
            if self._reader.refusal is not None and self._phase not in _NO_MORE_INPUT:
                self._refuse(self._reader.refusal)
            return
        if rest is not None and self._successor is not None:
            self._hand_over(self._successor, rest)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self._limits.body_bytes and self._phase is _Phase.LINGER:
            self._transport.abort()
        elif self._discarded > READ_AHEAD and self._phase is _Phase.LAST_ANSWER:
            self._pause_reading()

    def _hand_over(self, successor: asyncio.Protocol, rest: bytes) -> None:
        """The connection is the successor's from here on; `rest` came with the request (Java does not wait)."""
        self._phase = _Phase.CLOSED
        self._front_end.deadlines.discard(self)
        self._release()
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)
        if self._writing_paused:
            successor.pause_writing()
        if rest:
            successor.data_received(rest)

    # What the reader tells

    def head_begun(self) -> None:
        if self._phase in _NO_MORE_INPUT:
            raise Enough
        if len(self._waiting) >= self._limits.pipelined_requests:
            self._make_last()  # a client repeats what was not answered (RFC 9112, 9.3.2)
            raise Enough
        self._wait(_Phase.HEAD, self._limits.head_seconds)

    def head_read(self, request: IncomingRequest, *, keep_alive: bool, awaits_continue: bool, upgrades: bool) -> bool:
        self._wait(_Phase.BODY, self._limits.body_seconds)
        app = self._front_end.app
        if upgrades:
            try:
                self._successor = self._front_end.upgrade(request, in_turn=self._running is None)
            except IdscopeError as error:
                app = refusing(error, self._front_end.clock)
        if self._successor is None:
            request.on_wanted = self._want_body
            self._begin(Exchange(request, keep_alive=keep_alive, awaits_continue=awaits_continue), app)
        return self._successor is not None

    def body_read(self, data: bytes) -> None:
        exchange = self._last
        if exchange is None or exchange.answered:
            return
        exchange.request.feed(data)
        if exchange.request.received > READ_AHEAD and not exchange.request.is_wanted:
            self._pause_reading()

    def request_read(self) -> None:
        exchange = self._last
        if exchange is None or exchange.answered:
            self._wait(_Phase.IDLE, self._limits.keep_alive_seconds)
            return
        exchange.request.complete()
        self._phase = _Phase.ANSWER if exchange.keep_alive else _Phase.LAST_ANSWER
        if not self._writing_paused:
            self.deadline = NEVER

    def _want_body(self) -> None:
        """The running app waits for its request's body."""
        if self._running is not None and self._running.awaits_continue and not self._is_closing():
            self._running.awaits_continue = False
            self._transport.write(_CONTINUE)
        self._resume_reading()

    # Answers

    def _begin(self, exchange: Exchange, app: App) -> None:
        self._last = exchange
        self._waiting.append((exchange, app))
        if self._running is not None:
            self._pause_reading()
        self._take_turns()

    def _take_turns(self) -> None:
        """Answer the next request, once the one before it is answered and the client takes what is sent."""
        if self._running is None and self._waiting and not self._writing_paused:
            exchange, app = self._waiting.popleft()
            self._running = exchange
            self._front_end.run(self._answer(exchange, app))

    async def _answer(self, exchange: Exchange, app: App) -> None:
        answer = await exchange.answer(app, self._front_end.clock, self._front_end.date_line)
        if answer is None or exchange.request.is_abandoned:
            return
        exchange.answered = True
        self._transport.write(answer)
        if not exchange.keep_alive:
            self.close()
        self._running = None
        if not self._is_closing():
            self._go_on()

    def _go_on(self) -> None:
        """An answer is written: on to the next request."""
        if self._waiting:
            self._take_turns()
            return
        self._resume_reading()
        if self._phase is _Phase.ANSWER:
            self._wait(_Phase.IDLE, self._limits.keep_alive_seconds)

    def _refuse(self, error: IdscopeError) -> None:
        """Answer with the error, in turn, and read no more."""
        refused = self._last if self._phase is _Phase.BODY else None
        self._phase = _Phase.LAST_ANSWER
        self._rest_unread = True
        self.deadline = NEVER
        if refused is not None and refused.answered:
            self.close()
            return
        if refused is not None:
            self._withdraw(refused)
        request = IncomingRequest("GET", b"/", b"", [], Peer("", secure=False), body=b"")
        self._begin(Exchange(request, keep_alive=False), refusing(error, self._front_end.clock))

    def _withdraw(self, exchange: Exchange) -> None:
        """The request cannot be read to its end: its app is told, and its turn is free."""
        if self._running is exchange:
            exchange.request.abandon()
            self._running = None
        else:
            self._waiting.pop()


def _peer(transport: asyncio.Transport) -> Peer:
    name = transport.get_extra_info("peername")
    address = str(name[0]) if isinstance(name, tuple) and name else ""
    secure = bool(transport.get_extra_info("sslcontext"))
    chain: Any = transport.get_extra_info("client_certificate_chain", ()) if secure else ()
    return Peer(address, secure, tuple(chain))
