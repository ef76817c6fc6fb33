"""A refused device over AMQP: the trackingId that it sees leads the operator to the reason, nothing secret is kept, and
one that is throttled is told so where clients read when to come back."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import amqp_frames as amqp
import pytest
from amqp_device import Device
from captured import KEY

from idscope.events import Wire
from idscope.registration import WorkflowSettings
from idscope.testing.application import ID_SCOPE, Application
from idscope.testing.certificates import CertificateMaker

GROUP_KEY = base64.b64encode(bytes(range(32, 64))).decode()
NEW_KEY = base64.b64encode(hmac.new(bytes(range(32, 64)), b"new", hashlib.sha256).digest()).decode()
ADDRESS = f"{ID_SCOPE}/registrations/new"
both_wires = pytest.mark.parametrize("wire", ["Amqp", "AmqpWs"])


def played(scene: Callable[[Application, Device], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with Application(settings=WorkflowSettings(failed_group_tries=1)) as app:
            keys = {"type": "symmetricKey", "symmetricKey": {"primaryKey": GROUP_KEY}}
            group = {"enrollmentGroupId": "fleet", "attestation": keys}
            assert (await app.service("PUT", "/enrollmentGroups/fleet", group)).status == 200
            with Device(app, **options) as device:
                await scene(app, device)

    asyncio.run(run())


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
def test_a_refused_login_is_found_by_the_registration_id_and_keeps_no_secret(wire: Wire) -> None:
    """SASL tells a device a number only."""

    async def scene(app: Application, device: Device) -> None:
        assert await device.log_in("new", key=GROUP_KEY) == 1
        [attempt] = (await app.operator("GET", "/admin/registrations/new/attempts")).json()["attempts"]
        assert (attempt["cause"], attempt["wire"]) == ("signed-with-group-key", wire)
        kept = repr(app.store._tables)
        token = app.device_token("new", GROUP_KEY)
        signature = token.partition("sig=")[2].partition("%3D")[0]
        assert signature not in kept
        assert GROUP_KEY.rstrip("=") not in kept

    played(scene, wire=wire)


@both_wires
def test_a_request_that_is_refused_after_the_login_is_found_by_its_tracking_id(wire: Wire) -> None:
    async def scene(app: Application, device: Device) -> None:
        await device.ready("device")
        assert (await app.service("DELETE", "/enrollments/device")).status == 204
        device.ask(0, type="iotdps-register")
        _, seen, _ = await rejection(device)
        [attempt] = (await app.operator("GET", f"/admin/attempts/{seen['trackingId']}")).json()["attempts"]
        assert (attempt["cause"], attempt["verb"], attempt["wire"]) == ("enrollment-changed", "register", wire)

    played(scene, wire=wire)


@both_wires
def test_a_throttled_device_is_let_in_to_be_told_when_to_come_back(wire: Wire) -> None:
    async def scene(app: Application, device: Device) -> None:
        path = f"/{ID_SCOPE}/registrations/unknown/register?api-version=2021-06-01"
        assert (await app.request("PUT", path, {}, authorization=app.device_token("unknown", KEY))).status == 401
        assert await device.log_in("new", key=NEW_KEY) == 0
        device.open()
        device.attach(ADDRESS)
        await device.frame(amqp.ATTACH, 2)
        device.ask(0, type="iotdps-register")
        device.ask(1, type="iotdps-register")
        condition, seen, info = await rejection(device)
        assert condition == "com.microsoft:device-container-throttled"
        assert (seen["errorCode"], seen["message"]) == (429001, "Operations are being throttled for this tenant.")
        assert info == {"retry-after": 5, "Retry-After": 5}
        assert await rejection(device, 2) == (condition, seen, info)
        assert not device.inside._session.is_known, "such a connection has the limits of a stranger's"
        [attempt] = (await app.operator("GET", f"/admin/attempts/{seen['trackingId']}")).json()["attempts"]
        assert (attempt["cause"], attempt["wire"]) == ("too-many-failed-tries", wire)

    played(scene, wire=wire)
