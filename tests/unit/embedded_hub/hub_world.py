"""A hub with any number of workers over one store and one directory, and devices on wires that only write down."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from idscope.embedded_hub import Identities, Twins
from idscope.embedded_hub.cloud_messages import CloudMessage
from idscope.embedded_hub.delivery import Delivery
from idscope.embedded_hub.desired_changes import DesiredChange
from idscope.embedded_hub.device_access import AdmittedDevice
from idscope.embedded_hub.documents import DeviceChange
from idscope.embedded_hub.methods import MethodCall
from idscope.embedded_hub.session import Session
from idscope.model.device_identity import TwinContent
from idscope.model.etag import ABSENT
from idscope.security.sealing import Sealer
from idscope.storage import Store
from idscope.storage.sql import open_store
from idscope.testing import MemoryStore
from idscope.testing.manual_clock import ManualClock

T = TypeVar("T")
HUB = "hub"
KEY = base64.b64encode(b"k" * 32).decode()


def run(call: Awaitable[T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(30):
            return await call

    return asyncio.run(within())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


class FakeWire:
    """A device that takes everything while `open`; nothing while it is not."""

    def __init__(self) -> None:
        self.messages: list[CloudMessage] = []
        self.calls: list[MethodCall] = []
        self.changes: list[DesiredChange] = []
        self.closed: list[str] = []
        self.open = True

    def send_message(self, message: CloudMessage) -> bool:
        return self._take(self.messages, message)

    def send_call(self, call: MethodCall) -> bool:
        return self._take(self.calls, call)

    def send_desired(self, change: DesiredChange) -> bool:
        return self._take(self.changes, change)

    def close(self, reason: str) -> None:
        self.closed.append(reason)

    def _take(self, taken: list[T], one: T) -> bool:
        if self.open:
            taken.append(one)
        return self.open

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self.messages]


class Worker:
    def __init__(self, store: Store, clock: ManualClock, directory: Path) -> None:
        self.delivery = Delivery(store, clock, directory)
        self.identities = Identities(store, Sealer(b"k" * 32), clock, self.delivery.identity_changed)
        self.twins = Twins(store, clock, self.delivery.nudge)


class World:
    def __init__(self, store: Store, directory: Path) -> None:
        self.store = store
        self.clock = ManualClock()
        self.directory = directory
        self.workers: list[Worker] = []

    async def worker(self) -> Worker:
        worker = Worker(self.store, self.clock, self.directory)
        await worker.delivery.start()
        self.workers.append(worker)
        return worker

    async def device(self, device_id: str = "d", content: TwinContent | None = None) -> None:
        await self.workers[0].identities.create_or_update(HUB, device_id, DeviceChange(), ABSENT, content)

    async def connect(
        self,
        worker: Worker,
        *features: str,
        device_id: str = "d",
        clean: bool = True,
        expires: int | None = None,
    ) -> tuple[Session, FakeWire]:
        wire = FakeWire()
        generation = (await worker.identities.get(HUB, device_id)).generation_id
        admitted = AdmittedDevice(HUB, device_id, generation, expires)
        session = await worker.delivery.connect(admitted, wire, clean=clean)
        session.start()
        if features:
            await session.ask(frozenset(features), {f"{one}/#": 1 for one in features})
        return session, wire

    async def state(self, device_id: str = "d") -> str:
        return (await self.workers[0].identities.get(HUB, device_id)).connection_state


@asynccontextmanager
async def a_world(kind: str, path: Path, workers: int = 2) -> AsyncIterator[World]:
    control = path / "control"
    control.mkdir(mode=0o700)
    store: Store = MemoryStore() if kind == "memory" else open_store(path / "idscope.db")
    world = World(store, control)
    try:
        for _ in range(workers):
            await world.worker()
        await world.device()
        yield world
    finally:
        for worker in world.workers:
            await worker.delivery.close()
        await store.close()


both_stores = pytest.mark.parametrize("kind", ["memory", "sqlite"])
