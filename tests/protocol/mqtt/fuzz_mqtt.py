"""Feeds mutated captures to the MQTT session: whatever comes, it raises nothing, ends, and keeps within its limits.

PYTHONPATH=tests/captures:tests/protocol/websocket python tests/protocol/mqtt/fuzz_mqtt.py SEED COUNT
"""

from __future__ import annotations

import random
import sys

from captured import load_captures

from idscope.protocols.mqtt import Closed, Connect, Publish, Session, SessionLimits, State, Subscribe

LIMITS = SessionLimits(connect_bytes=2048, packet_bytes=4096, unacknowledged=4, inflight=2, queued=2)
_TELLING = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x10, 0x32, 0x82, 0xA2, 0xC0, 0xE0)


def fuzz(seed: int, count: int) -> int:
    """Runs so many mutated streams; how many of them ended in a protocol error. Raises AssertionError."""
    draw = random.Random(seed)
    streams = [capture.stream for capture in load_captures("Mqtt")]
    return sum(_run(mutate(draw.choice(streams), streams, draw), draw) for _ in range(count))


def mutate(stream: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """A few changes: a byte set, flipped, cut out or put in, a stretch doubled, another stream's tail."""
    data = bytearray(stream)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data)) if data else 0
        end = min(len(data), at + draw.randint(1, 40))
        match draw.randrange(6):
            case 0 if data:
                data[at] = draw.choice(_TELLING)
            case 1 if data:
                data[at] ^= 1 << draw.randrange(8)
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = draw.randbytes(draw.randint(1, 8))
            case 4:
                data[at:at] = data[at:end]
            case _:
                other = draw.choice(others)
                data[at:] = other[draw.randrange(len(other)) :]
    return bytes(data)


def _run(stream: bytes, draw: random.Random) -> bool:
    session = Session(0.0, LIMITS)
    at, events, failed = 0, 0, False
    while at < len(stream):
        piece = stream[at : at + draw.choice((1, 3, 50, 4096))]
        at += len(piece)
        session.receive(piece, float(at))
        while (event := session.next_event(float(at))) is not None:
            events += 1
            assert events <= len(stream), "more events than bytes"
            match event:
                case Connect():
                    session.accept() if draw.random() < 0.95 else session.refuse(5, "by lot")
                case Subscribe():
                    session.grant(event, [draw.random() < 0.9 for _ in event.filters])
                case Publish():
                    session.acknowledge(event)
                    session.publish(event.topic, event.payload)
                case Closed():
                    failed = not event.orderly
        bound = LIMITS.connect_bytes if session.state is State.AWAITING_CONNECT else LIMITS.packet_bytes
        assert session.buffered <= bound + 4, "more is kept than the limit"
        assert session.state is not State.CLOSED or not session.buffered
        assert session.deadline() > 0.0
        session.take_output()
    return failed


if __name__ == "__main__":
    asked, runs = int(sys.argv[1]), int(sys.argv[2])
    print(f"{runs} streams from seed {asked}, {fuzz(asked, runs)} protocol errors, nothing else")  # noqa: T201
