"""Owns what these tests stand on: a transport that keeps what is written, protocols for the inside, a small reader and
writer of frames of its own. It must not know what any test expects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from idscope.clock import SystemClock
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.front_end import HttpFrontEnd
from idscope.frontends.http.incoming import IncomingRequest
from idscope.frontends.websocket import WebSocketEndpoints, WebSocketLimits

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
REQUEST = (
    b"GET /$iothub/websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)
CHAIN = (b"leaf", b"intermediate")


class Inside(asyncio.Protocol):
    """Keeps the stream and what else it is told."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.told: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        assert data, "an empty piece"
        self.received += data

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


class Echo(Inside):
    """Sends back what comes."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


@dataclass
class Wire(asyncio.Transport):
    """The transport of one connection; `protocol` is who has it now."""

    secure: bool = True
    written: bytearray = field(default_factory=bytearray)
    writes: int = 0
    protocol: Any = None
    reading: bool = True
    finished: bool = False
    closed: bool = False
    aborted: bool = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known: dict[str, Any] = {"sockname": ("127.0.0.1", 443), "peername": ("127.0.0.9", 40000)}
        if self.secure:
            known |= {"sslcontext": True, "client_certificate_chain": CHAIN, "tls_version": "TLSv1.3"}
        return known.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        assert not self.finished, "written after the end"
        self.written += data
        self.writes += 1

    def finish_writing(self) -> None:
        self.finished = True

    def close(self) -> None:
        self.finished = self.closed = True

    def abort(self) -> None:
        self.finished = self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def get_write_buffer_size(self) -> int:
        return 0

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self.written)
        self.written.clear()
        return taken


class Connection:
    """One connection to an HTTP front end with WebSockets; the app behind it answers 204 to everything."""

    def __init__(
        self,
        make: Callable[[], Inside] = Inside,
        *,
        limits: WebSocketLimits | None = None,
        secure: bool = True,
        known: Iterable[str] | None = ("mqtt", "AMQPWSB10"),
    ) -> None:
        self.inside: Inside | None = None
        self.name = ""
        self.requests: list[str] = []

        def factory(name: str) -> Callable[[], Inside]:
            def made() -> Inside:
                self.name, self.inside = name, make()
                return self.inside

            return made

        endpoints = (
            None if known is None else WebSocketEndpoints({name: factory(name) for name in known}, limits=limits)
        )
        self.wire = Wire(secure)
        self.wire.protocol = HttpFrontEnd(self._app, clock=SystemClock(), websocket=endpoints).protocol_factory()
        self.wire.protocol.connection_made(self.wire)

    async def _app(self, request: IncomingRequest) -> Answer:
        self.requests.append(request.path)
        return Answer(204)

    def feed(self, data: bytes) -> None:
        """As a transport does it: nothing comes after an end."""
        if not self.wire.closed:
            self.wire.protocol.data_received(data)

    async def open(self, request: bytes = REQUEST) -> Inside:
        """The protocol inside, after a handshake that is expected to succeed."""
        self.feed(request)
        head = self.wire.take()
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert self.inside is not None
        return self.inside

    async def frames(self) -> list[tuple[int, bytes]]:
        """What was sent since the last time."""
        await asyncio.sleep(0)
        return [(opcode, payload) for opcode, _, payload in deframe(self.wire.take())]

    def lose(self) -> None:
        self.wire.protocol.connection_lost(None)


async def answer(connection: Connection, request: bytes) -> bytes:
    """The head and body of what is answered."""
    connection.feed(request)
    for _ in range(10):
        await asyncio.sleep(0)
    return connection.wire.take()


def deframe(stream: bytes) -> list[tuple[int, bool, bytes]]:
    """Opcode, whether it is the last fragment, unmasked payload; written anew from the picture in RFC 6455, 5.2."""
    found = []
    while stream:
        final, opcode = bool(stream[0] >> 7), stream[0] % 16
        masked, size, start = stream[1] >> 7, stream[1] % 128, 2
        if size == 126:
            size, start = stream[2] * 256 + stream[3], 4
        elif size == 127:
            size, start = int(stream[2:10].hex(), 16), 10
        mask = stream[start : start + 4] if masked else bytes(4)
        start += 4 * masked
        assert len(stream) >= start + size, "the last frame is not whole"
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(stream[start : start + size]))
        found.append((opcode, final, payload))
        stream = stream[start + size :]
    return found


def client_frame(
    payload: bytes, opcode: int = 2, *, final: bool = True, mask: bytes | None = b"\x01\x82\x03\xfe", reserved: int = 0
) -> bytes:
    """A frame as a client sends it; without a mask, as it must not."""
    size = len(payload)
    length = 127 if size > 0xFFFF else 126 if size > 125 else size
    head = bytes((final << 7 | reserved << 4 | opcode, (mask is not None) << 7 | length))
    if length >= 126:
        head += size.to_bytes(2 if length == 126 else 8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
