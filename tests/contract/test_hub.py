"""The hub connectors that idscope brings, each held to the contract of all connectors."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from idscope.clock import SystemClock
from idscope.embedded_hub import Identities, Twins
from idscope.errors import HubDeviceNotFound, HubUnavailable
from idscope.hubs.embedded import EmbeddedHubConnector
from idscope.model.device_identity import TwinContent
from idscope.model.etag import ANYTHING
from idscope.security.sealing import Sealer
from idscope.storage import Store
from idscope.storage.sql import open_store
from idscope.testing import MemoryStore
from idscope.testing.fake_hub import FakeHubConnector, FaultyHubConnector
from idscope.testing.hub_contract import ContractHub, HubContract, device


def embedded(store: Store) -> ContractHub:
    clock = SystemClock()
    twins = Twins(store, clock)

    async def read_twin(device_id: str) -> TwinContent | None:
        try:
            twin = await twins.get("hub", device_id)
        except HubDeviceNotFound:
            return None
        desired = msgspec.json.decode(twin.properties.desired, type=dict[str, Raw])
        free = {name: value for name, value in desired.items() if name not in {"$metadata", "$version"}}
        tags = Raw(b"{}") if twin.tags is msgspec.UNSET else twin.tags
        return TwinContent(tags, Raw(msgspec.json.encode(free)))

    identities = Identities(store, Sealer(b"k" * 32), clock)
    return ContractHub(EmbeddedHubConnector("hub", "127.0.0.1", identities), read_twin)


class TestEmbeddedHubOnMemory(HubContract):
    @asynccontextmanager
    async def new_hub(self) -> AsyncIterator[ContractHub]:
        yield embedded(MemoryStore())


class TestEmbeddedHubOnSqlite(HubContract):
    @asynccontextmanager
    async def new_hub(self) -> AsyncIterator[ContractHub]:
        with tempfile.TemporaryDirectory() as folder:
            store = open_store(Path(folder) / "idscope.db")
            try:
                yield embedded(store)
            finally:
                await store.close()


def fake(wrapped: bool) -> ContractHub:
    inner = FakeHubConnector()

    async def read_twin(device_id: str) -> TwinContent | None:
        return inner.twins.get(device_id)

    return ContractHub(FaultyHubConnector(inner) if wrapped else inner, read_twin)


class TestFakeHub(HubContract):
    @asynccontextmanager
    async def new_hub(self) -> AsyncIterator[ContractHub]:
        yield fake(wrapped=False)


class TestFaultyHubWithoutFaults(HubContract):
    @asynccontextmanager
    async def new_hub(self) -> AsyncIterator[ContractHub]:
        yield fake(wrapped=True)


def test_a_store_that_fails_is_a_hub_that_is_unavailable() -> None:
    store = MemoryStore()
    hub = embedded(store).connector
    store.unavailable = "disk full"

    async def calls() -> None:
        for call in (hub.read("d"), hub.check(), hub.put(device(), ANYTHING), hub.delete("d", ANYTHING)):
            with pytest.raises(HubUnavailable) as failure:
                await call
            assert failure.value.reason == "disk full"

    asyncio.run(calls())
