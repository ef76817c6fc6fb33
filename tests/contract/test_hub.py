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
from idscope.embedded_hub.documents import AuthenticationMechanism, DeviceChange
from idscope.errors import HubDeviceNotFound, HubThrottled, HubUnavailable
from idscope.hubs.embedded import EmbeddedHubConnector
from idscope.model.device_identity import SymmetricKeys, TwinContent
from idscope.model.etag import ABSENT, ANYTHING, PRESENT
from idscope.secret import Secret
from idscope.security.sealing import Sealer
from idscope.storage import Store
from idscope.storage.sql import open_store
from idscope.testing import MemoryStore
from idscope.testing.fake_hub import FakeHubConnector, FaultyHubConnector, HubCall
from idscope.testing.hub_contract import KEYS, ContractHub, HubContract, device, refusal


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
    return ContractHub(EmbeddedHubConnector("hub", "127.0.0.1", identities), read_twin, store.commit)


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


class NeverClock:
    """Waits are noted, and end at once."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now(self) -> int:
        return 0

    def monotonic(self) -> float:
        return 100.0

    async def wait(self, until: float) -> None:
        self.waits.append(until)


def test_faults_are_used_up_in_order_by_calls_of_their_verb() -> None:
    async def calls() -> None:
        inner = FakeHubConnector()
        hub = FaultyHubConnector(inner)
        hub.refuse_next(HubThrottled, "put", times=2)
        hub.refuse_next(HubUnavailable)
        assert await refusal(hub.read("sensor-1")) is HubUnavailable
        assert [await refusal(hub.put(device(), ANYTHING)) for _ in range(3)] == [HubThrottled, HubThrottled, None]
        assert hub.faults_left == 0
        assert inner.calls == [HubCall("put", "sensor-1")]

    asyncio.run(calls())


def test_a_lost_answer_is_that_of_a_call_that_took_effect() -> None:
    async def calls() -> None:
        hub = FaultyHubConnector(FakeHubConnector())
        hub.lose_next_answer(HubUnavailable, "put")
        assert await refusal(hub.put(device(), ABSENT)) is HubUnavailable
        assert await hub.read("sensor-1") is not None

    asyncio.run(calls())


def test_a_held_call_goes_on_when_it_is_released() -> None:
    async def calls() -> None:
        inner = FakeHubConnector()
        hub = FaultyHubConnector(inner)
        held = hub.hold_next("put")
        call = asyncio.create_task(hub.put(device(), ABSENT))
        await held.reached.wait()
        assert inner.devices == {}
        held.release()
        await call
        assert "sensor-1" in inner.devices

    asyncio.run(asyncio.wait_for(calls(), 20))


def test_a_slow_call_waits_on_the_clock() -> None:
    clock = NeverClock()

    async def calls() -> None:
        hub = FaultyHubConnector(FakeHubConnector())
        hub.slow_next(clock, 2.5)
        await hub.check()

    asyncio.run(calls())
    assert clock.waits == [102.5]


def test_what_people_change_on_the_embedded_hub_is_seen_and_kept() -> None:
    """A device of a certificate authority differs from every wanted credential; a disabled one stays disabled."""
    store = MemoryStore()
    hub, identities = embedded(store).connector, Identities(store, Sealer(b"k" * 32), SystemClock())
    by_hand = DeviceChange(
        status="disabled", status_reason="lost", authentication=AuthenticationMechanism(type="certificateAuthority")
    )

    async def calls() -> None:
        await identities.create_or_update("hub", "sensor-1", by_hand, ABSENT)
        found = await hub.read("sensor-1")
        assert found is not None
        assert found.credential == SymmetricKeys(Secret(""), Secret(""))
        assert (await hub.put(device(), PRESENT)).credential == KEYS
        stored = await identities.get("hub", "sensor-1")
        assert (stored.status, stored.status_reason) == ("disabled", "lost")

    asyncio.run(calls())
