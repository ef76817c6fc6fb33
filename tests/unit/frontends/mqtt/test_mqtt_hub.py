"""An embedded hub behind MQTT connections: each topic, with what it leads to."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from mqtt_device import Said, connect, packet, publish, subscribe, text
from mqtt_hub_world import DESIRED, HOST, HUB, METHODS, TWIN, Hub, body_of, publish_0, story, until

from idscope.clock import MICROSECONDS
from idscope.embedded_hub.documents import DeviceChange
from idscope.embedded_hub.message import MessageProperties
from idscope.embedded_hub.methods import MethodRequest
from idscope.errors import HubDeviceNotOnline
from idscope.frontends.mqtt.hub_topics import Asks, DevicePublish, feature_of, message_topic, parse_bag, parse_publish
from idscope.model.etag import Matches
from idscope.testing.memory_store import MemoryStore


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


def store_of(hub: Hub) -> MemoryStore:
    assert isinstance(hub.app.store, MemoryStore)
    return hub.app.store


def test_a_store_that_is_away_is_connack_3(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        await hub.make("d")
        store_of(hub).unavailable = "disk full"
        with hub.device() as device:
            assert await hub.stand(device, "d") == Said(0x20, b"\0\3")
        store_of(hub).unavailable = ""

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
            store_of(hub).unavailable = "disk full"
            device.send(publish("devices/d/messages/events/", b"lost"))
            await device.ended()
            store_of(hub).unavailable = ""
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
