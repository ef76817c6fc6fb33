"""What Microsoft's device SDKs sent to a hub over MQTT, on port 8883 and inside WebSockets, signed anew and served by
an embedded hub to its end. It must not know how the hub reaches an answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from captured import Capture, certificate_of, clock_for, load_captures, sign_anew
from mqtt_device import Device, Said, captured_device, packet, split, text, topic_of
from mqtt_hub_world import HUB, Hub, body_of, puback, story
from websocket_tunnel import CUTS, Cut

from idscope.embedded_hub.message import MessageProperties
from idscope.embedded_hub.methods import MethodRequest
from idscope.model.document import decode

CAPTURES = [one for one in load_captures("Mqtt", "MqttWs") if one.row.verdict == "hub"]


class Replay:
    """A captured device: each of its packets in their order, with the answers that it must get.

    What it acknowledges or answers, a service first sends or calls.
    """

    def __init__(self, hub: Hub, device: Device, device_id: str, cut: Cut) -> None:
        self.hub = hub
        self.device = device
        self.device_id = device_id
        self.cut = cut
        self.result: asyncio.Future[Any] | None = None

    async def send(self, sent: bytes) -> None:
        kind = sent[0] >> 4
        topic = topic_of(sent) if kind == 3 else ""
        if kind == 4:
            sent = await self.message()
        elif topic.startswith("$iothub/methods/res/"):
            sent = await self.call(sent)
        for piece in self.cut(sent):
            self.device.send(piece)
        if kind == 8:
            assert (await self.device.said()).first == 0x90
        if kind == 3 and sent[0] & 2:
            assert (await self.device.said()).first == 0x40
        if topic.startswith("$iothub/twin/"):
            await self.twin_answer(topic)

    async def twin_answer(self, topic: str) -> None:
        answer, request_id = await self.device.said(), topic.split("=")[1]
        if "GET" in topic:
            assert answer.topic == f"$iothub/twin/res/200/?$rid={request_id}"
            said = json.loads(body_of(answer))
            assert said == {"desired": {"color": "red", "$version": 2}, "reported": {"$version": 1}}
        else:
            assert (answer.topic, body_of(answer)) == (f"$iothub/twin/res/204/?$rid={request_id}&$version=2", b"")

    async def message(self) -> bytes:
        """A message from a service; the device's acknowledgement of it."""
        properties = MessageProperties({"messageId": "abc"}, {"p1": "v1"})
        await self.hub.delivery.messages.send(HUB, self.device_id, properties, b"c2d body")
        message = await self.device.said()
        assert (message.first, body_of(message)) == (0x32, b"c2d body")
        assert message.topic == (
            f"devices/{self.device_id}/messages/devicebound/%24.mid=abc"
            f"&%24.to=%2Fdevices%2F{self.device_id}%2Fmessages%2Fdevicebound&p1=v1"
        )
        return puback(message.number)

    async def call(self, answer: bytes) -> bytes:
        """A change of the twin, and a call of a method; the device's answer for this call."""
        await self.hub.desired(self.device_id, color="blue")
        change = await self.device.said()
        assert change.topic == "$iothub/twin/PATCH/properties/desired/?$version=3"
        assert json.loads(body_of(change)) == {"color": "blue", "$version": 3}
        request = decode(b'{"methodName":"reboot","payload":{"delay":1}}', MethodRequest)
        self.result = asyncio.ensure_future(self.hub.delivery.methods.invoke(HUB, self.device_id, request))
        call = await self.device.said()
        assert call.topic.startswith("$iothub/methods/POST/reboot/?$rid=")
        assert body_of(call) == b'{"delay":1}'
        topic = topic_of(answer)
        rest = answer[2:].removeprefix(text(topic))
        return packet(answer[0], text(topic.replace("$rid=1", "$rid=" + call.topic.split("=")[1])) + rest)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_a_captured_device_is_served_to_its_end(capture: Capture, cut: Cut, tmp_path: Path) -> None:
    """Python and Node: every packet they sent, in their order, while a service sends, changes and calls."""
    certificate, device_id = certificate_of(capture), capture.row.scenario
    hello, *rest = split(capture.stream)

    async def tell(hub: Hub) -> None:
        await hub.make(device_id, certificate)
        await hub.desired(device_id, color="red")
        chain = certificate.der_chain() if certificate else ()
        device, left = captured_device(hub.app, hub.front, capture, chain, cut)
        with device:
            replay = Replay(hub, device, device_id, left)
            await replay.send(sign_anew(hello, hub.app.expiry))
            assert await device.said() == Said(0x20, b"\0\0")
            for sent in rest:
                await replay.send(sent)
            await device.ended()
            assert replay.result is not None
            result = await replay.result
            assert (result.status, json.loads(bytes(result.payload))) == (200, {"ok": 1})
        [telemetry] = await hub.received()
        expected = {"messageId": "mid 1", "contentType": "application/json", "contentEncoding": "utf-8"}
        if capture.row.sdk == "Python":
            expected["correlationId"] = "c1"
        assert telemetry.properties == MessageProperties(expected, {"p/1": "v 1"})
        assert (telemetry.device_id, telemetry.body) == (device_id, b'{"t":1}')
        twin = await hub.twins.get(HUB, device_id)
        assert json.loads(bytes(twin.properties.reported))["a"] == 1

    story(tmp_path, tell, clock_for(certificate))


def test_these_are_the_captures_of_a_hub() -> None:
    assert [(one.row.wire, one.row.sdk, one.row.proof) for one in CAPTURES] == [
        ("Mqtt", "Python", "symmetricKey"),
        ("Mqtt", "Python", "x509"),
        ("Mqtt", "Node", "symmetricKey"),
        ("Mqtt", "Node", "x509"),
        ("MqttWs", "Node", "symmetricKey"),
    ]
