"""What Microsoft's device SDKs sent over MQTT, on port 8883 and inside WebSockets, signed anew and served: the verdict
of each row in captures.toml. It must not know how the server reaches an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import pytest
from captured import Capture, certificate_of, clock_for, enroll, load_captures, sign_anew
from mqtt_device import DISCONNECT, Device, Said, captured_device, front_end, split, topic_of, with_operation_id
from websocket_tunnel import CUTS, Cut, whole

from idscope.testing.application import Application

CAPTURES = load_captures("Mqtt", "MqttWs")


def with_verdict(*verdicts: str) -> list[Capture]:
    return [one for one in CAPTURES if one.row.verdict in verdicts]


CERTIFIED = [one for one in with_verdict("assigned") if one.row.proof == "x509"]


class Served:
    """Sends a capture packet by packet, waiting for what each is owed, and keeps the answers."""

    def __init__(self, device: Device, expiry: int, cut: Cut) -> None:
        self.device = device
        self.expiry = expiry
        self.cut = cut
        self.connack = b""
        self.answers: list[Said] = []

    async def send(self, sent: bytes) -> None:
        kind = sent[0] >> 4
        if kind == 1:
            sent = sign_anew(sent, self.expiry)
        elif kind == 3 and self.answers and b"&operationId=" in sent:
            sent = with_operation_id(sent, self.answers[0].json().get("operationId", "none"))
        for piece in self.cut(sent):
            self.device.send(piece)
        match kind:
            case 1:
                self.connack = (await self.device.said()).body
            case 3:
                if sent[0] & 0x06:
                    assert (await self.device.said()).first == 0x40, "PUBACK before the answer"
                self.answers.append(await self.device.said())
            case 8:
                granted = await self.device.said()
                assert (granted.first, granted.body[2:]) == (0x90, b"\x01")
            case 10:
                assert (await self.device.said()).first == 0xB0


async def serve(app: Application, capture: Capture, chain: tuple[bytes, ...], cut: Cut) -> Served:
    packets = split(capture.stream)
    device, left = captured_device(app, front_end(app), capture, chain, cut)
    with device:
        served = Served(device, app.expiry, left)
        for sent in packets:
            await served.send(sent)
            if served.connack != b"\0\0":
                break
        if packets[-1] == DISCONNECT or served.connack != b"\0\0":
            await device.ended()
        assert device.silent, "nothing is pushed"
    return served


def replay(capture: Capture, cut: Cut, *, enrolled: bool = True) -> Served:
    """The connection again, by default of an enrolled device."""

    async def run() -> Served:
        certificate = certificate_of(capture)
        async with Application(clock=clock_for(certificate)) as app, asyncio.timeout(20):
            if enrolled:
                await enroll(app, capture.row.scenario, certificate)
            return await serve(app, capture, certificate.der_chain() if certificate else (), cut)

    return asyncio.run(run())


def rid(sent: bytes) -> str:
    return str(re.findall(r"\$rid=([^&]+)", topic_of(sent))[0])


def without_nulls(value: Any) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is not None and all(map(without_nulls, children))


def asked(capture: Capture) -> list[bytes]:
    return [sent for sent in split(capture.stream) if sent[0] >> 4 == 3]


def answered(capture: Capture, served: Served, status: int) -> Iterable[Any]:
    """The answers' documents; what holds for every answer is asserted."""
    assert served.connack == b"\0\0"
    assert len(served.answers) == len(asked(capture))
    for sent, answer in zip(asked(capture), served.answers, strict=True):
        assert answer.topic == f"$dps/registrations/res/{status}/?$rid={rid(sent)}"
        assert without_nulls(answer.json())
        yield answer.json()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("capture", with_verdict("assigned"), ids=lambda capture: capture.name)
def test_a_registering_device_is_assigned(capture: Capture, cut: Cut) -> None:
    assert asked(capture)
    for document in answered(capture, replay(capture, cut), 200):
        assert document["status"] == "assigned"
        assert document["operationId"]
        assert document["registrationState"]["registrationId"] == capture.row.scenario


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("capture", with_verdict("let in"), ids=lambda capture: capture.name)
def test_a_device_that_the_stand_in_refused_is_let_in(capture: Capture, cut: Cut) -> None:
    assert not list(answered(capture, replay(capture, cut), 200))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("capture", CERTIFIED, ids=lambda capture: capture.name)
def test_a_certificate_that_nobody_enrolled_is_refused_in_the_answer(capture: Capture, cut: Cut) -> None:
    assert asked(capture)
    for document in answered(capture, replay(capture, cut, enrolled=False), 401):
        assert document["errorCode"] == 401002


@pytest.mark.parametrize("capture", with_verdict("hub"), ids=lambda capture: capture.name)
def test_a_hubs_device_where_there_is_no_hub_is_told_that_the_service_is_away(capture: Capture) -> None:
    async def run() -> Served:
        async with Application() as app, asyncio.timeout(20):
            return await serve(app, capture, (), whole)

    assert asyncio.run(run()).connack == b"\0\3"


@pytest.mark.parametrize("capture", with_verdict("silent"), ids=lambda capture: capture.name)
def test_nothing_is_said_to_a_client_that_says_nothing(capture: Capture) -> None:
    async def run() -> None:
        async with Application() as app:
            device, _ = captured_device(app, front_end(app), capture, (), whole)
            with device:
                await asyncio.sleep(0)
                assert device.silent
                assert not device.wire.closed

    asyncio.run(run())


def test_every_mqtt_capture_is_served_in_one_of_these_ways() -> None:
    verdicts = {one.row.verdict for one in CAPTURES}
    assert verdicts == {"assigned", "let in", "hub", "silent", "404000"}  # the last one: no MQTT is reached
