"""Telemetry: durable before it is acknowledged, numbered without a gap by all workers together, bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hub_world import HUB, both_stores, run, until

from idscope.embedded_hub import Telemetry
from idscope.embedded_hub.message import MessageProperties
from idscope.errors import HubMessageTooLarge, ServiceUnavailable
from idscope.storage import HubTelemetryRow, Store
from idscope.storage.sql import open_store
from idscope.testing import MemoryStore
from idscope.testing.manual_clock import START, ManualClock

PLAIN = MessageProperties()


def open_of(kind: str, path: Path) -> Store:
    return MemoryStore() if kind == "memory" else open_store(path / "idscope.db")


@both_stores
def test_two_workers_number_a_hubs_messages_without_a_gap_and_a_reader_misses_none(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        store, clock = open_of(kind, tmp_path), ManualClock()
        workers = Telemetry(store, clock), Telemetry(store, clock)
        seen: list[int] = []

        async def read() -> None:
            after = -1
            while len(seen) < 300:
                page = await workers[0].read(HUB, after, 7)
                seen.extend(message.sequence for message in page.messages)
                after = page.last
                await asyncio.sleep(0)

        reading = asyncio.ensure_future(read())
        sending = (workers[number % 2].record(HUB, "d", PLAIN, b"%d" % number) for number in range(300))
        await asyncio.gather(*sending)
        await reading
        assert seen == list(range(300))
        assert await workers[1].last(HUB) == 299
        assert await workers[1].last("other") == -1
        await store.close()

    run(story())


@both_stores
def test_what_was_sent_is_read(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        store, clock = open_of(kind, tmp_path), ManualClock()
        telemetry = Telemetry(store, clock)
        properties = MessageProperties({"messageId": "m 1", "contentType": "application/json"}, {"p/1": "v ü", "e": ""})
        await telemetry.record(HUB, "one", properties, b"\x00\xff")
        clock.advance(1)
        await telemetry.record(HUB, "two", PLAIN, b"")
        await telemetry.record("other", "one", PLAIN, b"other")
        first, second = (await telemetry.read(HUB, -1, 10)).messages
        assert (first.sequence, first.device_id, first.enqueued, first.body) == (0, "one", START, b"\x00\xff")
        assert first.properties == properties
        assert (second.sequence, second.enqueued - START) == (1, 1_000_000)
        of_two = await telemetry.read(HUB, -1, 10, "two")
        assert [message.device_id for message in of_two.messages] == ["two"]
        of_nobody = await telemetry.read(HUB, -1, 10, "nobody")
        assert (of_nobody.messages, of_nobody.last) == ([], 1)
        await store.close()

    run(story())


def test_a_hub_keeps_its_last_messages(tmp_path: Path) -> None:
    async def story() -> None:
        store = MemoryStore()
        telemetry = Telemetry(store, ManualClock(), kept=50)
        for number in range(120):
            await telemetry.record(HUB, "d", PLAIN, b"%d" % number)
        await telemetry.record("other", "d", PLAIN, b"x")
        rows = await store.page(HubTelemetryRow, (HUB,), None, 1000)
        assert 50 <= len(rows) <= 55
        assert rows[-1].sequence == 119
        page = await telemetry.read(HUB, 3, 5)  # long gone: the oldest that there are
        assert page.messages[0].sequence == rows[0].sequence

    run(story())


def test_nothing_is_acknowledged_that_is_not_stored() -> None:
    async def story() -> None:
        store = MemoryStore()
        telemetry = Telemetry(store, ManualClock(), capacity=3)
        store.unavailable = "disk full"
        with pytest.raises(ServiceUnavailable):
            await telemetry.record(HUB, "d", PLAIN, b"x")
        assert telemetry.offer(HUB, "d", PLAIN, b"lost")
        await telemetry.close()
        store.unavailable = ""
        assert [telemetry.offer(HUB, "d", PLAIN, b"%d" % number) for number in range(5)] == [True] * 3 + [False] * 2
        with pytest.raises(ServiceUnavailable):
            await telemetry.record(HUB, "d", PLAIN, b"x")
        assert telemetry.dropped == 2
        await telemetry.close()
        assert [message.body for message in (await telemetry.read(HUB, -1, 9)).messages] == [b"0", b"1", b"2"]
        with pytest.raises(HubMessageTooLarge):
            await telemetry.record(HUB, "d", PLAIN, bytes(256 * 1024 + 1))
        with pytest.raises(HubMessageTooLarge):
            telemetry.offer(HUB, "d", MessageProperties({}, {"n": "v"}), bytes(256 * 1024))

    run(story())


def test_a_reader_who_waits_gets_what_comes() -> None:
    async def story() -> None:
        clock = ManualClock()
        store = MemoryStore()
        telemetry, other = Telemetry(store, clock), Telemetry(store, clock)
        waiting = asyncio.ensure_future(telemetry.wait_and_read(HUB, -1, 10, "d", 5))
        await until(lambda: clock.waiting > 0)
        await other.record(HUB, "else", PLAIN, b"not this")
        await other.record(HUB, "d", PLAIN, b"this")
        clock.advance(0.2)
        page = await waiting
        assert [message.body for message in page.messages] == [b"this"]
        late = asyncio.ensure_future(telemetry.wait_and_read(HUB, page.last, 10, None, 0.1))
        await until(lambda: clock.waiting > 0)
        clock.advance(0.1)
        assert (await late).messages == []

    run(story())
