"""An embedded hub behind MQTT connections: captured devices replayed, and each topic with what it leads to."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mqtt_device import (
    CAPTURES,
    Device,
    Said,
    connect,
    front_end,
    packet,
    publish,
    sign_anew,
    split,
    subscribe,
    text,
    topic_of,
)

from idscope.clock import MICROSECONDS
from idscope.directory import EmbeddedHub, Snapshot
from idscope.embedded_hub import Delivery, DeviceAccess, Identities, Telemetry, Twins
from idscope.embedded_hub.documents import AuthenticationMechanism, DeviceChange, SymmetricKey, TwinChange
from idscope.embedded_hub.message import MessageProperties
from idscope.embedded_hub.methods import MethodRequest
from idscope.errors import HubDeviceNotOnline
from idscope.frontends.mqtt.front_end import MqttFrontEnd
from idscope.frontends.mqtt.hub import HubMqtt
from idscope.frontends.mqtt.hub_topics import Asks, DevicePublish, feature_of, message_topic, parse_bag, parse_publish
from idscope.model.document import decode
from idscope.model.etag import ABSENT, Matches
from idscope.secret import Secret
from idscope.testing.application import Application, sas_token

HOST = "hub.local.test"
HUB = "h1"
KEY = base64.b64encode(b"k" * 32).decode()
METHODS = "$iothub/methods/POST/#"
DESIRED = "$iothub/twin/PATCH/properties/desired/#"
TWIN = "$iothub/twin/res/#"


@dataclass
class Hub:
    app: Application
    identities: Identities
    twins: Twins
    delivery: Delivery
    telemetry: Telemetry
    front: MqttFrontEnd

    def token(self, device_id: str, key: str = KEY) -> str:
        return sas_token(f"{HOST}/devices/{device_id}", key, self.app.expiry)

    async def make(self, device_id: str) -> None:
        keys = SymmetricKey(primary_key=Secret(KEY), secondary_key=Secret(KEY))
        change = DeviceChange(authentication=AuthenticationMechanism(type="sas", symmetric_key=keys))
        await self.identities.create_or_update(HUB, device_id, change, ABSENT)

    def device(self) -> Device:
        return Device(self.front)

    async def stand(self, device: Device, device_id: str, *filters: tuple[str, int], clean: bool = True) -> Said:
        """Connected and subscribed; the CONNACK."""
        name = f"{HOST}/{device_id}/?api-version=2021-04-12&DeviceClientType=test"
        hello = connect(device_id, name, self.token(device_id))
        if not clean:
            at = hello.index(b"MQTT") + 5
            hello = hello[:at] + bytes((hello[at] & ~2,)) + hello[at + 1 :]
        device.send(hello)
        welcome = await device.said()
        for topic, qos in filters:
            device.send(subscribe(topic, qos))
            assert await device.said() == Said(0x90, b"\0\1" + bytes((qos,)))
        return welcome

    async def desired(self, device_id: str, **values: Any) -> None:
        change = decode(msgspec.json.encode({"properties": {"desired": values}}), TwinChange)
        await self.twins.patch(HUB, device_id, change)

    async def received(self) -> list[Any]:
        return (await self.telemetry.read(HUB, -1, 1000)).messages


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Hub]:
    async with Application() as app:
        delivery = Delivery(app.store, app.clock, path)
        await delivery.start()
        identities = Identities(app.store, app.sealer, app.clock, delivery.identity_changed)
        twins, telemetry = Twins(app.store, app.clock, delivery.nudge), Telemetry(app.store, app.clock)
        snapshot = Snapshot((), (EmbeddedHub(HUB, (HOST,), {}),))
        access = DeviceAccess(app.store, app.sealer, app.clock, lambda: snapshot)
        mqtt = HubMqtt(access, delivery, twins, telemetry, app.clock)
        hub = Hub(app, identities, twins, delivery, telemetry, front_end(app, hub=mqtt.open))
        try:
            yield hub
        finally:
            await asyncio.sleep(0)
            await mqtt.close()
            await telemetry.close()
            await delivery.close()


def story(path: Path, tell: Callable[[Hub], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30), served(path) as hub:
            await tell(hub)

    asyncio.run(within())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


def body_of(said: Said) -> bytes:
    """Of a PUBLISH, whatever its QoS."""
    return said.body[2 + len(said.topic.encode()) + (2 if said.first & 0x06 else 0) :]


def puback(number: int) -> bytes:
    return packet(0x40, struct.pack(">H", number))


def publish_0(topic: str, body: bytes = b"") -> bytes:
    return packet(0x30, text(topic) + body)


def captured(file: str) -> list[bytes]:
    document = json.loads((CAPTURES / "hub-python-and-node.json").read_text())
    [found] = [one for one in document["connections"] if one["file"] == file]
    return split("".join(found["sent"]).encode("latin-1"))


class Replay:
    """A captured device: each of its packets, with the answers that it must get."""

    def __init__(self, hub: Hub, device: Device, device_id: str) -> None:
        self.hub = hub
        self.device = device
        self.device_id = device_id
        self.result: asyncio.Future[Any] | None = None

    async def send(self, sent: bytes) -> None:
        kind = sent[0] >> 4
        if kind == 4:
            return  # it acknowledged the stand-in's packet; ours is acknowledged in `serve`
        topic = topic_of(sent) if kind == 3 else ""
        if topic.startswith("$iothub/methods/res/"):
            sent = await self.serve(sent)
        self.device.send(sent)
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

    async def serve(self, answer: bytes) -> bytes:
        """A message, a change, a call; the device's answer for this call."""
        properties = MessageProperties({"messageId": "abc"}, {"p1": "v1"})
        await self.hub.delivery.messages.send(HUB, self.device_id, properties, b"c2d body")
        message = await self.device.said()
        assert (message.first, body_of(message)) == (0x32, b"c2d body")
        assert message.topic == (
            f"devices/{self.device_id}/messages/devicebound/%24.mid=abc"
            f"&%24.to=%2Fdevices%2F{self.device_id}%2Fmessages%2Fdevicebound&p1=v1"
        )
        self.device.send(puback(message.number))
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


@pytest.mark.parametrize(("file", "device_id"), [("001-8883.txt", "dev-1"), ("003-8883.txt", "dev-n")])
def test_a_captured_device_is_served_to_its_end(file: str, device_id: str, tmp_path: Path) -> None:
    """Python and Node: every packet they sent, in their order, while a service sends, changes and calls."""

    async def tell(hub: Hub) -> None:
        await hub.make(device_id)
        await hub.desired(device_id, color="red")
        hello, *rest = captured(file)
        with hub.device() as device:
            replay = Replay(hub, device, device_id)
            device.send(sign_anew(hello, KEY, hub.app.expiry))
            assert await device.said() == Said(0x20, b"\0\0")
            for sent in rest:
                await replay.send(sent)
            await device.ended()
            assert replay.result is not None
            result = await replay.result
            assert (result.status, json.loads(bytes(result.payload))) == (200, {"ok": 1})
        [telemetry] = await hub.received()
        expected = {"messageId": "mid 1", "contentType": "application/json", "contentEncoding": "utf-8"}
        if device_id == "dev-1":
            expected["correlationId"] = "c1"
        assert telemetry.properties == MessageProperties(expected, {"p/1": "v 1"})
        assert (telemetry.device_id, telemetry.body) == (device_id, b'{"t":1}')
        twin = await hub.twins.get(HUB, device_id)
        assert json.loads(bytes(twin.properties.reported))["a"] == 1

    story(tmp_path, tell)


def test_a_refused_device_gets_connack_5(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        good, name = hub.token("d"), f"{HOST}/d/?api-version=2021-04-12"
        for user_name, client_id, token in (
            (name, "d", hub.token("d", base64.b64encode(b"x" * 32).decode())),
            (name, "d", None),
            (name, "other", good),
            (f"{HOST}/d/?DeviceClientType=x", "d", good),
            (f"{HOST}/nobody/?api-version=1", "nobody", hub.token("nobody")),
            (f"{HOST}/d/module/?api-version=1", "d/module", good),
            ("other.test/d/?api-version=1", "d", good),
        ):
            with hub.device() as device:
                device.send(connect(client_id, user_name, token))
                assert await device.said() == Said(0x20, b"\0\5"), (user_name, client_id)
                await device.ended()
        assert await hub.identities.connected(HUB) == 0

    story(tmp_path, tell)


def test_a_store_that_is_away_is_connack_3(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        hub.app.store.unavailable = "disk full"  # type: ignore[attr-defined]
        with hub.device() as device:
            assert await hub.stand(device, "d") == Said(0x20, b"\0\3")
        hub.app.store.unavailable = ""  # type: ignore[attr-defined]

    story(tmp_path, tell)


def test_only_the_hubs_own_topics_are_granted(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        with hub.device() as device:
            await hub.stand(device, "d", (METHODS, 1), ("devices/d/messages/devicebound/#", 0))
            for topic in (
                "#",
                "devices/#",
                "devices/e/messages/devicebound/#",
                "$iothub/#",
                "$dps/registrations/res/#",
            ):
                device.send(subscribe(topic))
                assert (await device.said()).body == b"\0\1\x80"
            device.send(publish("devices/e/messages/events/", b"{}"))
            await device.ended()
        assert await hub.received() == []

    story(tmp_path, tell)


def test_messages_with_qos_0_count_as_taken_and_with_qos_1_wait_for_their_acknowledgement(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        await hub.delivery.messages.send(HUB, "d", MessageProperties(), b"1")
        with hub.device() as device:
            await hub.stand(device, "d", ("devices/+/messages/devicebound/#", 1))
            assert (await device.said()).first == 0x32
        with hub.device() as device:
            await hub.stand(device, "d", ("devices/d/messages/devicebound/#", 0))
            again = await device.said()
            assert (again.first, body_of(again)) == (0x30, b"1")
        await until(lambda: not hub.front.running)
        for _ in range(100):
            await asyncio.sleep(0)
        assert await hub.delivery.messages.waiting(HUB, "d") == []

    story(tmp_path, tell)


def test_subscriptions_are_there_again_with_clean_session_0(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        with hub.device() as device:
            assert await hub.stand(
                device, "d", ("devices/d/messages/devicebound/#", 1), (METHODS, 1), clean=False
            ) == Said(0x20, b"\0\0")
            device.send(packet(0xA2, b"\0\7" + text(METHODS)))
            assert (await device.said()).first == 0xB0
        await hub.delivery.messages.send(HUB, "d", MessageProperties(), b"x")
        with hub.device() as device:
            assert await hub.stand(device, "d", clean=False) == Said(0x20, b"\1\0")
            assert body_of(await device.said()) == b"x"
            with pytest.raises(HubDeviceNotOnline):
                await hub.delivery.methods.invoke(HUB, "d", MethodRequest(method_name="m"))
        with hub.device() as device:
            assert await hub.stand(device, "d") == Said(0x20, b"\0\0")
            with pytest.raises(HubDeviceNotOnline):
                await hub.delivery.methods.invoke(HUB, "d", MethodRequest(method_name="m"))
            assert device.silent

    story(tmp_path, tell)


def test_twin_requests_that_are_no_good_are_told_so(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        with hub.device() as device:
            await hub.stand(device, "d", (TWIN, 1))
            reported = "$iothub/twin/PATCH/properties/reported/?$rid=7"
            for body, status in (
                (b"no json", 400),
                (b"[1]", 400),
                (b'{"a b":1}', 400),
                (b'{"a":"%s"}' % (b"x" * 5000), 400),
                (json.dumps({f"n{n}": "x" * 4000 for n in range(10)}).encode(), 403),
            ):
                device.send(publish(reported, body))
                assert (await device.said()).first == 0x40
                answer = await device.said()
                assert answer.topic == f"$iothub/twin/res/{status}/?$rid=7", body
                assert json.loads(body_of(answer))["errorCode"] // 1000 == status
            device.send(publish_0(reported, b'{"ok":true}'))
            assert (await device.said()).topic == "$iothub/twin/res/204/?$rid=7&$version=2"

    story(tmp_path, tell)


def test_telemetry_is_acknowledged_in_order_once_it_is_kept(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        with hub.device() as device:
            await hub.stand(device, "d")
            numbers = range(1, 41)
            device.send(*(publish("devices/d/messages/events/", b"%d" % n, number=n) for n in numbers))
            device.send(publish_0("devices/d/messages/events/k=v", b"0"))
            assert [(await device.said()).number for _ in numbers] == list(numbers)
            assert [message.body for message in await hub.received()][:40] == [b"%d" % n for n in numbers]
            hub.app.store.unavailable = "disk full"  # type: ignore[attr-defined]
            device.send(publish("devices/d/messages/events/", b"lost"))
            await device.ended()
            hub.app.store.unavailable = ""  # type: ignore[attr-defined]
        with hub.device() as device:
            await hub.stand(device, "d")
            device.send(publish("devices/d/messages/events/", bytes(256 * 1024 + 1)))
            await device.ended()

    story(tmp_path, tell)


def test_a_will_stands_among_the_telemetry_unless_the_device_disconnected(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        name = f"{HOST}/d/?api-version=2021-04-12"
        for last in (b"\xe0\0", b""):
            body = text("MQTT") + bytes((4, 0x02 | 0x04 | 0xC0)) + b"\0\0" + text("d")
            body += text("devices/d/messages/events/a=b") + text("gone") + text(name) + text(hub.token("d"))
            with hub.device() as device:
                device.send(packet(0x10, body))
                assert await device.said() == Said(0x20, b"\0\0")
                device.send(last)
                if last:
                    await device.ended()
        await hub.telemetry.close()
        [will] = await hub.received()
        assert (will.body, will.properties.application) == (b"gone", {"a": "b", "iothub-MessageType": "Will"})

    story(tmp_path, tell)


def test_a_second_connection_closes_the_first(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        with hub.device() as first, hub.device() as second:
            await hub.stand(first, "d")
            await hub.stand(second, "d")
            await first.ended()
            second.send(publish("devices/d/messages/events/", b"x"))
            assert (await second.said()).first == 0x40
            assert (await hub.identities.get(HUB, "d")).connection_state == "Connected"
        await until(lambda: not hub.delivery._sessions)

    story(tmp_path, tell)


def test_a_disabled_device_is_closed(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        with hub.device() as device:
            await hub.stand(device, "d")
            stored = await hub.identities.get(HUB, "d")
            await hub.identities.create_or_update(HUB, "d", DeviceChange(status="disabled"), Matches(stored.etag))
            await device.ended()

    story(tmp_path, tell)


def test_a_token_that_ends_ends_the_connection(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        with hub.device() as device:
            await hub.stand(device, "d")
            left = hub.app.expiry + 300 - hub.app.clock.now() // MICROSECONDS
            hub.app.clock.advance(left + 1)
            await hub.delivery.tend()
            await device.ended()

    story(tmp_path, tell)


@pytest.mark.parametrize(
    ("topic", "means"),
    [
        ("devices/d:1/messages/events/", DevicePublish(Asks.TELEMETRY)),
        ("devices/d%3A1/messages/events", DevicePublish(Asks.TELEMETRY)),
        (
            "devices/d:1/messages/events/%24.mid=a&x/y=z&e=&$.ct=t",
            DevicePublish(
                Asks.TELEMETRY,
                properties=MessageProperties({"messageId": "a", "contentType": "t"}, {"x/y": "z", "e": ""}),
            ),
        ),
        ("$iothub/twin/GET/?$rid=abc", DevicePublish(Asks.TWIN_GET, "abc")),
        ("$iothub/twin/GET/?", DevicePublish(Asks.TWIN_GET)),
        ("$iothub/twin/PATCH/properties/reported/?$rid=1&$version=3", DevicePublish(Asks.TWIN_PATCH, "1")),
        ("$iothub/methods/res/-1/?$rid=f0", DevicePublish(Asks.METHOD_ANSWER, "f0", -1)),
        ("$iothub/methods/res/ok/?$rid=1", None),
        ("$iothub/methods/res/200", None),
        ("$iothub/twin/GET/?$rid=" + "x" * 257, None),
        ("$iothub/twin/PATCH/properties/desired/?$rid=1", None),
        ("devices/d/messages/events/", None),
        ("devices/d:1/messages/devicebound/", None),
        ("devices/d:1/modules/m/messages/events/", None),
        ("", None),
    ],
)
def test_what_a_publish_means(topic: str, means: DevicePublish | None) -> None:
    assert parse_publish(topic, "d:1") == means


@pytest.mark.parametrize(
    ("text_", "feature"),
    [
        ("devices/d:1/messages/devicebound/#", "messages"),
        ("devices/d%3A1/messages/devicebound/#", "messages"),
        ("devices/+/messages/devicebound/#", "messages"),
        ("devices/d/messages/devicebound/#", None),
        ("devices/d:1/messages/devicebound/", None),
        (METHODS, "methods"),
        (DESIRED, "desired"),
        (TWIN, ""),
        ("$iothub/twin/#", None),
    ],
)
def test_what_a_filter_asks_for(text_: str, feature: str | None) -> None:
    assert feature_of(text_, "d:1") == feature


def test_a_property_bag_survives_the_way_there_and_back() -> None:
    properties = MessageProperties(
        {"messageId": "m 1", "correlationId": "ü/&=", "to": "/devices/d 1/messages/devicebound", "ack": "full"},
        {"k+#/": "v?%", "": "no name", "empty": ""},
    )
    topic = message_topic("devices/d%201/messages/devicebound/", "d 1", properties)
    assert topic.count("/") == 4
    assert not set(topic) & set("+#?")
    back = parse_bag(topic.rpartition("/")[2])
    assert back.system == properties.system
    assert back.application == {"k+#/": "v?%", "empty": ""}
