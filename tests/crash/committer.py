"""A process with a store, driven by lines: each line read is a number to commit, each line written an answer.

    committer.py DATABASE            numbers from standard input
    committer.py DATABASE PREFIX     a stream of its own, 16 at a time, until it is killed

The answer is `number ok`, or `number` and the reason of the refusal. A unit writes two rows of the number.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from idscope.storage import HubDeviceRow, HubTwinRow, Put, StoreUnavailable, Unit
from idscope.storage.sql import SqliteStore, open_store


async def commit(store: SqliteStore, name: str) -> None:
    device = HubDeviceRow(hub_id="h", device_id=name, etag=name, document=os.urandom(300), sealed="")
    twin = HubTwinRow(hub_id="h", device_id=name, etag=name, document=b"{}")
    try:
        await store.commit(Unit.of(Put(device), Put(twin)))
    except StoreUnavailable as refusal:
        answer(f"{name} {refusal.reason}")
    else:
        answer(f"{name} ok")


def answer(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def from_standard_input(store: SqliteStore) -> None:
    async with asyncio.TaskGroup() as tasks:
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if name == "check":
                tasks.create_task(check(store))
            else:
                tasks.create_task(commit(store, name))


async def check(store: SqliteStore) -> None:
    try:
        await store.check()
    except StoreUnavailable as refusal:
        answer(f"check {refusal.reason}")
    else:
        answer("check ok")


async def stream(store: SqliteStore, prefix: str) -> None:
    numbers = itertools.count()

    async def one_after_the_other() -> None:
        while True:
            await commit(store, f"{prefix}{next(numbers)}")

    await asyncio.gather(*(one_after_the_other() for _ in range(16)))


async def main(database: str, prefix: str | None = None) -> None:
    store = open_store(Path(database))
    try:
        answer("ready")
        await (from_standard_input(store) if prefix is None else stream(store, prefix))
    finally:
        await store.close()


asyncio.run(main(*sys.argv[1:]))
