"""A device of an embedded hub, whose identity stands in the store of the registration itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from idscope.storage import HubDeviceRow, HubTwinRow, Put, RegistrationRow, Unit
from idscope.testing import MemoryStore
from idscope.testing.application import Application, Response

TWIN = {"tags": {"site": "north"}}
OTHER_KEYS = {
    "primaryKey": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
    "secondaryKey": "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=",
}


class WatchedStore(MemoryStore):
    """Keeps the kinds of rows that each unit put."""

    def __init__(self) -> None:
        super().__init__()
        self.put: list[set[type]] = []

    async def commit(self, unit: Unit) -> None:
        await super().commit(unit)
        self.put.append({type(write.row) for write in unit.writes if isinstance(write, Put)})


Scenario = Callable[[Application, WatchedStore, str], Awaitable[None]]


def with_an_enrollment(scenario: Scenario) -> Callable[[], None]:
    """The scenario, run to its end, gets the key of the enrollment `device`."""

    async def run() -> None:
        store = WatchedStore()
        async with Application(store=store) as app:
            enrolled = await app.enroll("device", initialTwin=TWIN)
            await scenario(app, store, enrolled["attestation"]["symmetricKey"]["primaryKey"])

    return lambda: asyncio.run(run())


async def keys_at_the_hub(app: Application) -> dict[str, str]:
    keys: dict[str, str] = (await app.hub("GET", "/devices/device")).json()["authentication"]["symmetricKey"]
    return keys


async def tags_at_the_hub(app: Application) -> object:
    return (await app.hub("GET", "/twins/device")).json()["tags"]


def substatus(answer: Response) -> str:
    assert answer.json()["status"] == "assigned"
    return str(answer.json()["registrationState"]["substatus"])


@with_an_enrollment
async def test_a_new_device_and_its_registration_are_one_unit(app: Application, store: WatchedStore, key: str) -> None:
    store.put.clear()
    assert substatus(await app.register("device", key)) == "initialAssignment"
    assert [kinds for kinds in store.put if RegistrationRow in kinds] == [{RegistrationRow, HubDeviceRow, HubTwinRow}]
    assert (await keys_at_the_hub(app))["primaryKey"] == key
    assert await tags_at_the_hub(app) == TWIN["tags"]


@with_an_enrollment
async def test_a_repeated_registration_writes_nothing_at_the_hub(
    app: Application, store: WatchedStore, key: str
) -> None:
    await app.register("device", key)
    store.put.clear()
    assert substatus(await app.register("device", key, version="2021-06-01")) == "reprovisionedToInitialAssignment"
    assert [kinds for kinds in store.put if RegistrationRow in kinds] == [{RegistrationRow}]
    assert not any(HubDeviceRow in kinds for kinds in store.put)


@with_an_enrollment
async def test_a_device_made_by_hand_keeps_its_twin_and_gets_the_credential(
    app: Application, store: WatchedStore, key: str
) -> None:
    by_hand = {"deviceId": "device", "authentication": {"type": "sas", "symmetricKey": OTHER_KEYS}}
    assert (await app.hub("PUT", "/devices/device", by_hand)).status == 200
    assert (await app.hub("PATCH", "/twins/device", {"tags": {"by": "hand"}})).status == 200
    assert substatus(await app.register("device", key)) == "initialAssignment"
    assert (await keys_at_the_hub(app))["primaryKey"] == key
    assert await tags_at_the_hub(app) == {"by": "hand"}


@with_an_enrollment
async def test_a_device_whose_registration_was_deleted_is_found_at_its_hub(
    app: Application, store: WatchedStore, key: str
) -> None:
    await app.register("device", key)
    await app.hub("PATCH", "/twins/device", {"tags": {"site": "south"}})
    assert (await app.service("DELETE", "/registrations/device")).status == 204
    assert substatus(await app.register("device", key)) == "initialAssignment"
    assert await tags_at_the_hub(app) == {"site": "south"}


@with_an_enrollment
async def test_a_twin_that_the_hub_refuses_fails_the_registration_and_creates_nothing(
    app: Application, store: WatchedStore, key: str
) -> None:
    enrollment = (await app.service("GET", "/enrollments/device")).json()
    too_large = {"initialTwin": {"tags": {"text": "x" * 40_000}}}
    answer = await app.service("PUT", "/enrollments/device", enrollment | too_large, if_match=enrollment["etag"])
    assert answer.status == 200, answer
    store.put.clear()
    answer = await app.register("device", key)
    assert answer.json()["registrationState"]["errorCode"] == 400209
    assert not any(HubDeviceRow in kinds for kinds in store.put)


@with_an_enrollment
async def test_two_requests_at_once_make_one_device(app: Application, store: WatchedStore, key: str) -> None:
    first, second = await asyncio.gather(app.register("device", key), app.register("device", key))
    assert {first.json()["status"], second.json()["status"]} <= {"assigned", "assigning"}
    assert sum(HubTwinRow in kinds for kinds in store.put) == 1
