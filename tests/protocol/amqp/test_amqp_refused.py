"""A refused device over AMQP: the trackingId that it sees leads the operator to the reason, nothing secret is kept, and
one that is throttled is told so where clients read when to come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import amqp_frames as amqp
import pytest
from amqp_device import Device
from refused_world import GROUP_KEY, REFUSALS, Refusal, World, derived, in_der, play, secrets_in, use_up_limit_of_one

from idscope.events import Wire
from idscope.testing.application import ID_SCOPE, Application, Response
from idscope.testing.certificates import CertificateMaker

NEW_KEY = derived(GROUP_KEY, "new")
ADDRESS = f"{ID_SCOPE}/registrations/new"
both_wires = pytest.mark.parametrize("wire", ["Amqp", "AmqpWs"])


def played(scene: Callable[[Application, Device], Awaitable[None]], **options: Any) -> None:
    async def scenario(world: World) -> None:
        with Device(world.app, **options) as device:
            await scene(world.app, device)

    asyncio.run(play(scenario, failed_group_tries=1))


async def rejection(device: Device, count: int = 1) -> tuple[str, Any, Any]:
    """Condition, JSON of the description, info."""
    outcome = (await device.frame(amqp.DISPOSITION, count)).field(4)
    assert outcome.descriptor == amqp.REJECTED
    name, description, *info = outcome.value[0].value
    return name, json.loads(description), info[0] if info else None


@both_wires
def test_a_refused_certificate_is_found_by_the_tracking_id(wire: Wire) -> None:
    async def scene(app: Application, device: Device) -> None:
        device.open()
        device.attach(ADDRESS)
        await device.frame(amqp.ATTACH, 2)
        device.ask(0, type="iotdps-register")
        condition, seen, _ = await rejection(device)
        assert (condition, seen["errorCode"]) == ("amqp:unauthorized-access", 401002)
        [attempt] = (await app.operator("GET", f"/admin/attempts/{seen['trackingId']}")).json()["attempts"]
        assert (attempt["cause"], attempt["wire"]) == ("certificate-not-enrolled", wire)
        assert attempt["apiVersion"] == "2019-03-31"

    played(scene, chain=CertificateMaker.self_signed("new").der_chain(), wire=wire)


@both_wires
def test_a_refused_login_is_found_by_the_registration_id(wire: Wire) -> None:
    """SASL tells a device a number only."""

    async def scene(app: Application, device: Device) -> None:
        assert await device.log_in("new", key=GROUP_KEY) == 1
        [attempt] = (await app.operator("GET", "/admin/registrations/new/attempts")).json()["attempts"]
        assert (attempt["cause"], attempt["wire"]) == ("signed-with-group-key", wire)

    played(scene, wire=wire)


@both_wires
def test_a_request_that_is_refused_after_the_login_is_found_by_its_tracking_id(wire: Wire) -> None:
    async def scene(app: Application, device: Device) -> None:
        await device.ready("a-device")
        assert (await app.service("DELETE", "/enrollments/a-device")).status == 204
        device.ask(0, type="iotdps-register")
        _, seen, _ = await rejection(device)
        [attempt] = (await app.operator("GET", f"/admin/attempts/{seen['trackingId']}")).json()["attempts"]
        assert (attempt["cause"], attempt["verb"], attempt["wire"]) == ("enrollment-changed", "register", wire)

    played(scene, wire=wire)


def is_known(device: Device) -> bool:
    session = device.inside._session
    assert session is not None
    return session.is_known


async def throttled(app: Application, device: Device, key: str = NEW_KEY) -> None:
    """Its address has used up its limit of one; it logs in, opens, attaches both links."""
    await use_up_limit_of_one(app)
    assert await device.log_in("new", key=key) == 0
    device.open()
    device.attach(ADDRESS)
    await device.frame(amqp.ATTACH, 2)


@both_wires
def test_a_throttled_device_is_let_in_to_be_told_when_to_come_back(wire: Wire) -> None:
    async def scene(app: Application, device: Device) -> None:
        await throttled(app, device)
        for count in (1, 2):
            device.ask(count - 1, type="iotdps-register")
            condition, seen, info = await rejection(device, count)
            assert condition == "com.microsoft:device-container-throttled"
            assert (seen["errorCode"], seen["message"]) == (429001, "Operations are being throttled for this tenant.")
            assert info == {"retry-after": 5, "Retry-After": 5}
            [attempt] = (await app.operator("GET", f"/admin/attempts/{seen['trackingId']}")).json()["attempts"]
            assert (attempt["cause"], attempt["wire"]) == ("too-many-failed-tries", wire)
        assert not is_known(device), "such a connection has the limits of a stranger's"

    played(scene, wire=wire)


def test_a_throttled_device_is_let_in_on_the_same_connection_once_it_may() -> None:
    """quirk: Node's client sends its register again on the same connection after `retry-after`, for ever."""

    async def scene(app: Application, device: Device) -> None:
        await throttled(app, device)
        device.ask(0, type="iotdps-register")
        assert (await rejection(device))[1]["errorCode"] == 429001
        app.clock.advance(60)
        device.ask(1, type="iotdps-register")
        answer = await device.frame(amqp.TRANSFER)
        assert b'"status":"assigned"' in answer.payload
        assert is_known(device)

    played(scene)


def test_a_throttled_device_with_a_wrong_key_is_told_401_once_it_is_judged() -> None:
    async def scene(app: Application, device: Device) -> None:
        await throttled(app, device, GROUP_KEY)
        app.clock.advance(60)
        seen = []
        for count in (1, 2):
            device.ask(count - 1, type="iotdps-register")
            condition, told, _ = await rejection(device, count)
            assert (condition, told["errorCode"]) == ("amqp:unauthorized-access", 401002)
            seen.append(told["trackingId"])
        assert seen[0] == seen[1], "judged once, and that is its last word"

    played(scene)


def test_the_links_of_a_throttled_device_are_its_own() -> None:
    async def scene(app: Application, device: Device) -> None:
        await use_up_limit_of_one(app)
        assert await device.log_in("new", key=NEW_KEY) == 0
        device.open()
        device.attach(f"{ID_SCOPE}/registrations/other")
        assert (await device.frame(amqp.DETACH, 2)).field(2) is not None

    played(scene)


def test_requests_sent_at_once_are_judged_once() -> None:
    async def scene(app: Application, device: Device) -> None:
        await throttled(app, device)
        for number in range(5):
            device.ask(number, type="iotdps-register")
        for number in range(5):
            assert (await rejection(device, number + 1))[1]["errorCode"] == 429001
        attempts = (await app.operator("GET", "/admin/registrations/new/attempts")).json()["attempts"]
        assert len(attempts) == 2, "the login, and one of the five"

    played(scene)


# The table of refusals, on this wire


class AmqpWorld(World):
    """Devices register over AMQP; a SASL outcome that refuses is a 401 without a body."""

    wire: Wire = "Amqp"

    async def register(
        self,
        registration_id: str,
        token: str | None = None,
        chain: tuple[CertificateMaker, ...] = (),
        *,
        scope: str = ID_SCOPE,
        body: dict[str, Any] | None = None,
        version: str = "2021-06-01",
    ) -> Response:
        self.tokens.append(token or "")
        address = f"{scope}/registrations/{registration_id}"
        with Device(self.app, chain=in_der(chain), wire=self.wire) as device:
            if token is not None and (outcome := await device.present(f"\0{address}\0{token}".encode())) != 0:
                return Response(401, {}, json.dumps({"outcome": outcome}).encode())
            device.open()
            device.attach(address, version)
            await device.frame(amqp.ATTACH, 2)
            device.ask(0, body={amqp.DATA: json.dumps(body or {}).encode()}, type="iotdps-register")
            if (await device.frame(amqp.DISPOSITION)).field(4).descriptor == amqp.REJECTED:
                _, told, _ = await rejection(device)
                return Response(told["errorCode"] // 1000, {}, json.dumps(told).encode())
            answer = (await device.frame(amqp.TRANSFER)).payload
            return Response(202, {}, answer[answer.index(b"{") :])


class AmqpInWebSocketWorld(AmqpWorld):
    wire: Wire = "AmqpWs"


# Whoever has neither a token nor a certificate does not get far enough to say who it is.
OVER_AMQP = [row for row in REFUSALS if row.cause != "no-credential" and row.name != "a TPM that nobody enrolled"]


@pytest.mark.parametrize("world_type", [AmqpWorld, AmqpInWebSocketWorld])
@pytest.mark.parametrize("row", OVER_AMQP, ids=[row.name for row in OVER_AMQP])
def test_each_refusal_is_told_and_explained_as_over_https(row: Refusal, world_type: type[AmqpWorld]) -> None:
    async def scenario(world: World) -> Any:
        answer = await row.act(world)
        path = f"/admin/registrations/{row.registration_id}/attempts"
        found = (await world.app.operator("GET", path)).json()["attempts"]
        assert isinstance(world, AmqpWorld)
        return answer, found, secrets_in(world, world.tokens)

    answer, [attempt], secrets = asyncio.run(play(scenario, world_type=world_type))
    assert (attempt["cause"], attempt["wire"]) == (row.cause, world_type.wire)
    assert [part for part in row.why if part not in attempt["reason"]] == []
    assert not secrets
    seen = answer.json()
    if row.told[0] == 202:
        state = seen["registrationState"]
        assert (answer.status, state["status"], state.get("errorCode")) == row.told
    elif "outcome" in seen:
        assert seen["outcome"] == 1, "AUTH, whatever is wrong"
    else:
        assert (answer.status, seen["errorCode"], seen["message"]) == row.told
        assert seen["trackingId"] == attempt["trackingId"]
