"""A short, fixed run of the fuzzer; long ones with other seeds belong to `make fuzz`. And any bytes at all."""

from __future__ import annotations

import asyncio

from fuzz_websocket import fuzz
from hypothesis import given
from hypothesis import strategies as st
from websocket_wire import REQUEST, Connection, Echo


def test_mutated_captures_raise_nothing_and_keep_within_the_limits() -> None:
    ended = fuzz(seed=3, count=1500)
    assert min(ended.values()) > 150, "the mutations reach each end"


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_after_the_upgrade(stream: bytes, cut: int) -> None:
    async def run() -> None:
        connection = Connection(Echo)
        inside = await connection.open()
        connection.feed(stream[:cut])
        connection.feed(stream[cut:])
        await connection.frames()
        connection.lose()
        assert inside.told == ["made", "lost"]
        assert len(inside.received) < max(1, len(stream))

    asyncio.run(run())


@given(st.binary(max_size=200), st.integers(0, len(REQUEST)), st.integers(0, 200))
def test_any_bytes_in_the_upgrade(change: bytes, at: int, removed: int) -> None:
    async def run() -> None:
        connection = Connection(Echo)
        connection.feed(REQUEST[:at] + change + REQUEST[at + removed :])
        await asyncio.sleep(0)
        connection.lose()
        await asyncio.sleep(0)

    asyncio.run(run())
