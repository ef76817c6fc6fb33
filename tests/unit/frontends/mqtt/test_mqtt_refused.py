"""A refused device over MQTT: the trackingId that it sees leads the operator to the reason, nothing secret is kept, and
one that is told to come back is judged again on its connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mqtt_device import ANSWERS, REGISTER, Device, connect, front_end, subscribe, user_name
from refused_world import (
    GROUP_KEY,
    REFUSALS,
    STRANGE_KEY,
    Refusal,
    World,
    derived,
    in_der,
    play,
    secrets_in,
    use_up_limit_of_one,
)

from idscope.frontends.mqtt.provisioning import ProvisioningOptions
from idscope.testing.application import ID_SCOPE, Application, Response
from idscope.testing.certificates import CertificateMaker

NEW_KEY = derived(GROUP_KEY, "new")


def played(
    scene: Callable[[Application, Device], Awaitable[None]],
    *,
    chain: tuple[bytes, ...] = (),
    websocket: bool = False,
    **options: Any,
) -> None:
    async def scenario(world: World) -> None:
        front = front_end(world.app, options=ProvisioningOptions(**options))
        async with asyncio.timeout(20):
            with Device(front, chain, websocket=websocket) as device:
                await scene(world.app, device)

    asyncio.run(play(scenario, failed_group_tries=1))


@pytest.mark.parametrize("websocket", [False, True])
@pytest.mark.parametrize("by_certificate", [False, True])
def test_the_tracking_id_that_the_device_sees_leads_to_the_reason(websocket: bool, by_certificate: bool) -> None:
    async def scene(app: Application, device: Device) -> None:
        token = None if by_certificate else app.device_token("new", GROUP_KEY)
        await device.stand("new", token)
        seen = (await device.ask()).json()
        [attempt] = (await app.operator("GET", f"/admin/attempts/{seen['trackingId']}")).json()["attempts"]
        assert attempt["cause"] == ("certificate-not-enrolled" if by_certificate else "signed-with-group-key")
        assert attempt["wire"] == ("MqttWs" if websocket else "Mqtt")
        assert (attempt["address"], attempt["apiVersion"]) == ("127.0.0.9", "2019-03-31")
        assert attempt["errorCode"] == seen["errorCode"] == 401002

    played(scene, chain=CertificateMaker.self_signed("new").der_chain() if by_certificate else (), websocket=websocket)


def test_an_unknown_scope_is_refused_at_connect_and_found_by_the_registration_id() -> None:
    """The device sees a number only; the operator finds the attempt under the id."""

    async def scene(app: Application, device: Device) -> None:
        device.send(connect("new", user_name("new", id_scope="0ne00FFFFFF"), app.device_token("new", STRANGE_KEY)))
        assert (await device.said()).body == b"\0\3"
        found = (await app.operator("GET", "/admin/registrations/new/attempts")).json()["attempts"]
        assert [(one["cause"], one["idScope"]) for one in found] == [("unknown-id-scope", "0ne00FFFFFF")]
        assert "service" not in found[0]

    played(scene)


def test_a_throttled_device_is_let_in_on_the_same_connection_once_it_may() -> None:
    """quirk: Python's, Node's and C's clients send their register again on the same connection after `retry-after`."""

    async def scene(app: Application, device: Device) -> None:
        await use_up_limit_of_one(app)
        await device.stand("new", app.device_token("new", NEW_KEY))
        for _ in range(2):
            answer = await device.ask()
            assert answer.topic == "$dps/registrations/res/429/?$rid=r1&retry-after=5"
            assert answer.json()["errorCode"] == 429001
            assert answer.json()["message"] == "Operations are being throttled for this tenant."
            found = await app.operator("GET", f"/admin/attempts/{answer.json()['trackingId']}")
            assert found.json()["attempts"][0]["cause"] == "too-many-failed-tries"
        app.clock.advance(60)
        answer = await device.ask()
        assert answer.topic == "$dps/registrations/res/200/?$rid=r1"
        assert answer.json()["status"] == "assigned"
        assert (await device.ask()).json()["status"] == "assigned"

    played(scene)


def test_a_throttled_device_with_a_wrong_key_is_told_401_once_it_is_judged() -> None:
    async def scene(app: Application, device: Device) -> None:
        await use_up_limit_of_one(app)
        await device.stand("new", app.device_token("new", STRANGE_KEY))
        assert (await device.ask()).json()["errorCode"] == 429001
        app.clock.advance(60)
        for _ in range(2):
            assert (await device.ask()).topic == "$dps/registrations/res/401/?$rid=r1"

    played(scene)


@pytest.mark.parametrize("options", [{"connack_bad_credentials": True}, {"refused_sessions": 0}])
def test_where_refused_devices_are_not_let_in_a_throttled_one_gets_the_code_that_passes(options: Any) -> None:
    async def scene(app: Application, device: Device) -> None:
        await use_up_limit_of_one(app)
        assert (await device.connect("new", app.device_token("new", NEW_KEY))).body == b"\0\3"

    played(scene, **options)


# The table of refusals, on this wire


class MqttWorld(World):
    """Devices register over MQTT; a CONNACK that refuses is a 404 without a body."""

    websocket = False

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
        with Device(front_end(self.app), in_der(chain), websocket=self.websocket) as device:
            device.send(connect(registration_id, user_name(registration_id, id_scope=scope, version=version), token))
            if (await device.said()).body != b"\0\0":
                return Response(404, {}, b"{}")
            device.send(subscribe(ANSWERS))
            await device.said()
            answer = await device.ask(REGISTER, json.dumps(body or {}).encode())
            return Response(int(answer.topic.split("/")[3]), {}, json.dumps(answer.json()).encode())


class MqttInWebSocketWorld(MqttWorld):
    websocket = True


OVER_MQTT = [row for row in REFUSALS if row.name != "a TPM that nobody enrolled"]  # it cannot present itself here


@pytest.mark.parametrize("world_type", [MqttWorld, MqttInWebSocketWorld])
@pytest.mark.parametrize("row", OVER_MQTT, ids=[row.name for row in OVER_MQTT])
def test_each_refusal_is_told_and_explained_as_over_https(row: Refusal, world_type: type[MqttWorld]) -> None:
    async def scenario(world: World) -> Any:
        answer = await row.act(world)
        path = f"/admin/registrations/{row.registration_id}/attempts"
        found = (await world.app.operator("GET", path)).json()["attempts"]
        assert isinstance(world, MqttWorld)
        return answer, found, secrets_in(world, world.tokens)

    answer, [attempt], secrets = asyncio.run(play(scenario, world_type=world_type))
    assert (attempt["cause"], attempt["wire"]) == (row.cause, "MqttWs" if world_type.websocket else "Mqtt")
    assert [part for part in row.why if part not in attempt["reason"]] == []
    assert not secrets
    seen = answer.json()
    if row.cause == "unknown-id-scope":
        assert seen == {}, "CONNACK 3"
    elif row.told[0] == 202:
        state = seen["registrationState"]
        assert (answer.status, state["status"], state.get("errorCode")) == (200, *row.told[1:])
    else:
        assert (answer.status, seen["errorCode"], seen["message"]) == row.told
        assert seen["trackingId"] == attempt["trackingId"]
