"""Owns the listening sockets and the limits that hold for all their connections: how many, how many handshakes at once,
how they end. It must not know what is spoken inside a connection."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Final, cast

import msgspec
from OpenSSL import SSL

from idscope.frontends.deadlines import NEVER, Deadlines, resolution_for
from idscope.frontends.tls import Connection, TlsProtocol

_log = logging.getLogger(__name__)

_REFUSALS_PER_NOTE_SECONDS: Final = 60.0
# A peer that vanished is noticed after about a minute: with nothing under way by the probes, with data that it never
# acknowledges, or never makes room for, by the user timeout in milliseconds (the kernel's own patience is a quarter of
# an hour). Accepted sockets inherit this from the listening one.
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)


class CannotListen(Exception):
    """An address on which the server cannot listen; `host` and `port` as asked for."""

    def __init__(self, host: str, port: int, problem: str) -> None:
        self.host = host
        self.port = port
        super().__init__(f"cannot listen on {host} port {port}: {problem}")


class AddressTaken(CannotListen):
    """Another program listens there (EADDRINUSE)."""


class AddressNotPermitted(CannotListen):
    """The system does not let this user listen there (EACCES): ports below `ip_unprivileged_port_start`."""


_CANNOT_LISTEN: Final = {
    errno.EADDRINUSE: AddressTaken,
    errno.EACCES: AddressNotPermitted,
    errno.EPERM: AddressNotPermitted,
}


class ListenerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits over all connections of a listener.

    `handshakes` under way at once, `waiting_handshakes` more in line, the rest refused; `handshake_seconds` from
    the connection to the end of its handshake, the wait included; `close_seconds` for the last bytes of a connection;
    `certificates` in a client's chain (OpenSSL itself refuses more than 100 KiB of them).
    """

    connections: int = 10_000
    handshakes: int = 512
    waiting_handshakes: int = 2048
    handshake_seconds: float = 10.0
    close_seconds: float = 5.0
    certificates: int = 20
    backlog: int = 2048


def bind_sockets(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Bound sockets for every address of `host`; port 0 lets the system choose.

    `reuse_port` lets several processes share the port. Raises AddressTaken, AddressNotPermitted, CannotListen.
    """
    sockets: list[socket.socket] = []
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            sockets.append(listening := socket.socket(family, kind, protocol))
            _set_options(listening, reuse_port=reuse_port)
            listening.bind(address)
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise _cannot_listen(error, host, port) from None
    return sockets


def _set_options(listening: socket.socket, *, reuse_port: bool) -> None:
    listening.setblocking(False)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if listening.family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # so that peers have one spelling each
    for level, option, value in _KEEPALIVE:
        listening.setsockopt(level, option, value)


def _cannot_listen(error: OSError, host: str, port: int) -> CannotListen:
    problem = error.strerror or type(error).__name__
    return _CANNOT_LISTEN.get(error.errno or 0, CannotListen)(host, port, problem)


class Listener:
    """Accepts connections and gives each a protocol of `protocol_factory`, inside TLS where there is a `context`.

    `context` may be exchanged at any time and holds for new connections. On a listener without TLS the protocol must
    not call `transport.set_protocol`.
    """

    def __init__(
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        *,
        context: SSL.Context | None,
        limits: ListenerLimits | None = None,
    ) -> None:
        self.make_protocol = protocol_factory
        self.context = context
        self.limits = limits = limits or ListenerLimits()
        self.handshake_seconds = limits.handshake_seconds
        self.close_seconds = limits.close_seconds
        self.certificates = limits.certificates
        self.refusals = 0
        self._servers: list[asyncio.AbstractServer] = []
        self._connections: set[Connection] = set()
        self._handshakes: set[TlsProtocol] = set()
        self._waiting: dict[TlsProtocol, None] = {}  # in the order of their coming
        self._deadlines = Deadlines(resolution_for(limits.handshake_seconds, limits.close_seconds))
        self._draining = False
        self._emptied = asyncio.Event()
        self._noting: asyncio.TimerHandle | None = None
        self._unnoted = 0

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Listen on these bound sockets, which belong to the listener from now on. Raises as `bind_sockets`."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            host, port = listening.getsockname()[:2]
            try:
                server = await loop.create_server(self._accept, sock=listening, backlog=self.limits.backlog)
            except OSError as error:
                listening.close()
                raise _cannot_listen(error, host, port) from None
            self._servers.append(server)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def drain(self, seconds: float) -> None:
        """Accept no more, let each connection finish what it has begun, and cut those that still last after it."""
        self._draining = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.shutdown()
        if not await self._wait_until_empty(seconds):
            for connection in list(self._connections):
                connection.abort()
            await self._wait_until_empty(self.close_seconds)
        if self._noting is not None:
            self._noting.cancel()
            self._note_rest()

    async def _wait_until_empty(self, seconds: float) -> bool:
        if self._connections:
            self._emptied.clear()
            try:
                await asyncio.wait_for(self._emptied.wait(), seconds)
            except TimeoutError:
                return False
        return True

    # What the connections call

    def _accept(self) -> asyncio.Protocol:
        return TlsProtocol(self) if self.context is not None else PlainProtocol(self)

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more connection."""
        if self._draining or len(self._connections) >= self.limits.connections:
            self.note_refusal("the server stops" if self._draining else "too many connections", None)
            return False
        self._connections.add(connection)
        self._deadlines.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
        self._deadlines.discard(connection)
        if not self._connections:
            self._emptied.set()

    def queue_handshake(self, connection: TlsProtocol) -> bool:
        """Start the handshake now, or when there is room; False where too many wait already."""
        if len(self._handshakes) < self.limits.handshakes:
            self._handshakes.add(connection)
            connection.start_handshake()
        elif len(self._waiting) < self.limits.waiting_handshakes:
            self._waiting[connection] = None
        else:
            return False
        return True

    def end_handshake(self, connection: TlsProtocol) -> None:
        """The handshake is over, well or badly, or is given up while it waits; called twice, it does nothing more."""
        self._waiting.pop(connection, None)
        if connection in self._handshakes:
            self._handshakes.discard(connection)
            self._start_next_handshake()

    def _start_next_handshake(self) -> None:
        following = next(iter(self._waiting), None)
        if following is not None:
            del self._waiting[following]
            self._handshakes.add(following)
            # Not at once: a row of failing ones would call each other ever deeper.
            asyncio.get_running_loop().call_soon(following.start_handshake)

    def note_refusal(self, reason: str, peer: object) -> None:
        """Count it; the log hears of the first at once, and of those in the minute after it by their number."""
        self.refusals += 1
        told = reason if peer is None else f"{reason} ({peer})"
        _log.debug("connection refused: %s", told)
        if self._noting is None:
            _log.info("a connection was refused: %s", told)
            self._noting = asyncio.get_running_loop().call_later(_REFUSALS_PER_NOTE_SECONDS, self._note_rest)
        else:
            self._unnoted += 1

    def _note_rest(self) -> None:
        self._noting = None
        if self._unnoted:
            _log.info("%d more connections were refused in the minute since; %d in all", self._unnoted, self.refusals)
            self._unnoted = 0


class PlainProtocol(asyncio.Protocol):
    """A connection without TLS: passes everything on to the protocol inside, and lets the listener count."""

    __slots__ = ("_admitted", "_gate", "_inner", "_raw", "deadline")

    def __init__(self, gate: Listener) -> None:
        self._gate = gate
        self._inner = gate.make_protocol()
        self._raw: asyncio.Transport | None = None
        self._admitted = False
        self.deadline = NEVER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)
        self._admitted = self._gate.admit(self)
        if self._admitted:
            self._inner.connection_made(transport)
        else:
            self._raw.abort()

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.forget(self)
        if self._admitted:
            self._inner.connection_lost(exc)

    def on_deadline(self) -> None:
        self.abort()

    def shutdown(self) -> None:
        finish = getattr(self._inner, "shutdown", self.abort)
        finish()

    def abort(self) -> None:
        if self._raw is not None:
            self._raw.abort()
