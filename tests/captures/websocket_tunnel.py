"""Puts a captured WebSocket between a test's device and the protocol that serves it: the client's own upgrade request,
frame sizes and masks. It must not know what is said inside.

    device ── payload ──▶ Tunnel ── frames ──▶ HttpProtocol, then WebSocketProtocol ── payload ──▶ protocol inside
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from captured import Capture
from websocket_wire import Wire, client_frame, deframe

from idscope.frontends.http.front_end import HttpFrontEnd
from idscope.frontends.websocket import WebSocketEndpoints
from idscope.testing.application import Application

Cut = Callable[[bytes], Iterable[bytes]]
BINARY, CLOSE = 2, 8


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in data]


def in_some_places(data: bytes) -> list[bytes]:
    """Within what stands first (a frame's head, its mask, a packet's header), in the middle, before the last byte."""
    places = sorted({0, *(place for place in (1, 3, 7, len(data) // 2, len(data) - 1) if 0 < place < len(data))})
    return [data[begin:end] for begin, end in zip(places, [*places[1:], len(data)], strict=True)]


CUTS = (whole, bytewise, in_some_places)


class ClientFrames:
    """A captured client's frames, made again around what it says now.

    `said` are the parts of its stream as the test will give them, each of which was one frame or several. Where a part
    has another length than it had, its longest frame takes the difference.
    """

    def __init__(self, frames: Sequence[bytes], said: Sequence[bytes]) -> None:
        self._frames = [
            (opcode, len(payload), _mask(frame)) for frame in frames for opcode, _, payload in deframe(frame)
        ]
        self._said = [len(one) for one in said]

    def around(self, payload: bytes) -> list[bytes]:
        """The frames of the next part."""
        length = self._said.pop(0)
        taken: list[tuple[int, int, bytes]] = []
        while sum(size for _, size, _ in taken) < length:
            taken.append(self._frames.pop(0))
        sizes = [size for _, size, _ in taken]
        assert sum(sizes) == length, "a frame of this client ends where what it says ends"
        sizes[sizes.index(max(sizes))] += len(payload) - length
        made, at = [], 0
        for (opcode, _, mask), size in zip(taken, sizes, strict=True):
            assert opcode == BINARY
            made.append(client_frame(payload[at : at + size], mask=mask))
            at += size
        return made

    def closing(self, payload: bytes) -> bytes:
        """The client's close frame: as it was captured, or one with this payload."""
        if self._frames and self._frames[-1][0] == CLOSE:
            return client_frame(b"", CLOSE, mask=self._frames.pop()[2])
        return client_frame(payload, CLOSE)


def _mask(frame: bytes) -> bytes:
    at = {126: 4, 127: 10}.get(frame[1] % 128, 2)
    return frame[at : at + 4]


class Tunnel:
    """Stands on the device's transport as the protocol that serves it would: payload in, payload out."""

    def __init__(
        self,
        app: Application,
        capture: Capture,
        said: Sequence[bytes],
        cut: Cut,
        inside: Callable[[], asyncio.Protocol],
    ) -> None:
        name = {"MqttWs": "mqtt", "AmqpWs": "AMQPWSB10"}[capture.row.wire]
        websocket = WebSocketEndpoints({name: inside})
        self._front_end = HttpFrontEnd(app.router, clock=app.clock, websocket=websocket)
        self._upgrade = capture.upgrade
        self._frames = ClientFrames(capture.frames, said)
        self._cut = cut

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._beneath = _Beneath(transport, self._closed_by_server)
        self._beneath.protocol = self._front_end.protocol_factory()
        self._beneath.protocol.connection_made(self._beneath)
        self._feed(self._upgrade)
        assert self._beneath.head.startswith(b"HTTP/1.1 101 "), self._beneath.head

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.around(data):
            self._feed(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._beneath.protocol.connection_lost(exc)

    def _feed(self, data: bytes) -> None:
        for piece in self._cut(data):
            if not self._beneath.closed:
                self._beneath.protocol.data_received(piece)

    def _closed_by_server(self, payload: bytes) -> None:
        """Answered in the loop's next turn, as from the other end of a wire."""
        asyncio.get_running_loop().call_soon(self._feed, self._frames.closing(payload))


class _Beneath(Wire):
    """What the server's end of the tunnel writes to: frames go out of their frames to the device."""

    def __init__(self, device: asyncio.Transport, closed: Callable[[bytes], None]) -> None:
        super().__init__()
        self.head = b""
        self._device = device
        self._closed = closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        own = {"sockname": ("127.0.0.1", 443), "sslcontext": True, "tls_version": "TLSv1.3"}
        return own.get(name) or self._device.get_extra_info(name, default)

    def write(self, data: Any) -> None:
        super().write(data)
        if not self.head:
            self.head = self.take()
            return
        for opcode, final, payload in deframe(self.take()):
            assert final, "nothing is sent in fragments"
            assert opcode in (BINARY, CLOSE)
            if opcode == BINARY:
                self._device.write(payload)
            else:
                self._closed(payload)

    def close(self) -> None:
        super().close()
        self._device.close()

    def abort(self) -> None:
        super().abort()
        self._device.abort()

    def pause_reading(self) -> None:
        super().pause_reading()
        self._device.pause_reading()

    def resume_reading(self) -> None:
        super().resume_reading()
        self._device.resume_reading()
