"""Owns what every hub connector must do, as tests that any implementation can run. It must not know any implementation.

A test class inherits from `HubContract` and says how a connector to an empty hub is made:

    class TestMyHub(HubContract):
        @asynccontextmanager
        async def new_hub(self) -> AsyncIterator[ContractHub]:
            yield ContractHub(MyConnector(...), read_twin)

`read_twin` answers the tags and desired properties that stand on the hub (without the hub's own members), None where
there is no twin.
"""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import msgspec
from msgspec import Raw

from idscope.errors import HubDeviceExists, HubError, HubPreconditionFailed
from idscope.hubs.connector import HubConnector
from idscope.model.device_identity import HubDevice, SymmetricKeys, Thumbprints, TwinContent
from idscope.model.etag import ABSENT, ANYTHING, PRESENT, Expectation, Matches
from idscope.secret import Secret
from idscope.storage import ExpectationFailed, Unit

ReadTwin = Callable[[str], Awaitable[TwinContent | None]]

# Base64 of 32 bytes of one value each, made with `head -c 32 | base64`.
KEYS = SymmetricKeys(
    Secret("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="), Secret("AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=")
)
OTHER_KEYS = SymmetricKeys(
    Secret("AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="), Secret("BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=")
)
SHA256_THUMBPRINT = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"
SHA1_THUMBPRINT = "A94A8FE5CCB19BA61C4C0873D391E987982FBBD3"
TWIN = TwinContent(Raw(b'{"site":"north"}'), Raw(b'{"rate":1.10,"big":12345678901234567890,"deep":{"on":true}}'))


class ContractHub(msgspec.Struct, frozen=True):
    """A connector to an empty hub, and another way to see what stands on the hub; `commit` writes to the store in which
    it keeps its devices, where that is the service's own."""

    connector: HubConnector
    read_twin: ReadTwin
    commit: Callable[[Unit], Awaitable[None]] | None = None


HubTest = Callable[["HubContract", ContractHub], Awaitable[None]]


def on_an_empty_hub(test: HubTest) -> Callable[[HubContract], None]:
    """Runs a test on a hub and in an event loop of its own."""

    async def within(contract: HubContract) -> None:
        async with contract.new_hub() as hub, asyncio.timeout(60):
            await test(contract, hub)

    @functools.wraps(test)
    def run(self: HubContract) -> None:
        asyncio.run(within(self))

    del run.__dict__["__wrapped__"]  # pytest would take `hub` for the name of a fixture
    return run


async def refusal(call: Awaitable[object]) -> type[HubError] | None:
    """The class of the hub error that the call ends with, None if it succeeds."""
    try:
        await call
    except HubError as error:
        return type(error)
    return None


def device(device_id: str = "sensor-1", credential: SymmetricKeys | Thumbprints = KEYS) -> HubDevice:
    return HubDevice(device_id, credential)


class HubContract(ABC):
    """Inherit, and make the connector."""

    @abstractmethod
    def new_hub(self) -> AbstractAsyncContextManager[ContractHub]: ...

    @on_an_empty_hub
    async def test_a_device_that_is_not_there_reads_as_none(self, hub: ContractHub) -> None:
        assert await hub.connector.read("sensor-1") is None

    @on_an_empty_hub
    async def test_a_put_device_is_read_back_with_its_etag(self, hub: ContractHub) -> None:
        put = await hub.connector.put(device(), ABSENT)
        assert put.etag
        assert await hub.connector.read("sensor-1") == put
        assert (put.credential, put.iot_edge) == (KEYS, False)

    @on_an_empty_hub
    async def test_symmetric_keys_are_kept(self, hub: ContractHub) -> None:
        await hub.connector.put(device(credential=KEYS), ANYTHING)
        await hub.connector.put(device(credential=OTHER_KEYS), ANYTHING)
        found = await hub.connector.read("sensor-1")
        assert found is not None
        assert found.credential == OTHER_KEYS

    @on_an_empty_hub
    async def test_thumbprints_of_both_hashes_are_kept(self, hub: ContractHub) -> None:
        wanted = Thumbprints(SHA256_THUMBPRINT, SHA1_THUMBPRINT)
        await hub.connector.put(device(credential=wanted), ANYTHING)
        found = await hub.connector.read("sensor-1")
        assert found is not None
        assert found.credential == wanted

    @on_an_empty_hub
    async def test_one_thumbprint_is_enough(self, hub: ContractHub) -> None:
        await hub.connector.put(device(credential=Thumbprints(SHA256_THUMBPRINT)), ANYTHING)
        found = await hub.connector.read("sensor-1")
        assert found is not None
        assert found.credential == Thumbprints(SHA256_THUMBPRINT, None)

    @on_an_empty_hub
    async def test_a_credential_changes_its_kind_both_ways(self, hub: ContractHub) -> None:
        for wanted in (KEYS, Thumbprints(SHA256_THUMBPRINT), OTHER_KEYS):
            put = await hub.connector.put(device(credential=wanted), ANYTHING)
            assert put.credential == wanted
            assert await hub.connector.read("sensor-1") == put

    @on_an_empty_hub
    async def test_the_edge_capability_is_kept_and_taken_away(self, hub: ContractHub) -> None:
        for edge in (True, False):
            await hub.connector.put(msgspec.structs.replace(device(), iot_edge=edge), ANYTHING)
            found = await hub.connector.read("sensor-1")
            assert found is not None
            assert found.iot_edge is edge

    @on_an_empty_hub
    async def test_device_ids_differ_by_case(self, hub: ContractHub) -> None:
        await hub.connector.put(device("Sensor"), ABSENT)
        assert await hub.connector.read("sensor") is None
        await hub.connector.put(device("sensor", OTHER_KEYS), ABSENT)
        found = await hub.connector.read("Sensor")
        assert found is not None
        assert found.credential == KEYS

    @on_an_empty_hub
    async def test_every_put_renews_the_etag(self, hub: ContractHub) -> None:
        etags = [(await hub.connector.put(device(), ANYTHING)).etag for _ in range(5)]
        assert len(set(etags)) == len(etags)

    @on_an_empty_hub
    async def test_absent_refuses_a_device_that_is_there(self, hub: ContractHub) -> None:
        before = await hub.connector.put(device(), ABSENT)
        assert await refusal(hub.connector.put(device(credential=OTHER_KEYS), ABSENT)) is HubDeviceExists
        assert await hub.connector.read("sensor-1") == before

    @on_an_empty_hub
    async def test_present_and_matches_refuse_a_device_that_is_not_there(self, hub: ContractHub) -> None:
        for expect in (PRESENT, Matches("bm9uZQ==")):
            assert await refusal(hub.connector.put(device(), expect)) is HubPreconditionFailed
        assert await hub.connector.read("sensor-1") is None

    @on_an_empty_hub
    async def test_matches_holds_to_the_etag(self, hub: ContractHub) -> None:
        first = await hub.connector.put(device(), ABSENT)
        assert first.etag is not None
        second = await hub.connector.put(device(credential=OTHER_KEYS), Matches(first.etag))
        assert await refusal(hub.connector.put(device(), Matches(first.etag))) is HubPreconditionFailed
        assert await hub.connector.read("sensor-1") == second

    @on_an_empty_hub
    async def test_a_created_device_has_its_initial_twin(self, hub: ContractHub) -> None:
        await hub.connector.put(device(), ABSENT, TWIN)
        assert await hub.read_twin("sensor-1") == TWIN

    @on_an_empty_hub
    async def test_a_created_device_has_an_empty_twin_by_default(self, hub: ContractHub) -> None:
        await hub.connector.put(device(), ANYTHING)
        assert await hub.read_twin("sensor-1") == TwinContent()

    @on_an_empty_hub
    async def test_an_update_leaves_the_twin_alone(self, hub: ContractHub) -> None:
        await hub.connector.put(device(), ABSENT, TWIN)
        for expect in (ANYTHING, PRESENT):
            await hub.connector.put(device(), expect, TwinContent(Raw(b'{"site":"south"}')))
        assert await hub.read_twin("sensor-1") == TWIN

    @on_an_empty_hub
    async def test_a_device_created_again_has_its_new_initial_twin(self, hub: ContractHub) -> None:
        await hub.connector.put(device(), ABSENT, TwinContent(Raw(b'{"old":1}'), Raw(b'{"old":2}')))
        await hub.connector.delete("sensor-1", ANYTHING)
        await hub.connector.put(device(), ABSENT, TWIN)
        assert await hub.read_twin("sensor-1") == TWIN

    @on_an_empty_hub
    async def test_delete_removes_device_and_twin(self, hub: ContractHub) -> None:
        await hub.connector.put(device(), ABSENT, TWIN)
        await hub.connector.delete("sensor-1", PRESENT)
        assert await hub.connector.read("sensor-1") is None
        assert await hub.read_twin("sensor-1") is None

    @on_an_empty_hub
    async def test_delete_is_idempotent_under_anything(self, hub: ContractHub) -> None:
        await hub.connector.put(device(), ABSENT)
        for _ in range(2):
            await hub.connector.delete("sensor-1", ANYTHING)

    @on_an_empty_hub
    async def test_delete_holds_to_its_expectation(self, hub: ContractHub) -> None:
        first = await hub.connector.put(device(), ABSENT)
        assert first.etag is not None
        second = await hub.connector.put(device(), PRESENT)
        wrong: tuple[Expectation, ...] = (Matches(first.etag), ABSENT)
        for expect in wrong:
            assert await refusal(hub.connector.delete("sensor-1", expect)) is not None
        assert await hub.connector.read("sensor-1") == second
        assert second.etag is not None
        await hub.connector.delete("sensor-1", Matches(second.etag))
        assert await refusal(hub.connector.delete("sensor-1", PRESENT)) is HubPreconditionFailed

    @on_an_empty_hub
    async def test_a_put_done_twice_ends_the_same(self, hub: ContractHub) -> None:
        for _ in range(2):  # the first answer may have been lost
            await hub.connector.put(device(), ANYTHING, TWIN)
        found = await hub.connector.read("sensor-1")
        assert found is not None
        assert (found.credential, await hub.read_twin("sensor-1")) == (KEYS, TWIN)

    @on_an_empty_hub
    async def test_of_many_creators_one_wins(self, hub: ContractHub) -> None:
        calls = [refusal(hub.connector.put(device(), ABSENT, TWIN)) for _ in range(10)]
        ends = await asyncio.gather(*calls)
        assert sorted(ends, key=str) == sorted([None, *[HubDeviceExists] * 9], key=str)

    @on_an_empty_hub
    async def test_of_many_writers_on_one_etag_one_wins(self, hub: ContractHub) -> None:
        first = await hub.connector.put(device(), ABSENT)
        assert first.etag is not None
        calls = [refusal(hub.connector.put(device(), Matches(first.etag))) for _ in range(10)]
        assert list(await asyncio.gather(*calls)).count(None) == 1

    @on_an_empty_hub
    async def test_many_writers_that_expect_nothing_all_succeed(self, hub: ContractHub) -> None:
        calls = [refusal(hub.connector.put(device(), ANYTHING, TWIN)) for _ in range(10)]
        assert await asyncio.gather(*calls) == [None] * 10

    @on_an_empty_hub
    async def test_check_returns_on_a_hub_that_answers(self, hub: ContractHub) -> None:
        await hub.connector.check()

    @on_an_empty_hub
    async def test_no_secret_is_printed(self, hub: ContractHub) -> None:
        put = await hub.connector.put(device(), ABSENT)
        assert KEYS.primary.reveal() not in repr(put)

    @on_an_empty_hub
    async def test_the_host_name_is_one_that_devices_accept(self, hub: ContractHub) -> None:
        assert "." in hub.connector.host_name
        assert ":" not in hub.connector.host_name

    @on_an_empty_hub
    async def test_what_is_written_for_a_new_device_creates_it_as_put_does(self, hub: ContractHub) -> None:
        """Only a hub whose devices stand in the service's own store can say what is to be written."""
        creation = hub.connector.creation(device(), TWIN)
        assert (creation is None) == (hub.commit is None)
        if creation is None or hub.commit is None:
            return
        assert await hub.connector.read("sensor-1") is None
        await hub.commit(Unit(creation))
        found = await hub.connector.read("sensor-1")
        assert found is not None
        assert (found.credential, found.iot_edge, bool(found.etag)) == (KEYS, False, True)
        assert await hub.read_twin("sensor-1") == TWIN

    @on_an_empty_hub
    async def test_what_is_written_for_a_new_device_fails_where_it_is_there(self, hub: ContractHub) -> None:
        creation = hub.connector.creation(device(credential=OTHER_KEYS), TWIN)
        if creation is None or hub.commit is None:
            return
        before = await hub.connector.put(device(), ABSENT)
        try:
            await hub.commit(Unit(creation))
        except ExpectationFailed:
            assert await hub.connector.read("sensor-1") == before
            return
        raise AssertionError("a device was created twice")
