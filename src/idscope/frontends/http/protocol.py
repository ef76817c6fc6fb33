"""Owns HTTP/1.1 on one connection: uvicorn's protocol with the limits it lacks, and with an answer in the catalogue's
JSON wherever the protocol itself answers. It must not know any route.

The parser's callbacks move `_phase` on; every phase has one time limit, held in `deadline`. What the protocol refuses
it answers in turn, after the requests before it, and then it reads no more.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from idscope.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    IdscopeError,
    InvalidArgument,
    NotImplementedByServer,
    RequestTimeout,
    TargetTooLong,
)
from idscope.frontends.deadlines import NEVER
from idscope.frontends.http.cycle import AsgiApp, Cycle, answering

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


class _Stop(Exception):
    """Ends the parser's run from inside a callback."""


class HttpProtocol(HttpToolsProtocol):
    """One connection, over TLS or not."""

    def __init__(self, front_end: HttpFrontEnd) -> None:
        super().__init__(front_end.config, front_end.server_state, {}, asyncio.get_running_loop())
        self.front_end = front_end
        self.deadline = NEVER
        self._limits = front_end.limits
        self._extensions: dict[str, Any] = {}
        self._phase = _Phase.FIRST_BYTE
        self._running: Cycle | None = None
        self._refusal: IdscopeError | None = None
        self._rest_unread = False  # the client may still be sending what nobody will read
        self._input = 0  # bytes received in this phase
        self._header_bytes = 0
        self._body_bytes = 0
        self._has_body = False
        self._messages = 0
        self._successor: asyncio.Protocol | None = None  # what the connection is upgraded to

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        if self.scheme == "https":
            chain = transport.get_extra_info("client_certificate_chain", ())
            self._extensions = {"tls": {"client_certificate_chain": chain}}
        self._wait(_Phase.FIRST_BYTE, self._limits.first_byte_seconds)
        self.front_end.deadlines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _Phase.CLOSED
        self.front_end.deadlines.discard(self)
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnect()
        super().connection_lost(exc)
        self._running = None
        self.cycle = None  # type: ignore[assignment]  # as uvicorn begins; ends the circle of references

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio allows it, uvicorn does not use it
        """A client that ends its own side still gets the answers under way."""
        if self._running is None or self._phase in (_Phase.BODY, *_NO_MORE_OUTPUT):
            return False
        self._phase = _Phase.LAST_ANSWER
        self.cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        """Finish what is under way, then close."""
        if self._running is None:
            self.close()
        else:
            self.cycle.keep_alive = False

    # Time

    def _wait(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self._input = 0
        self.deadline = self.loop.time() + seconds

    def on_deadline(self) -> None:
        """The phase has lasted too long."""
        phase = self._phase
        self.deadline = NEVER
        if self.flow.write_paused or phase in _NO_MORE_OUTPUT:
            self.transport.abort()
        elif phase in (_Phase.FIRST_BYTE, _Phase.IDLE):
            self.close()
        elif phase in (_Phase.HEAD, _Phase.BODY):
            if self.flow.read_paused:  # it is the app that is slow, not the client
                self.deadline = self.loop.time() + self._limits.body_seconds
            else:
                self._refuse(RequestTimeout())

    def pause_writing(self) -> None:
        super().pause_writing()
        self.deadline = self.loop.time() + self._limits.write_seconds

    def resume_writing(self) -> None:
        super().resume_writing()
        waits = self._phase not in (_Phase.ANSWER, _Phase.LAST_ANSWER)
        self.deadline = self.loop.time() + self._limits.write_seconds if waits else NEVER

    # Input

    def data_received(self, data: bytes) -> None:
        if self._phase in _NO_MORE_INPUT:
            self._discard(len(data))
            return
        messages = self._messages
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if self._phase not in _NO_MORE_INPUT:
                self._refuse(self._refusal or InvalidArgument("The request is not valid HTTP/1.1."))
        else:
            if self._messages == messages:
                self._count_input(len(data))

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._successor is not None:
                    self._hand_over(self._successor, data)
                    return
                # Nothing is upgraded here: that was an ordinary request, and what follows it is the next one.
            else:
                return

    def _hand_over(self, successor: asyncio.Protocol, rest: bytes) -> None:
        """The connection is the successor's from here on; `rest` came with the request (Java does not wait)."""
        write_paused = self.flow.write_paused
        self._phase = _Phase.CLOSED
        self.front_end.deadlines.discard(self)
        self.connections.discard(self)
        self.cycle = None  # type: ignore[assignment]  # as in connection_lost
        self.parser = None  # type: ignore[assignment]  # likewise
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        if write_paused:
            successor.pause_writing()
        if rest:
            successor.data_received(rest)

    def _count_input(self, size: int) -> None:
        """Bounds what the parser keeps to itself: a header or trailer without end, chunks of one byte."""
        self._input += size
        limits = self._limits
        if self._phase is _Phase.HEAD and self._input > limits.target_bytes + limits.header_bytes:
            self._refuse(HeadersTooLarge())
        elif self._phase is _Phase.BODY and self._input > limits.target_bytes + limits.header_bytes + limits.body_bytes:
            self._refuse(BodyTooLarge())

    def _discard(self, size: int) -> None:
        self._input += size
        if self._input > self._limits.body_bytes and self._phase is _Phase.LINGER:
            self.transport.abort()
        elif self._input > HIGH_WATER_LIMIT and self._phase is _Phase.LAST_ANSWER:
            self.flow.pause_reading()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._phase in _NO_MORE_INPUT:
            raise _Stop
        if len(self.pipeline) >= self._limits.pipelined_requests:
            # The answers under way are the last: a client repeats what was not answered (RFC 9112, 9.3.2).
            self._phase = _Phase.LAST_ANSWER
            self.cycle.keep_alive = False
            raise _Stop
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._header_bytes = self._body_bytes = 0
        self._has_body = False
        self._wait(_Phase.HEAD, self._limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self._limits.target_bytes:
            self._stop(TargetTooLong())

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > self._limits.header_bytes or len(self.headers) >= self._limits.header_count:
            self._stop(HeadersTooLarge())
        if self._phase is not _Phase.HEAD:
            return  # a trailer: nobody asked for one
        name = name.lower()
        value = value.rstrip(b" \t")
        self.headers.append((name, value))
        if name in _TELLING:
            self._heed(name, value)

    def _heed(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"content-length":
            self._has_body = value != b"0"
            if int(value) > self._limits.body_bytes:
                self._stop(BodyTooLarge())
        else:
            self._has_body = True
            if value.lower() != b"chunked":
                self._stop(NotImplementedByServer("The only transfer coding known here is chunked."))

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        self.scope["http_version"] = version
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self._check_head(version)
        self._fill_target()
        self._wait(_Phase.BODY, self._limits.body_seconds)
        app = self._upgrade() if self.parser.should_upgrade() else self.app
        if app is None:
            return
        self.cycle = Cycle(
            self,
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            expect_100_continue=self.expect_100_continue,
        )
        self._queue(self.cycle, app)

    def _upgrade(self) -> AsgiApp | None:
        """What answers this upgrade request; None where a successor does."""
        try:
            self._successor = self.front_end.upgrade(self.scope, in_turn=self._running is None)
        except IdscopeError as error:
            return answering(error, self.front_end.clock.now())
        return None if self._successor is not None else cast("AsgiApp", self.app)

    def _check_head(self, version: str) -> None:
        if version not in ("1.1", "1.0"):
            self._stop(InvalidArgument("Only HTTP/1.1 and HTTP/1.0 are spoken here."))
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            self._stop(InvalidArgument("A request has one Host header."))
        if version == "1.0" and any(name == b"transfer-encoding" for name, _ in self.headers):
            self._stop(InvalidArgument("HTTP/1.0 knows no transfer coding."))
        if self._has_body and self.parser.should_upgrade():
            # The parser takes what follows for the other protocol, so the body could not be told from a request.
            self._stop(NotImplementedByServer("A request with a body cannot ask for an upgrade."))

    def _fill_target(self) -> None:
        target = httptools.parse_url(self.url)
        raw_path = target.path or b"/"  # none in https://host
        path = raw_path.decode("ascii")
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"] = raw_path
        self.scope["query_string"] = target.query or b""
        if target.schema:
            self._take_authority(target)

    def _take_authority(self, target: httptools.parser.url_parser.URL) -> None:
        """Of an absolute-form target the authority counts, not the Host header (RFC 9112, 3.2.2)."""
        host = b"[" + target.host + b"]" if b":" in target.host else target.host
        authority = b"%b:%d" % (host, target.port) if target.port else host
        self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._stop(BodyTooLarge())
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._messages += 1
        if self._successor is not None:
            return
        cycle = self.cycle
        if cycle.response_complete:
            self._wait(_Phase.IDLE, self._limits.keep_alive_seconds)
            return
        cycle.more_body = False
        cycle.message_event.set()
        self._phase = _Phase.ANSWER if cycle.keep_alive else _Phase.LAST_ANSWER
        self._input = 0
        if not self.flow.write_paused:
            self.deadline = NEVER

    # Answers

    def _queue(self, cycle: Cycle, app: AsgiApp) -> None:
        if self._running is None:
            self._running = cycle
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def on_response_complete(self) -> None:
        """The running cycle has its answer: on to the next request."""
        self.server_state.total_requests += 1
        self._running = None
        if self.is_closing():
            return
        if self.pipeline:
            self._queue(*cast("tuple[Cycle, AsgiApp]", self.pipeline.pop()))
            return
        self.flow.resume_reading()
        if self._phase is _Phase.ANSWER:
            self._wait(_Phase.IDLE, self._limits.keep_alive_seconds)

    def _stop(self, refusal: IdscopeError) -> None:
        self._refusal = refusal
        raise _Stop

    def _refuse(self, error: IdscopeError) -> None:
        """Answer with the error, in turn, and read no more."""
        refused = self.cycle if self._phase is _Phase.BODY else None
        self._phase = _Phase.LAST_ANSWER
        self._rest_unread = True
        self.deadline = NEVER
        if refused is not None and refused.response_complete:
            self.close()
            return
        if refused is not None and refused.response_started:
            self.transport.abort()
            return
        if refused is not None and self._running is refused:
            self._running.disconnect()
            self._running = None
        elif refused is not None:
            self.pipeline.popleft()
        self.scope.setdefault("method", "GET")
        self.cycle = Cycle(self, keep_alive=False)
        self._queue(self.cycle, answering(error, self.front_end.clock.now()))

    # What the cycle takes for its transport

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def abort(self) -> None:
        self.transport.abort()

    def is_closing(self) -> bool:
        return self._phase in _NO_MORE_OUTPUT or self.transport.is_closing()

    def close(self) -> None:
        """Close; where the client may still be sending, so that the answer reaches it before TCP resets."""
        if self._phase in _NO_MORE_OUTPUT:
            return
        if self._rest_unread or self._phase in (_Phase.HEAD, _Phase.BODY):
            self._wait(_Phase.LINGER, self._limits.linger_seconds)
            self.flow.resume_reading()
            finish_writing = getattr(self.transport, "finish_writing", self.transport.write_eof)
            finish_writing()
        else:
            self._wait(_Phase.CLOSED, self._limits.write_seconds)
            self.transport.close()


_TELLING: Final = frozenset((b"expect", b"content-length", b"transfer-encoding"))


def _address(name: tuple[Any, ...] | None) -> tuple[str, int] | None:
    """Host and port of a socket name, IPv6 ones included."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None
