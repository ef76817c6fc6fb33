"""Wake-ups between workers: heard, lost without harm, and cleared away when a worker is gone."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from idscope.embedded_hub.wake_ups import WakeUp, WakeUps

WAKE_UP = WakeUp("message", "hub", "dévice")


async def heard(messages: list[WakeUp], count: int) -> None:
    async with asyncio.timeout(10):
        while len(messages) < count:
            await asyncio.sleep(0.001)


def test_one_worker_wakes_another_and_itself(tmp_path: Path) -> None:
    async def talk() -> None:
        first, second = WakeUps(tmp_path), WakeUps(tmp_path)
        at_first: list[WakeUp] = []
        at_second: list[WakeUp] = []
        first.start(at_first.append)
        second.start(at_second.append)
        first.send(second.name, WAKE_UP)
        first.send(first.name, WAKE_UP)
        await heard(at_second, 1)
        await heard(at_first, 1)
        assert at_first == at_second == [WAKE_UP]
        assert first.others() == {second.name}
        second.close()
        assert first.others() == set()
        first.send(second.name, WAKE_UP)
        first.close()
        first.send(first.name, WAKE_UP)
        assert list(tmp_path.iterdir()) == []

    asyncio.run(talk())


def test_a_directory_with_a_long_name_will_do(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100) / ("b" * 100)
    deep.mkdir(parents=True)
    test_one_worker_wakes_another_and_itself(deep)


def test_what_a_dead_worker_left_is_removed(tmp_path: Path) -> None:
    async def look() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(tmp_path / "hub-1-dead.sock"))
        (tmp_path / "server.json").write_text("{}")
        worker = WakeUps(tmp_path)
        worker.start(lambda _: None)
        assert worker.others() == set()
        worker.close()
        assert [entry.name for entry in tmp_path.iterdir()] == ["server.json"]

    asyncio.run(look())


def test_a_full_socket_costs_wake_ups_and_nothing_else(tmp_path: Path) -> None:
    async def flood() -> None:
        first, second = WakeUps(tmp_path), WakeUps(tmp_path)
        at_second: list[WakeUp] = []
        first.start(lambda _: None)
        second.start(at_second.append)
        for _ in range(5_000):
            first.send(second.name, WAKE_UP)
        await heard(at_second, 1)
        before = len(at_second)
        while True:
            await asyncio.sleep(0)
            if len(at_second) == before:
                break
            before = len(at_second)
        first.send(second.name, WakeUp("last", "hub", "d"))
        await heard(at_second, before + 1)
        assert at_second[-1].kind == "last"
        first.close()
        second.close()

    asyncio.run(flood())


def test_what_is_no_wake_up_is_dropped(tmp_path: Path) -> None:
    async def garbage() -> None:
        worker = WakeUps(tmp_path)
        messages: list[WakeUp] = []
        worker.start(messages.append)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            for data in (b"", b"\xc1", b"\x93\xa1a\xa1b", b"x" * 9000, b"\x93\x01\x02\x03"):
                stranger.sendto(data, str(tmp_path / f"hub-{worker.name}.sock"))
        worker.send(worker.name, WAKE_UP)
        await heard(messages, 1)
        assert messages == [WAKE_UP]
        worker.close()

    asyncio.run(garbage())
