"""Feeds the AMQP front end with what nobody should send: mutated captures, cut anywhere. It must not know what is
right, only what must never happen: an exception, output without end, a connection that never ends.

    PYTHONPATH=tests/captures:tests/protocol/websocket python tests/protocol/amqp/fuzz_amqp.py SEED COUNT
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator

import amqp_frames as amqp
from amqp_device import Device, enroll
from captured import Capture, load_captures, sign_anew

from idscope.testing.application import Application

_INTERESTING = (b"\x00", b"\xff", b"\x40", b"\x80", b"\xd0\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff")
_OUTPUT_LIMIT = 256 * 1024


async def fuzz(seed: int, count: int) -> None:
    """So many mutated connections; raises where one of them breaks a promise."""
    captures = load_captures("Amqp")
    random_source = random.Random(seed)
    async with Application() as app:
        for registration_id in sorted({one.row.scenario for one in captures}):
            await enroll(app, registration_id)
        for number in range(count):
            stream = mutate(random_source, choose(random_source, captures, app.expiry))
            try:
                await run(app, stream, random_source)
            except Exception as error:
                raise AssertionError(f"seed {seed}, number {number}: {stream.hex()}") from error


def choose(source: random.Random, captures: list[Capture], expiry: int) -> bytes:
    """A captured stream that gets through to the engine, or is what it was."""
    capture = source.choice(captures)
    return sign_anew(capture.stream, expiry) if source.random() < 0.8 else capture.stream


def mutate(source: random.Random, stream: bytes) -> bytes:
    """A few changes, mostly behind the part that lets the device in."""
    data = bytearray(stream)
    login = stream.find(amqp.AMQP)
    for _ in range(source.choice((0, 1, 1, 2, 4, 8))):
        if not data:
            break
        at = source.randrange(min(len(data) - 1, max(0, login)) if source.random() < 0.8 else 0, max(1, len(data)))
        _change(source, data, at)
    return bytes(data)


def _change(source: random.Random, data: bytearray, at: int) -> None:
    kind = source.randrange(5)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << source.randrange(8)
    elif kind == 1:
        del data[at : at + source.choice((1, 2, 8, 100))]
    elif kind == 2:
        data[at:at] = source.choice(_INTERESTING)
    elif kind == 3:
        piece = source.choice(_INTERESTING)
        data[at : at + len(piece)] = piece
    else:
        data[at:at] = data[at : at + source.choice((8, 40, 200))] * source.choice((1, 2, 50))


def pieces(source: random.Random, stream: bytes) -> Iterator[bytes]:
    while stream:
        size = source.choice((1, 3, 8, 64, 500, 20_000))
        yield stream[:size]
        stream = stream[size:]


async def run(app: Application, stream: bytes, source: random.Random) -> None:
    """One connection, to its end."""
    with Device(app, chain=(b"no certificate",) if source.random() < 0.5 else ()) as device:
        for piece in pieces(source, stream):
            await device.until(lambda: not device.wire.reading_paused or device.wire.closed)
            if device.wire.closed:
                break
            device.protocol.data_received(piece)
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(device.wire.written) < _OUTPUT_LIMIT, "output without end"
        for _ in range(1000):  # turns of the loop: a request under way is finished first
            if not device.wire.closed:
                device.protocol.shutdown()
                device.protocol.on_deadline()
                await asyncio.sleep(0)
        assert device.wire.closed, "a connection that does not end"


if __name__ == "__main__":
    asyncio.run(fuzz(int(sys.argv[1]), int(sys.argv[2])))
    print(f"{sys.argv[2]} connections from seed {sys.argv[1]}, each came to its end")  # noqa: T201
