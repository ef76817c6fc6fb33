"""Feeds captured client bytes to the real HTTP protocol and router. It must not know what the answers should be."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from captured import Capture, Row, load_captures

from idscope.frontends.http.front_end import HttpFrontEnd
from idscope.frontends.websocket import WebSocketEndpoints
from idscope.testing.application import Application
from idscope.testing.software_tpm import SoftwareTpm

PATIENCE = 10.0

_OPERATION = re.compile(rb"(?<=/operations/)[^?\s]+")
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Connection:
    """One captured connection; `requests` are whole HTTP requests, as they were sent."""

    capture: Capture
    requests: tuple[bytes, ...]

    @property
    def name(self) -> str:
        return self.capture.name

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]

    @property
    def row(self) -> Row:
        return self.capture.row


def load_connections() -> list[Connection]:
    """All connections that are HTTPS from beginning to end."""
    return [Connection(capture, tuple(split_requests(capture.stream))) for capture in load_captures("Http")]


def split_requests(stream: bytes) -> Iterable[bytes]:
    """The requests in what a client sent."""
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        size = int(length[1]) if length else 0
        assert len(rest) >= size, "the capture ends inside a body"
        yield head + b"\r\n\r\n" + rest[:size]
        stream = rest[size:]


def with_operation_id(request: bytes, operation_id: str) -> bytes:
    """The request asking for the operation that this server made, not for the stand-in's."""
    return _OPERATION.sub(operation_id.encode(), request, count=1)


def with_tpm(request: bytes, tpm: SoftwareTpm) -> bytes:
    """The request with the keys of this TPM."""
    head, end, body = request.partition(b"\r\n\r\n")
    for member, key in tpm.document.items():
        body = re.sub(rb'(?<="%b":")[^"]+' % member.encode(), key.encode(), body)  # one client escapes each slash
    head = _CONTENT_LENGTH.sub(lambda found: found[0][: -len(found[1])] + b"%d" % len(body), head)
    return head + end + body


@dataclass(frozen=True)
class Answered:
    """One answer, as it stood on the wire; `headers` keep their spelling."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for own, value in self.headers if own.lower() == name.lower()]
        assert len(values) <= 1, f"{name} is sent twice"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class _Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    chain: tuple[bytes, ...]
    written: bytearray = field(default_factory=bytearray)
    closed: bool = False

    def __post_init__(self) -> None:
        self.changed = asyncio.Event()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {
            "sockname": ("127.0.0.1", 443),
            "peername": ("127.0.0.9", 40000),
            "sslcontext": True,
            "client_certificate_chain": self.chain,
        }
        return known.get(name, default)

    def write(self, data: Any) -> None:
        self.written += data
        self.changed.set()

    def close(self) -> None:
        self.closed = True
        self.changed.set()

    abort = close
    write_eof = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Replay:
    """One connection to an application, through the protocol class that a socket gets."""

    def __init__(
        self, app: Application, chain: tuple[bytes, ...] = (), *, websocket: WebSocketEndpoints | None = None
    ) -> None:
        self._wire = _Wire(chain)
        self._protocol = HttpFrontEnd(app.router, clock=app.clock, websocket=websocket).protocol_factory()

    def __enter__(self) -> Self:
        self._protocol.connection_made(self._wire)
        return self

    def __exit__(self, *_: object) -> None:
        self._protocol.connection_lost(None)

    @property
    def closed(self) -> bool:
        return self._wire.closed

    async def ask(self, request: bytes, cut: Callable[[bytes], Iterable[bytes]] | None = None) -> Answered:
        """The answer to one request, fed in the pieces that `cut` makes of it."""
        for piece in [request] if cut is None else cut(request):
            self._protocol.data_received(piece)
        async with asyncio.timeout(PATIENCE):
            while (answer := self._take()) is None:
                self._wire.changed.clear()
                await self._wire.changed.wait()
        return answer

    def _take(self) -> Answered | None:
        head, end, rest = bytes(self._wire.written).partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not end or len(rest) < size:
            return None
        del self._wire.written[: len(head) + 4 + size]
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return Answered(int(status_line.split()[1]), headers, rest[:size])
