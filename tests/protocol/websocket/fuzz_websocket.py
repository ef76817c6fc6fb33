"""Feeds mutated captures to an HTTP connection with WebSockets: whatever comes, it raises nothing, says nothing after
its end, and keeps within its limits.

PYTHONPATH=tests/captures:tests/protocol/websocket python tests/protocol/websocket/fuzz_websocket.py SEED COUNT
"""

from __future__ import annotations

import asyncio
import random
import sys

from captured import Capture, load_captures
from websocket_wire import Connection, Echo, client_frame

from idscope.frontends.websocket import WebSocketLimits

LIMITS = WebSocketLimits(frame_bytes=500, message_bytes=800, sent_frame_bytes=300)
_TELLING = (0x00, 0x01, 0x02, 0x7E, 0x7F, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC2, 0xFE, 0xFF)
_FRAMES = (
    client_frame(b"", 9),
    client_frame(b"ping", 9),
    client_frame(b"", 10),
    client_frame(b"text", 1),
    client_frame(b"a", 2, final=False),
    client_frame(b"b", 0, final=False),
    client_frame(b"c", 0),
    client_frame(b"", 8),
    client_frame(b"\x03\xe8", 8),
    client_frame(bytes(400)),
    client_frame(bytes(501)),
)


def fuzz(seed: int, count: int) -> dict[str, int]:
    """Runs so many mutated streams; how many went on, closed, failed. Raises AssertionError."""
    return asyncio.run(_fuzz(seed, count))


async def _fuzz(seed: int, count: int) -> dict[str, int]:
    draw = random.Random(seed)
    captures = [one for one in load_captures("MqttWs", "AmqpWs") if one.frames]
    ended = {"open": 0, "closed": 0, "failed": 0}
    for _ in range(count):
        ended[await _run(draw.choice(captures), captures, draw)] += 1
    return ended


def mutate(stream: bytes, others: list[Capture], draw: random.Random) -> bytes:
    """A few changes: a byte set, flipped, cut out or put in, a frame put in, another stream's tail."""
    data = bytearray(stream)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data)) if data else 0
        match draw.randrange(6):
            case 0 if data:
                data[at] = draw.choice(_TELLING)
            case 1 if data:
                data[at] ^= 1 << draw.randrange(8)
            case 2:
                del data[at : at + draw.randint(1, 40)]
            case 3:
                data[at:at] = draw.randbytes(draw.randint(1, 8))
            case 4:
                data[0:0] = draw.choice(_FRAMES)
            case _:
                data[at:] = draw.choice(others).framed[draw.randrange(20) :]
    return bytes(data)


async def _run(capture: Capture, others: list[Capture], draw: random.Random) -> str:
    connection = Connection(Echo, limits=LIMITS)
    inside = await connection.open(capture.upgrade.replace(b"/:10443", b""))
    bridge = connection.wire.protocol
    stream = mutate(capture.framed, others, draw)
    at, sent = 0, 0
    while at < len(stream):
        piece = stream[at : at + draw.choice((1, 3, 50, 4096))]
        at += len(piece)
        connection.feed(piece)
        if draw.random() < 0.05:
            draw.choice((bridge.pause_writing, bridge.resume_writing))()
        if draw.random() < 0.005:
            draw.choice((inside.transport.close, bridge.shutdown))()
        sent += len(connection.wire.take())
        assert sent <= 12 * at + 200, "more is said than was asked"
        assert len(bridge._reader._head) < 14 + 125, "more is kept than a head or a control frame"
        assert bridge.unsent_bytes == 0
    assert len(inside.received) <= len(stream)
    ended = "closed" if connection.wire.closed else "failed" if connection.wire.finished else "open"
    connection.lose()
    assert inside.told[-1] == "lost"
    return ended


if __name__ == "__main__":
    asked, runs = int(sys.argv[1]), int(sys.argv[2])
    print(f"{runs} streams from seed {asked}: {fuzz(asked, runs)}")  # noqa: T201
