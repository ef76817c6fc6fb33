"""A TPM registers over HTTPS: challenge, proof, the hub's key; what is refused, and that one device gets one key."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tpm_samples import changed

from idscope.errors import HubUnavailable
from idscope.model.device_identity import SymmetricKeys
from idscope.registration import WorkflowSettings
from idscope.storage import AttemptRow, Key, OperationRow, RegistrationRow
from idscope.testing import FakeHubConnector, FaultyHubConnector, MemoryStore
from idscope.testing.application import ID_SCOPE, Application, Response, sas_token
from idscope.testing.software_tpm import ActivationFailed, SoftwareTpm

DEVICE = (ID_SCOPE, "device")
WINDOW = 600  # a nonce is valid in its ten minutes and in the ten after
VERSION = "?api-version=2021-06-01"


@functools.cache
def made(name: str) -> SoftwareTpm:
    return SoftwareTpm()


def chip() -> SoftwareTpm:
    return made("the device's")


def other_chip() -> SoftwareTpm:
    return made("another's")


def attestation(endorsement_key: str, **members: Any) -> dict[str, Any]:
    return {"type": "tpm", "tpm": {"endorsementKey": endorsement_key, **members}}


class Fixture:
    """An application on a fake hub, with the enrollment `device` for the TPM `chip()`."""

    def __init__(self, app: Application, fake: FakeHubConnector, hub: FaultyHubConnector) -> None:
        self.app, self.fake, self.hub = app, fake, hub

    async def ask(
        self,
        body: Any = None,
        *,
        token: str | None = None,
        id: str = "device",  # noqa: A002
        what: str = "/register",
        method: str = "PUT",
        app: Application | None = None,
    ) -> Response:
        path = f"/{ID_SCOPE}/registrations/{id}{what}{VERSION}"
        return await (app or self.app).request(method, path, body, authorization=token)

    async def challenge(self, tpm: SoftwareTpm, *, id: str = "device", app: Application | None = None) -> None:  # noqa: A002
        """The first round; the TPM holds the nonce afterwards."""
        answer = await self.ask({"registrationId": id, "tpm": tpm.document}, id=id, app=app)
        assert answer.status == 401
        tpm.activate(base64.b64decode(answer.json()["authenticationKey"]))

    def token(self, tpm: SoftwareTpm, id: str = "device") -> str:  # noqa: A002
        return tpm.token(f"{ID_SCOPE}%2Fregistrations%2F{id}", self.app.expiry)

    async def register(self, tpm: SoftwareTpm, *, app: Application | None = None) -> Response:
        """Both rounds, as the SDKs do them: the keys go along again."""
        await self.challenge(tpm, app=app)
        return await self.ask({"registrationId": "device", "tpm": tpm.document}, token=self.token(tpm), app=app)

    async def poll(self, operation_id: str, token: str) -> Response:
        return await self.ask(token=token, what=f"/operations/{operation_id}", method="GET")

    async def enroll(self, tpm: SoftwareTpm, *, storage_root_key: str | None = None, **members: Any) -> None:
        enrolled = attestation(tpm.endorsement_key, storageRootKey=storage_root_key)
        body = {"registrationId": "device", "attestation": enrolled, **members}
        assert (await self.app.service("PUT", "/enrollments/device", body, if_match="*")).status == 200

    async def record(self) -> RegistrationRow | None:
        row: RegistrationRow | None = (await self.app.store.fetch((Key(RegistrationRow, DEVICE),)))[0]
        return row

    async def operation(self) -> OperationRow | None:
        row: OperationRow | None = (await self.app.store.fetch((Key(OperationRow, DEVICE),)))[0]
        return row

    async def attempts(self) -> list[AttemptRow]:
        await self.app.attempts.close()
        return [row async for row in _rows(self.app)]

    @property
    def hub_key(self) -> bytes:
        credential = self.fake.devices["device"].credential
        assert isinstance(credential, SymmetricKeys)
        assert credential.primary == credential.secondary
        return base64.b64decode(credential.primary.reveal())

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(10_000):
            if await condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come about")


async def _rows(app: Application) -> AsyncIterator[AttemptRow]:
    for row in await app.store.page(AttemptRow, (), None, 100):
        yield row


@asynccontextmanager
async def fixture(*, store: MemoryStore | None = None, **settings: Any) -> AsyncIterator[Fixture]:
    fake = FakeHubConnector()
    hub = FaultyHubConnector(fake)
    chosen = WorkflowSettings(**{"assign_wait": 0.2, "lease": 1000.0, **settings})
    async with Application(settings=chosen, connector=hub, store=store) as app:
        await app.enroll("device", attestation=attestation(chip().endorsement_key))
        yield Fixture(app, fake, hub)


def scenario(function: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """An async test, run to its end."""

    def test() -> None:
        asyncio.run(function())

    test.__name__, test.__doc__ = function.__name__, function.__doc__
    return test


def assert_refused(answer: Response, code: int, message: str = "Unauthorized") -> None:
    assert (answer.status, answer.json()["errorCode"]) == (code // 1000, code), answer
    assert message in answer.json()["message"]
    assert "authenticationKey" not in answer.json()


def wrapped_key(answer: Response) -> bytes:
    assert answer.json()["status"] == "assigned", answer
    return base64.b64decode(answer.json()["registrationState"]["tpm"]["authenticationKey"])


# The way in


@scenario
async def test_the_first_request_is_answered_with_a_challenge() -> None:
    async with fixture() as f:
        answer = await f.ask({"registrationId": "device", "tpm": chip().document})
        body = answer.json()
        assert (answer.status, answer.headers["x-ms-error-code"]) == (401, "401002")
        assert (body["message"], body["keyName"]) == ("Authorization required", "registration")
        assert body["trackingId"] == answer.headers["x-ms-request-id"]
        assert "status" not in body, "C knows a challenge by that"
        assert chip().activate(base64.b64decode(body["authenticationKey"])) == f"{ID_SCOPE}/registrations"
        assert await f.record() is None
        (attempt,) = await f.attempts()
        assert (attempt.attempt_id, attempt.verdict) == (body["trackingId"], "challenged")


@scenario
async def test_the_hub_has_exactly_the_key_that_the_tpm_takes_in() -> None:
    async with fixture() as f:
        answer = await f.register(chip())
        assert answer.status == 202
        assert chip().activate(wrapped_key(answer)) == "127.0.0.1"
        assert len(chip().key) == 32
        assert chip().key == f.hub_key
        assert await f.operation() is None


@scenario
async def test_polls_and_the_status_lookup_repeat_the_token_and_get_the_key() -> None:
    async with fixture() as f:
        await f.challenge(chip())
        token = f.token(chip())
        first = await f.ask({"tpm": chip().document}, token=token)
        polled = await f.poll(first.json()["operationId"], token)
        assert (polled.status, wrapped_key(polled)) == (200, wrapped_key(first))
        looked_up = await f.ask({}, token=token, what="", method="POST")
        assert looked_up.json() == polled.json()["registrationState"]
        service = (await f.app.service("GET", "/registrations/device")).json()
        assert "tpm" not in service


@scenario
async def test_a_poll_without_a_token_is_no_first_request() -> None:
    async with fixture() as f:
        operation_id = (await f.register(chip())).json()["operationId"]
        assert_refused(await f.ask(what=f"/operations/{operation_id}", method="GET"), 401002)


@scenario
async def test_registering_again_wraps_the_same_key_anew() -> None:
    async with fixture() as f:
        first = wrapped_key(await f.register(chip()))
        device = f.fake.devices["device"]
        again = await f.register(chip())
        assert wrapped_key(again) != first
        chip().activate(wrapped_key(again))
        assert chip().key == f.hub_key
        assert f.fake.devices["device"] == device, "nothing was written at the hub"
        assert again.json()["registrationState"]["substatus"] == "reprovisionedToInitialAssignment"


@scenario
async def test_a_device_that_was_deleted_at_its_hub_gets_its_key_back() -> None:
    async with fixture() as f:
        await f.register(chip())
        before = f.hub_key
        f.fake.devices.clear()
        chip().activate(wrapped_key(await f.register(chip())))
        assert chip().key == f.hub_key == before


@scenario
async def test_a_tpm_that_was_cleared_takes_its_key_in_with_its_new_storage_root_key() -> None:
    async with fixture() as f:
        tpm = SoftwareTpm()
        await f.enroll(tpm)
        await f.register(tpm)
        before = f.hub_key
        tpm.clear()
        tpm.activate(wrapped_key(await f.register(tpm)))
        assert tpm.key == f.hub_key == before


@scenario
async def test_another_tpm_gets_another_key_and_the_old_one_is_locked_out() -> None:
    async with fixture() as f:
        await f.register(chip())
        before = f.hub_key
        await f.enroll(other_chip())
        assert_refused(await f.ask({"tpm": chip().document}, token=f.token(chip())), 401002)
        other_chip().activate(wrapped_key(await f.register(other_chip())))
        assert other_chip().key == f.hub_key != before


@scenario
async def test_a_deleted_record_takes_the_key_with_it() -> None:
    async with fixture() as f:
        await f.register(chip())
        before = f.hub_key
        assert (await f.app.service("DELETE", "/registrations/device")).status == 204
        chip().activate(wrapped_key(await f.register(chip())))
        assert chip().key == f.hub_key != before


@scenario
async def test_disabling_in_between_keeps_the_key() -> None:
    async with fixture() as f:
        await f.register(chip())
        before = f.hub_key
        await f.enroll(chip(), provisioningStatus="disabled")
        refused = await f.register(chip())
        assert refused.json()["status"] == "disabled"
        assert "tpm" not in refused.json()["registrationState"]
        await f.enroll(chip())
        chip().activate(wrapped_key(await f.register(chip())))
        assert chip().key == f.hub_key == before


@scenario
async def test_no_key_stands_in_the_store_in_clear() -> None:
    async with fixture() as f:
        held = f.hub.hold_next("put")
        await f.challenge(chip())
        nonce = base64.b64encode(chip().key)
        asked = asyncio.create_task(f.ask({"tpm": chip().document}, token=f.token(chip())))
        await held.reached.wait()
        operation = await f.operation()
        held.release()
        await asked
        key = base64.b64encode(f.hub_key)
        record = await f.record()
        assert operation is not None
        assert record is not None
        for row in (operation, record, *(await f.attempts())):
            for text in (key, nonce, b"SharedAccessSignature"):
                assert text not in repr(row).encode()
        assert record.sealed.startswith("v1:")
        assert operation.sealed.startswith("v1:")


# The second request without the keys, as one client sends it


@scenario
async def test_the_keys_need_not_come_again() -> None:
    async with fixture() as f:
        await f.challenge(chip())
        answer = await f.ask({"registrationId": "device"}, token=f.token(chip()))
        chip().activate(wrapped_key(answer))
        assert chip().key == f.hub_key


@pytest.mark.parametrize("known", ["of the last registration", "that was enrolled"])
def test_another_worker_knows_the_storage_root_key(known: str) -> None:
    async def inside() -> None:
        async with fixture() as f:
            if known == "that was enrolled":
                await f.enroll(chip(), storage_root_key=chip().storage_root_key)
            else:
                await f.register(chip())
            await f.challenge(chip())
            async with Application(store=f.app.store, connector=f.hub, clock=f.app.clock) as worker:
                answer = await f.ask({"registrationId": "device"}, token=f.token(chip()), app=worker)
            chip().activate(wrapped_key(answer))
            assert chip().key == f.hub_key

    asyncio.run(inside())


@scenario
async def test_a_worker_that_does_not_know_it_says_so_and_changes_nothing() -> None:
    async with fixture() as f:
        await f.challenge(chip())
        async with Application(store=f.app.store, connector=f.hub, clock=f.app.clock) as worker:
            answer = await f.ask({"registrationId": "device"}, token=f.token(chip()), app=worker)
            assert_refused(answer, 400004, "storageRootKey is missing")
            assert await f.record() is None
        assert f.fake.calls == []


# One device, one key, whatever happens on the way


@pytest.mark.parametrize("died_in", ["before the put", "after the put"])
def test_what_a_dead_worker_began_ends_with_one_key(died_in: str) -> None:
    async def inside() -> None:
        store = MemoryStore()
        async with fixture(store=store, lease=10.0, assign_wait=0.02) as f:
            if died_in == "before the put":
                f.hub.hold_next("put")
            else:
                f.hub.lose_next_answer(HubUnavailable, "put")
            answer = await f.register(chip())
            assert answer.json()["status"] == "assigning"
            for one in list(f.app.workflow._running.values()):
                one.task.cancel()  # kill -9: nothing of it goes on
                await asyncio.gather(one.task, return_exceptions=True)
            async with Application(store=store, connector=f.hub, settings=f.app.settings, clock=f.app.clock) as heir:
                f.app.clock.advance(11)
                assert await heir.workflow.recover() == 1
                token, operation_id = f.token(chip()), answer.json()["operationId"]

                async def finished() -> bool:
                    return (await f.poll(operation_id, token)).status == 200

                await f.until(finished)
                chip().activate(wrapped_key(await f.poll(operation_id, token)))
                assert chip().key == f.hub_key
                assert await f.operation() is None

    asyncio.run(inside())


@scenario
async def test_a_worker_that_stood_still_while_another_finished_gives_the_hub_no_other_key() -> None:
    store = MemoryStore()
    async with fixture(store=store, lease=10.0, assign_wait=0.02) as f:
        held = f.hub.hold_next("put")
        answer = await f.register(chip())
        f.app.clock.advance(11)
        async with Application(store=store, connector=f.hub, settings=f.app.settings, clock=f.app.clock) as heir:
            assert await heir.workflow.recover() == 1

            async def assigned() -> bool:
                return await f.record() is not None

            await f.until(assigned)
            (sleeper,) = f.app.workflow._running.values()
            held.release()
            await sleeper.task
            chip().activate(wrapped_key(await f.poll(answer.json()["operationId"], f.token(chip()))))
        assert chip().key == f.hub_key


@scenario
async def test_two_workers_at_once_give_one_key() -> None:
    async with fixture() as f:
        await f.challenge(chip())
        token, body = f.token(chip()), {"tpm": chip().document}
        async with Application(store=f.app.store, connector=f.hub, settings=f.app.settings, clock=f.app.clock) as other:
            answers = await asyncio.gather(f.ask(body, token=token), f.ask(body, token=token, app=other))
            for answer in answers:
                polled = await f.poll(answer.json()["operationId"], token)
                chip().activate(wrapped_key(polled))
                assert chip().key == f.hub_key


@scenario
async def test_a_second_worker_makes_no_second_key_while_the_first_one_is_at_it() -> None:
    async with fixture(assign_wait=10.0) as f:
        held = f.hub.hold_next("put")
        await f.challenge(chip())
        token, body = f.token(chip()), {"tpm": chip().document}
        first = asyncio.create_task(f.ask(body, token=token))
        await held.reached.wait()
        async with Application(store=f.app.store, connector=f.hub, settings=f.app.settings, clock=f.app.clock) as other:
            second = await f.ask(body, token=token, app=other)
            assert second.json()["status"] == "assigning"
            held.release()
            assert wrapped_key(await first) == wrapped_key(await f.poll(second.json()["operationId"], token))
        chip().activate(wrapped_key(await first))
        assert chip().key == f.hub_key
        assert [call.verb for call in f.fake.calls] == ["put"]


@scenario
async def test_a_tpm_that_was_replaced_after_its_worker_died_is_not_assigned() -> None:
    store = MemoryStore()
    async with fixture(store=store, lease=10.0, assign_wait=0.02) as f:
        f.hub.hold_next("put")
        answer = await f.register(chip())
        for one in list(f.app.workflow._running.values()):
            one.task.cancel()
            await asyncio.gather(one.task, return_exceptions=True)
        await f.enroll(other_chip())
        async with Application(store=store, connector=f.hub, settings=f.app.settings, clock=f.app.clock) as heir:
            f.app.clock.advance(11)
            assert await heir.workflow.recover() == 1

            async def ended() -> bool:
                return await f.operation() is None

            await f.until(ended)
            record = await f.record()
            assert record is not None
            assert record.status == "failed"
            assert_refused(await f.poll(answer.json()["operationId"], f.token(chip())), 401002)
        assert f.fake.devices == {}


@scenario
async def test_a_hub_that_is_down_is_tried_with_the_same_key_until_it_is_back() -> None:
    async with fixture(assign_wait=0.02) as f:
        f.hub.lose_next_answer(HubUnavailable, "put")
        answer = await f.register(chip())
        assert answer.json()["status"] == "assigning"
        placed = f.hub_key
        f.app.clock.advance(5)
        token = f.token(chip())

        async def finished() -> bool:
            return (await f.poll(answer.json()["operationId"], token)).status == 200

        await f.until(finished)
        chip().activate(wrapped_key(await f.poll(answer.json()["operationId"], token)))
        assert chip().key == f.hub_key == placed


@scenario
async def test_a_tpm_that_was_replaced_meanwhile_is_not_assigned() -> None:
    async with fixture(assign_wait=0.02) as f:
        f.hub.refuse_next(HubUnavailable, times=1)
        assert (await f.register(chip())).json()["status"] == "assigning"
        await f.enroll(other_chip())
        f.app.clock.advance(5)

        async def ended() -> bool:
            return not f.app.workflow._running

        await f.until(ended)
        assert f.fake.devices == {}
        assert await f.operation() is None


# Attacks


@scenario
async def test_a_nonce_lives_through_its_window_and_the_next_one() -> None:
    async with fixture() as f:
        await f.challenge(chip())
        early = f.token(chip())
        f.app.clock.advance(WINDOW)
        assert (await f.ask({"tpm": chip().document}, token=early)).status == 202


@scenario
async def test_a_nonce_of_a_past_window_is_refused() -> None:
    async with fixture() as f:
        await f.challenge(chip())
        f.app.clock.advance(2 * WINDOW)
        assert_refused(await f.ask({"tpm": chip().document}, token=f.token(chip())), 401002)
        assert await f.record() is None


@scenario
async def test_a_nonce_of_another_id_is_refused() -> None:
    """Also where the other one has the same TPM: an endorsement key is not unique."""
    async with fixture() as f:
        await f.app.enroll("other", attestation=attestation(chip().endorsement_key))
        await f.challenge(chip(), id="other")
        assert_refused(await f.ask({"tpm": chip().document}, token=f.token(chip())), 401002)
        assert (await f.ask({}, token=f.token(chip(), "other"), id="other")).status == 202


@scenario
async def test_a_blob_for_another_endorsement_key_is_never_made() -> None:
    async with fixture() as f:
        assert_refused(await f.ask({"tpm": other_chip().document}), 401002)
        mixed = {"endorsementKey": other_chip().endorsement_key, "storageRootKey": chip().storage_root_key}
        assert_refused(await f.ask({"tpm": mixed}), 401002)


@scenario
async def test_the_blob_for_an_endorsement_key_that_was_copied_is_of_no_use() -> None:
    """The endorsement key is public: who knows it may ask in its name, with a storage root key of his own."""
    async with fixture() as f:
        copied = {"endorsementKey": chip().endorsement_key, "storageRootKey": other_chip().storage_root_key}
        blob = base64.b64decode((await f.ask({"tpm": copied})).json()["authenticationKey"])
        for tpm in (other_chip(), chip()):
            with pytest.raises(ActivationFailed):
                tpm.activate(blob)
        answer = await f.register(chip())
        chip().activate(wrapped_key(answer))
        assert chip().key == f.hub_key, "nobody overwrote the nonce of the device"


@scenario
async def test_a_token_that_is_sent_again_works_for_its_device_and_in_its_time_only() -> None:
    async with fixture() as f:
        await f.app.enroll("other", attestation=attestation(chip().endorsement_key))
        await f.challenge(chip())
        token = f.token(chip())
        assert (await f.ask({"tpm": chip().document}, token=token)).status == 202
        assert_refused(await f.ask({"tpm": chip().document}, token=token, id="other"), 401002)
        with pytest.raises(ActivationFailed):  # whoever heard it gets what only the TPM can open
            other_chip().activate(wrapped_key(await f.ask({"tpm": chip().document}, token=token)))
        f.app.clock.advance(2 * WINDOW)
        assert_refused(await f.ask({"tpm": chip().document}, token=token), 401002)


@scenario
async def test_a_token_of_another_key_is_refused() -> None:
    async with fixture() as f:
        resource = f"{ID_SCOPE}/registrations/device"
        for key in (bytes(32), b"k" * 32, base64.b64decode(chip().endorsement_key)[2:34]):
            token = sas_token(resource, base64.b64encode(key).decode(), f.app.expiry, "registration")
            assert_refused(await f.ask({"tpm": chip().document}, token=token), 401002)


@scenario
async def test_an_expired_token_is_refused() -> None:
    async with fixture() as f:
        await f.challenge(chip())
        token = chip().token(f"{ID_SCOPE}/registrations/device", f.app.expiry - 3600 - 301)
        assert_refused(await f.ask({"tpm": chip().document}, token=token), 401002)


@scenario
async def test_disabled_is_told_to_the_tpm_alone() -> None:
    async with fixture() as f:
        await f.enroll(chip(), provisioningStatus="disabled")
        assert_refused(await f.ask({"tpm": other_chip().document}), 401002)
        assert (await f.register(chip())).json()["status"] == "disabled"


@scenario
async def test_a_tpm_is_no_proof_where_another_mechanism_is_enrolled() -> None:
    async with fixture() as f:
        await f.app.enroll("symmetric")
        assert_refused(await f.ask({"tpm": chip().document}, id="symmetric"), 401002)


# Bad input


HOSTILE = {
    "not Base64": "*",
    "empty": "AAA=",
    "a few bytes": "AAEA",
    "cut off": chip().endorsement_key[:100],
    "huge": "A" * 60_000,
    "an ECC key": changed(2, b"\x00\x23"),
    "3072 bits": changed(52, b"\x0c\x00"),
    "an even modulus": changed(315, b"\x00"),
    "a modulus of zeros": changed(60, bytes(256)),
    "an enormous exponent": changed(54, b"\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("member", ["endorsementKey", "storageRootKey"])
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_keys_are_refused_and_change_nothing(member: str, what: str) -> None:
    async def inside() -> None:
        async with fixture() as f:
            document = chip().document | {member: HOSTILE[what]}
            answer = await f.ask({"registrationId": "device", "tpm": document})
            assert_refused(answer, 400004, f"{member} ")
            assert HOSTILE[what] not in answer.json()["message"]
            assert await f.record() is None
            await f.challenge(chip())
            answer = await f.ask({"tpm": document}, token=f.token(chip()))
            assert_refused(answer, 400004, f"{member} ")
            assert await f.record() is None
            assert f.fake.calls == []

    asyncio.run(inside())


@scenario
async def test_a_first_request_without_a_storage_root_key() -> None:
    async with fixture() as f:
        answer = await f.ask({"tpm": {"endorsementKey": chip().endorsement_key}})
        assert_refused(answer, 400004, "storageRootKey is missing.")


@pytest.mark.parametrize("what", [name for name in HOSTILE if name != "cut off"])
def test_an_endorsement_key_that_cannot_work_is_not_enrolled(what: str) -> None:
    async def inside() -> None:
        async with Application() as app:
            body = {"registrationId": "device", "attestation": attestation(HOSTILE[what])}
            assert_refused(await app.service("PUT", "/enrollments/device", body), 400004, "endorsementKey ")
            assert (await app.service("GET", "/enrollments/device")).status == 404

    asyncio.run(inside())
