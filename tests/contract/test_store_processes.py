"""Several processes on one database: no update is lost, no lock is met, of those that swap one wins."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from idscope.model.etag import ABSENT, Matches
from idscope.storage import ExpectationFailed, HubDeviceRow, Key, Put, Unit
from idscope.storage.sql import open_store

PROCESSES = 2
TASKS = 8
TURNS = 40
COUNTER = Key(HubDeviceRow, ("h", "counter"))


def counter(value: int) -> HubDeviceRow:
    return HubDeviceRow(hub_id="h", device_id="counter", etag=f"{value}", document=b"", sealed="")


def a_row(hub_id: str, device_id: str, document: bytes = b"") -> HubDeviceRow:
    return HubDeviceRow(hub_id=hub_id, device_id=device_id, etag="", document=document, sealed="")


async def count(database: Path, process: str) -> None:
    """Add to the shared counter, each addition with a row that only its winner writes; print the failed swaps."""
    store = open_store(database)
    print("ready", flush=True)  # noqa: T201  # the parent reads it
    sys.stdin.readline()
    lost = 0

    async def add(task: int) -> None:
        nonlocal lost
        for turn in range(TURNS):
            while True:
                (row,) = await store.fetch([COUNTER])
                value = int(row.etag) if row else 0
                mine = HubDeviceRow(
                    hub_id="won", device_id=f"{value}", etag="", document=f"{process}".encode(), sealed=""
                )
                own = HubDeviceRow(hub_id=process, device_id=f"{task}-{turn}", etag="", document=b"", sealed="")
                swap = Put(counter(value + 1), Matches(f"{value}") if row else ABSENT)
                try:
                    await store.commit(Unit.of(swap, Put(mine, ABSENT), Put(own, ABSENT)))
                    break
                except ExpectationFailed:
                    lost += 1

    await asyncio.gather(*(add(task) for task in range(TASKS)))
    await store.close()
    print(lost)  # noqa: T201  # the parent reads it


def test_processes_share_one_database(tmp_path: Path) -> None:
    database = tmp_path / "store.db"  # made by whichever process comes first
    children = [
        subprocess.Popen(
            [sys.executable, __file__, str(database), f"p{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.flush()
    lost = [int(child.communicate(timeout=60)[0]) for child in children]
    assert [child.returncode for child in children] == [0] * PROCESSES
    assert min(lost) > 0
    asyncio.run(assert_counted(database))


async def assert_counted(database: Path) -> None:
    total = PROCESSES * TASKS * TURNS
    store = open_store(database)
    assert await store.fetch([COUNTER]) == [counter(total)]
    winners = await store.page(HubDeviceRow, ("won",), None, total + 1)
    assert sorted(int(row.device_id) for row in winners) == list(range(total))
    assert len({row.document for row in winners if int(row.device_id) < total // 2}) == PROCESSES  # they did meet
    for number in range(PROCESSES):
        process = f"p{number}"
        assert sum(row.document == process.encode() for row in winners) == TASKS * TURNS
        assert len(await store.page(HubDeviceRow, (process,), None, total)) == TASKS * TURNS
    await store.close()


if __name__ == "__main__":
    asyncio.run(count(Path(sys.argv[1]), sys.argv[2]))
