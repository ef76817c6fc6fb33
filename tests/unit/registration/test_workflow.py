"""One workflow: what a registration leaves behind, a hub that is down or slow, two at once, and every crash healed."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from idscope.attestation import Authenticated, Claim
from idscope.errors import HubTwinTooLarge, HubUnauthorized, HubUnavailable, Unauthorized
from idscope.model.api_version import CURRENT
from idscope.model.device_identity import HubDevice, SymmetricKeys
from idscope.registration import RegisterRequest, WorkflowSettings
from idscope.secret import Secret
from idscope.storage import Key, OperationRow, RegistrationRow
from idscope.testing import FakeHubConnector, FaultyHubConnector, MemoryStore
from idscope.testing.application import ID_SCOPE, Application

DEVICE = (ID_SCOPE, "device")


class Fixture:
    """An application on a fake hub, with the enrollment `device`."""

    def __init__(self, app: Application, fake: FakeHubConnector, hub: FaultyHubConnector, keys: dict[str, str]) -> None:
        self.app, self.fake, self.hub = app, fake, hub
        self.key, self.secondary = keys["primaryKey"], keys["secondaryKey"]

    async def register(self, body=None, *, key=None, version="2021-06-01"):
        return await self.app.register("device", key or self.key, body, version=version)

    async def poll(self, operation_id: str, *, version="2021-06-01"):
        path = f"/{ID_SCOPE}/registrations/device/operations/{operation_id}?api-version={version}"
        return await self.app.request("GET", path, authorization=self.app.device_token("device", self.key))

    async def status(self):
        path = f"/{ID_SCOPE}/registrations/device?api-version=2021-06-01"
        return await self.app.request("POST", path, authorization=self.app.device_token("device", self.key))

    async def operation(self):
        return (await self.app.store.fetch((Key(OperationRow, DEVICE),)))[0]

    async def until(self, condition):
        """Let the loop turn until the condition holds."""
        for _ in range(10_000):
            if await condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come about")

    async def until_finished(self, operation_id):
        async def finished():
            return (await self.poll(operation_id)).status == 200

        await self.until(finished)
        return await self.poll(operation_id)

    async def until_waiting(self):
        async def waiting():
            return self.app.clock.waiting > 0

        await self.until(waiting)


@asynccontextmanager
async def fixture(enrollment=None, store=None, **settings):
    fake = FakeHubConnector()
    hub = FaultyHubConnector(fake)
    chosen = WorkflowSettings(**{"assign_wait": 0.02, "lease": 1000.0, **settings})
    async with Application(settings=chosen, connector=hub, store=store) as app:
        document = await app.enroll("device", **(enrollment or {}))
        yield Fixture(app, fake, hub, document["attestation"]["symmetricKey"])


def scenario(function):
    """An async test, run to its end."""

    def test():
        asyncio.run(function())

    test.__name__, test.__doc__ = function.__name__, function.__doc__
    return test


@scenario
async def test_the_first_registration_is_finished_in_its_first_answer():
    twin = {"tags": {"line": 7}, "properties": {"desired": {"speed": 3}}}
    async with fixture({"initialTwin": twin, "capabilities": {"iotEdge": True}, "deviceId": "The-Device"}) as f:
        answer = await f.register({"payload": {"a": 1}})
        state = answer.json()["registrationState"]
        assert answer.status == 202
        assert "retry-after" not in answer.headers
        assert answer.headers["location"] == f"https://127.0.0.1/{ID_SCOPE}/registrations/device/register"
        assert (state["status"], state["substatus"]) == ("assigned", "initialAssignment")
        assert (state["assignedHub"], state["deviceId"]) == ("127.0.0.1", "The-Device")
        assert "payload" not in state
        device = f.fake.devices["The-Device"]
        assert device.credential == SymmetricKeys(Secret(f.key), Secret(f.secondary))
        assert device.iot_edge
        assert bytes(f.fake.twins["The-Device"].tags) == b'{"line": 7}'
        assert await f.operation() is None, "the fast path writes no operation"


@scenario
async def test_registering_again_keeps_twin_capabilities_and_birth_and_renews_the_rest():
    async with fixture({"initialTwin": {"tags": {"a": 1}}}) as f:
        first = (await f.register()).json()["registrationState"]
        document = (await f.app.service("GET", "/enrollments/device")).json()
        document |= {"initialTwin": {"tags": {"a": 2}}, "capabilities": {"iotEdge": True}, "deviceId": "renamed"}
        await f.app.service("PUT", "/enrollments/device", document, if_match="*")
        f.app.clock.advance(60)
        again = (await f.register()).json()["registrationState"]
        assert again["substatus"] == "reprovisionedToInitialAssignment"
        assert again["createdDateTimeUtc"] == first["createdDateTimeUtc"]
        assert again["lastUpdatedDateTimeUtc"] > first["lastUpdatedDateTimeUtc"]
        assert again["etag"] != first["etag"]
        assert again["deviceId"] == first["deviceId"] == "device", "a new deviceId waits for the record's deletion"
        assert not f.fake.devices["device"].iot_edge
        assert bytes(f.fake.twins["device"].tags) == b'{"a": 1}'
        assert [call.verb for call in f.fake.calls] == ["put", "read"], "created at once; then nothing differed"


@scenario
async def test_one_read_serves_one_request_and_a_connection_that_lives_on_reads_anew():
    async with fixture() as f:
        token = Secret(f.app.device_token("device", f.key))
        claim = Claim(
            id_scope=ID_SCOPE,
            registration_id="device",
            api_version=CURRENT,
            wire="Mqtt",
            peer="127.0.0.9",
            tracking_id="t",
            sas=token,
        )
        device = await f.app.workflow.authenticate(claim)
        assert isinstance(device, Authenticated)
        await asyncio.sleep(0)
        await f.app.service("DELETE", "/enrollments/device")
        with pytest.raises(Unauthorized):
            await f.app.workflow.register(device, RegisterRequest("t"))


@scenario
async def test_old_clients_are_told_initial_assignment_every_time():
    async with fixture() as f:
        await f.register()
        old = (await f.register(version="2019-03-31")).json()["registrationState"]
        service = (await f.app.service("GET", "/enrollments/device")).json()["registrationState"]
        assert old["substatus"] == "initialAssignment"
        assert service["substatus"] == "reprovisionedToInitialAssignment"
        assert {old[name] == service[name] for name in ("etag", "createdDateTimeUtc", "assignedHub")} == {True}


@scenario
async def test_the_key_that_was_used_becomes_the_primary_key_at_the_hub():
    async with fixture() as f:
        await f.register()
        await f.register(key=f.secondary)
        assert f.fake.devices["device"].credential == SymmetricKeys(Secret(f.secondary), Secret(f.key))


@scenario
async def test_a_device_deleted_at_its_hub_is_created_again_with_the_present_initial_twin():
    async with fixture({"initialTwin": {"tags": {"a": 1}}}) as f:
        await f.register()
        f.fake.devices.clear()
        document = (await f.app.service("GET", "/enrollments/device")).json() | {"initialTwin": {"tags": {"a": 2}}}
        await f.app.service("PUT", "/enrollments/device", document, if_match="*")
        await f.register()
        assert bytes(f.fake.twins["device"].tags) == b'{"a": 2}'


@scenario
async def test_the_hub_and_the_answers_use_the_spelling_of_the_enrollment():
    async with fixture() as f:
        document = await f.app.enroll("Mixed-Case")
        key = document["attestation"]["symmetricKey"]["primaryKey"]
        state = (await f.app.register("MIXED-case", key)).json()["registrationState"]
        assert state["registrationId"] == state["deviceId"] == "Mixed-Case"
        assert "Mixed-Case" in f.fake.devices


@scenario
async def test_a_hub_that_is_down_is_tried_until_it_is_back():
    async with fixture() as f:
        f.hub.refuse_next(HubUnavailable, times=3)
        answer = await f.register()
        body = answer.json()
        assert (answer.status, body["status"]) == (202, "assigning")
        assert "registrationState" not in body
        assert answer.headers["retry-after"] == "2"
        poll = await f.poll(body["operationId"])
        assert (poll.status, poll.headers["retry-after"]) == (202, "2")
        assert poll.json()["registrationState"] == {"registrationId": "device", "status": "assigning"}
        assert (await f.status()).json() == {"registrationId": "device", "status": "assigning"}
        row = await f.operation()
        assert row is not None, "assigning is told only when it is durable"
        assert f.key not in row.sealed + row.document.decode()
        for _ in range(3):
            await f.until_waiting()
            f.app.clock.advance(5)
        done = await f.until_finished(body["operationId"])
        assert done.json()["operationId"] == body["operationId"]
        assert done.json()["status"] == "assigned"
        assert await f.operation() is None


@scenario
async def test_a_hub_that_stays_unwilling_fails_the_registration_at_the_limit():
    async with fixture(hub_limit=60.0) as f:
        f.hub.refuse_next(HubUnauthorized, times=100)
        operation_id = (await f.register()).json()["operationId"]
        for _ in range(12):
            await f.until_waiting()
            assert (await f.poll(operation_id)).status == 202
            f.app.clock.advance(5)
        state = (await f.until_finished(operation_id)).json()["registrationState"]
        assert (state["status"], state["errorCode"]) == ("failed", 400209)
        assert "IotHubUnauthorizedAccess" in state["errorMessage"]
        record = (await f.app.service("GET", "/enrollments/device")).json()["registrationState"]
        assert record == state


@scenario
async def test_after_a_failure_the_next_registration_is_the_first_assignment():
    async with fixture(hub_limit=0) as f:
        f.hub.refuse_next(HubUnauthorized)
        assert (await f.register()).json()["status"] == "failed"
        state = (await f.register()).json()["registrationState"]
        assert (state["status"], state["substatus"]) == ("assigned", "initialAssignment")
        assert "errorCode" not in state


@scenario
async def test_a_twin_that_the_hub_will_never_take_fails_at_once():
    async with fixture(hub_limit=60.0) as f:
        f.hub.refuse_next(HubTwinTooLarge)
        state = (await f.register()).json()["registrationState"]
        assert (state["status"], state["errorCode"]) == ("failed", 400209)
        assert "DeviceModelMaxPropertiesExceeded" in state["errorMessage"]


@scenario
async def test_a_slow_hub_costs_the_device_no_more_than_the_wait():
    async with fixture() as f:
        held = f.hub.hold_next("put")
        body = (await f.register()).json()
        assert body["status"] == "assigning"
        held.release()
        assert (await f.until_finished(body["operationId"])).json()["status"] == "assigned"


@scenario
async def test_an_answer_that_the_hub_lost_is_no_failure():
    async with fixture() as f:
        f.hub.lose_next_answer(HubUnavailable, "put")
        body = (await f.register()).json()
        await f.until_waiting()
        f.app.clock.advance(1)
        assert (await f.until_finished(body["operationId"])).json()["status"] == "assigned"
        assert len(f.fake.devices) == 1


@scenario
async def test_a_second_register_meanwhile_gets_the_same_operation():
    async with fixture() as f:
        held = f.hub.hold_next("put")
        first, second = await asyncio.gather(f.register(), f.register())
        assert first.json()["operationId"] == second.json()["operationId"]
        held.release()
        await f.until_finished(first.json()["operationId"])
        assert [call.verb for call in f.fake.calls].count("put") == 1


@scenario
async def test_azure_timing_answers_assigning_first_and_refuses_the_second():
    async with fixture(azure_timing=True) as f:
        held = f.hub.hold_next("put")
        first = await f.register()
        assert first.json()["status"] == "assigning"
        await held.reached.wait()
        second = await f.register()
        assert (second.status, second.json()["errorCode"]) == (409, 409203)
        assert second.json()["message"] == "Precondition failed."
        held.release()
        done = await f.until_finished(first.json()["operationId"])
        assert done.json()["status"] == "assigned"


@scenario
async def test_a_closed_connection_cancels_nothing():
    async with fixture() as f:
        held = f.hub.hold_next("put")
        request = asyncio.create_task(f.register())
        await held.reached.wait()
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        held.release()

        async def assigned():
            return (await f.status()).json()["status"] == "assigned"

        await f.until(assigned)


@scenario
async def test_two_workers_register_one_device_at_once_and_agree():
    async with fixture() as f:
        other = Application(store=f.app.store, connector=f.hub, settings=f.app.settings, clock=f.app.clock)
        async with other:
            answers = await asyncio.gather(f.register(), other.register("device", f.key))
            states = [answer.json()["registrationState"] for answer in answers]
            assert {state["status"] for state in states} == {"assigned"}
            assert len(f.fake.devices) == 1
            record = (await f.app.service("GET", "/enrollments/device")).json()["registrationState"]
            assert record["etag"] in {state["etag"] for state in states}


@pytest.mark.parametrize("died_in", ["before the put", "after the put"])
def test_a_worker_that_died(died_in):
    """Whatever it had done, another one takes the operation over when its lease ends, and it ends right."""

    async def inside():
        store = MemoryStore()
        async with fixture(store=store, lease=10.0) as f:
            if died_in == "before the put":
                f.hub.hold_next("put")
            else:
                f.hub.lose_next_answer(HubUnavailable, "put")
            operation_id = (await f.register()).json()["operationId"]
            for task in [one.task for one in f.app.workflow._running.values()]:
                task.cancel()  # kill -9: nothing of it goes on
                await asyncio.gather(task, return_exceptions=True)
            heir = Application(store=store, connector=f.hub, settings=f.app.settings, clock=f.app.clock)
            async with heir:
                assert await heir.workflow.recover() == 0, "its lease has not ended"
                f.app.clock.advance(11)
                assert await heir.workflow.recover() == 1
                state = (await f.until_finished(operation_id)).json()["registrationState"]
                assert (state["status"], state["substatus"]) == ("assigned", "initialAssignment")
                assert f.fake.devices["device"].credential == SymmetricKeys(Secret(f.key), Secret(f.secondary))
                assert await f.operation() is None

    asyncio.run(inside())


@scenario
async def test_a_register_takes_over_what_a_dead_worker_began():
    store = MemoryStore()
    async with fixture(store=store, lease=10.0) as f:
        f.hub.hold_next("put")
        operation_id = (await f.register()).json()["operationId"]
        for one in list(f.app.workflow._running.values()):
            one.task.cancel()
            await asyncio.gather(one.task, return_exceptions=True)
        assert (await f.register()).json()["operationId"] == operation_id, "still its lease: the same operation"
        f.app.clock.advance(11)
        answer = (await f.register()).json()
        assert (answer["status"], answer["operationId"]) == ("assigned", operation_id)


@scenario
async def test_a_worker_that_lost_its_operation_stops_and_answers_what_the_other_wrote():
    store = MemoryStore()
    async with fixture(store=store, lease=10.0) as f:
        held = f.hub.hold_next("put")
        operation_id = (await f.register()).json()["operationId"]
        f.app.clock.advance(11)  # it stood still (a suspended machine), its lease ended
        heir = Application(store=store, connector=f.hub, settings=f.app.settings, clock=f.app.clock)
        async with heir:
            assert await heir.workflow.recover() == 1
            written = (await f.until_finished(operation_id)).json()["registrationState"]
            (sleeper,) = f.app.workflow._running.values()
            held.release()
            assert (await sleeper.task).etag == written["etag"]
            assert (await f.poll(operation_id)).json()["registrationState"] == written


@scenario
async def test_a_living_worker_renews_its_lease():
    async with fixture(lease=0.03) as f:
        held = f.hub.hold_next("put")
        await f.register()
        before = await f.operation()

        async def renewed():
            await asyncio.sleep(0.001)
            return (await f.operation()).etag != before.etag

        await f.until(renewed)
        held.release()


@scenario
async def test_an_enrollment_deleted_meanwhile_ends_the_operation_and_assigns_nothing():
    async with fixture() as f:
        f.hub.refuse_next(HubUnavailable, times=1)
        operation_id = (await f.register()).json()["operationId"]
        await f.app.service("DELETE", "/enrollments/device")
        await f.until_waiting()
        f.app.clock.advance(5)

        async def gone():
            return await f.operation() is None and not f.app.workflow._running

        await f.until(gone)
        assert (await f.app.store.fetch((Key(RegistrationRow, DEVICE),))) == [None]
        assert (await f.poll(operation_id)).status == 401


@scenario
async def test_a_key_changed_meanwhile_no_longer_lets_its_old_owner_in():
    async with fixture() as f:
        f.hub.refuse_next(HubUnavailable, times=1)
        await f.register()
        new = base64.b64encode(b"n" * 32).decode()
        attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": new, "secondaryKey": new}}
        body = {"registrationId": "device", "attestation": attestation}
        await f.app.service("PUT", "/enrollments/device", body, if_match="*")
        await f.until_waiting()
        f.app.clock.advance(5)

        async def ended():
            return not f.app.workflow._running

        await f.until(ended)
        assert f.fake.devices == {}
        assert await f.operation() is None, "nobody may resume it without the device's proof"


@scenario
async def test_an_operation_of_another_device_or_of_nobody_is_not_found():
    async with fixture() as f:
        operation_id = (await f.register()).json()["operationId"]
        other = (await f.app.enroll("other"))["attestation"]["symmetricKey"]["primaryKey"]
        path = f"/{ID_SCOPE}/registrations/other/operations/{operation_id}?api-version=2021-06-01"
        stolen = await f.app.request("GET", path, authorization=f.app.device_token("other", other))
        assert (stolen.status, stolen.json()["errorCode"]) == (404, 404202)
        middle = operation_id.split(".")[1]
        forged = operation_id.replace(middle, "0" * 16)
        for bad in (forged, "x", "4.x.y", operation_id + "0", "%00"):
            answer = await f.poll(bad)
            assert (answer.status, answer.json()["errorCode"]) == (404, 404202), bad


@scenario
async def test_an_old_operation_answers_the_present_registration():
    async with fixture() as f:
        old = (await f.register()).json()["operationId"]
        new = (await f.register()).json()
        answer = (await f.poll(old)).json()
        assert answer["operationId"] == old
        assert answer["registrationState"] == new["registrationState"]


@scenario
async def test_a_device_that_never_registered_is_unassigned_and_asking_writes_nothing():
    async with fixture() as f:
        answer = await f.status()
        assert (answer.status, answer.json()) == (200, {"registrationId": "device", "status": "unassigned"})
        assert await f.app.store.fetch((Key(RegistrationRow, DEVICE),)) == [None]


@scenario
async def test_the_status_lookup_answers_the_bare_result():
    async with fixture() as f:
        registered = (await f.register()).json()["registrationState"]
        assert (await f.status()).json() == registered


@scenario
async def test_deleting_the_enrollment_removes_its_record_and_a_new_one_begins_anew():
    async with fixture() as f:
        await f.register()
        await f.app.service("DELETE", "/enrollments/device")
        assert (await f.register()).status == 401
        key = (await f.app.enroll("device", deviceId="second"))["attestation"]["symmetricKey"]["primaryKey"]
        state = (await f.register(key=key)).json()["registrationState"]
        assert (state["substatus"], state["deviceId"]) == ("initialAssignment", "second")
        assert "device" in f.fake.devices, "the old device stays at the hub"


@scenario
async def test_stored_times_never_run_backwards():
    async with fixture() as f:
        first = (await f.register()).json()["registrationState"]
        f.app.clock.set_back(3000)
        second = (await f.register()).json()["registrationState"]
        times = [datetime.fromisoformat(state["lastUpdatedDateTimeUtc"]) for state in (first, second)]
        assert times[1] > times[0]


@scenario
async def test_a_disabled_device_that_asks_again_costs_no_write():
    async with fixture({"provisioningStatus": "disabled"}) as f:
        first = (await f.register()).json()["registrationState"]
        f.app.clock.advance(60)
        assert (await f.register()).json()["registrationState"] == first


@scenario
async def test_a_device_made_by_hand_at_the_hub_keeps_its_twin_and_gets_the_credential():
    async with fixture({"initialTwin": {"tags": {"a": 1}}}) as f:
        f.fake.devices["device"] = HubDevice("device", SymmetricKeys(Secret("x"), Secret("y")), True, "e1")
        await f.register()
        assert f.fake.devices["device"].credential == SymmetricKeys(Secret(f.key), Secret(f.secondary))
        assert f.fake.devices["device"].iot_edge
        assert "device" not in f.fake.twins


@scenario
async def test_a_store_that_is_down_is_told_as_503_and_changes_nothing():
    store = MemoryStore()
    async with fixture(store=store) as f:
        store.unavailable = "no space left on device"
        answer = await f.register()
        store.unavailable = ""
        assert (answer.status, answer.json()["errorCode"]) == (503, 503000)
        assert "space" not in answer.body.decode()
        assert await store.fetch((Key(RegistrationRow, DEVICE),)) == [None]
