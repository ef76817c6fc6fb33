"""One connection: its limits in time and size, back-pressure, its end, and the seam behind which a hub stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from mqtt_device import DISCONNECT, REGISTER, Device, Said, connect, front_end, publish, subscribe, user_name

from idscope.errors import ServiceUnavailable
from idscope.frontends.mqtt.front_end import MqttLimits
from idscope.frontends.mqtt.provisioning import ProvisioningOptions
from idscope.frontends.mqtt.side import ConnectRefused, Outlet, Peer
from idscope.frontends.mqtt.user_name import HubName
from idscope.protocols.mqtt import Connect, Delivered, Publish, SessionLimits, Subscribe
from idscope.testing.application import Application

HUB_USER = "127.0.0.1/device/?api-version=2021-04-12"
PINGREQ, PINGRESP = b"\xc0\x00", Said(0xD0, b"")


class Side:
    """A hub's side that keeps what happens; `gate` holds each publish."""

    packet_bytes = 300
    seconds = float("inf")

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.restored: Mapping[str, int] = {}
        self.events: list[Any] = []
        self.ends: list[bool] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    async def handle(self, event: Any) -> None:
        self.events.append(event)
        self.reached.set()
        await self.gate.wait()
        if isinstance(event, Subscribe):
            self.outlet.grant(event, [True] * len(event.filters))
        elif isinstance(event, Publish):
            if event.payload == b"fail":
                raise ZeroDivisionError
            self.outlet.acknowledge(event)

    def closed(self, *, orderly: bool) -> None:
        self.ends.append(orderly)


class Hub:
    """Opens sides; `refusal` is raised instead."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.asked: list[tuple[Connect, HubName, Peer]] = []
        self.sides: list[Side] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, connect: Connect, name: HubName, peer: Peer, outlet: Outlet) -> Side:
        self.asked.append((connect, name, peer))
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        self.sides.append(side := Side(outlet))
        return side


Test = Callable[[Device, Hub], Awaitable[None]]


def connected(limits: MqttLimits | None = None, *, stand: bool = True) -> Callable[[Test], Callable[[], None]]:
    """Runs the test with a device at a hub's door, or behind it."""

    def decorate(test: Test) -> Callable[[], None]:
        async def run() -> None:
            hub = Hub()
            async with Application() as app, asyncio.timeout(20):
                with Device(front_end(app, limits=limits, hub=hub)) as device:
                    if stand:
                        device.send(connect("device", HUB_USER, "token"))
                        assert (await device.said()).body == b"\0\0"
                    await test(device, hub)
                for side in hub.sides:
                    while not side.ends:  # a session told of its end even where an event was under way
                        await asyncio.sleep(0)
                    assert len(side.ends) == 1

        def sync() -> None:
            asyncio.run(run())

        sync.__name__ = test.__name__
        return sync

    return decorate


def quick(**session: Any) -> MqttLimits:
    return MqttLimits(session=SessionLimits(**session), write_seconds=0.1, linger_seconds=0.1)


@connected(stand=False)
async def test_a_hub_is_told_who_connects(device: Device, hub: Hub) -> None:
    device.send(connect("device", HUB_USER, "token"))
    assert await device.said() == Said(0x20, b"\0\0")
    ((asked, name, peer),) = hub.asked
    assert (asked.client_id, asked.user_name) == ("device", HUB_USER)
    assert name == HubName("127.0.0.1", "device", None, {"api-version": "2021-04-12"})
    assert peer == Peer("127.0.0.9", (), "Mqtt")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(ConnectRefused(5, "no"), 5), (ServiceUnavailable(), 3), (ZeroDivisionError(), 3)],
    ids=lambda value: type(value).__name__,
)
def test_a_connect_that_is_not_opened_has_an_answer(refusal: Exception, code: int) -> None:
    @connected(quick(), stand=False)
    async def run(device: Device, hub: Hub) -> None:
        hub.refusal = refusal
        device.send(connect("device", HUB_USER, "token"))
        assert await device.said() == Said(0x20, bytes((0, code)))
        await device.ended()

    run()


@connected(stand=False)
async def test_a_connection_lost_while_it_opens_is_told_to_its_side(device: Device, hub: Hub) -> None:
    hub.gate.clear()
    device.send(connect("device", HUB_USER, "token"))
    while not hub.asked:
        await asyncio.sleep(0)
    device.protocol.connection_lost(None)
    hub.gate.set()
    while not hub.sides or not hub.sides[0].ends:
        await asyncio.sleep(0)
    assert hub.sides[0].ends == [False]


@connected()
async def test_a_disconnect_is_orderly_and_a_loss_is_not(device: Device, hub: Hub) -> None:
    device.send(DISCONNECT)
    await device.ended()
    assert hub.sides[0].ends == [True]
    assert not device.wire.aborted


@connected()
async def test_a_side_pushes_when_it_likes_and_hears_of_delivery(device: Device, hub: Hub) -> None:
    side = hub.sides[0]
    assert not side.outlet.publish("a/b", b"early")
    device.send(subscribe("a/#"))
    assert (await device.said()).first == 0x90
    assert side.outlet.publish("a/b", b"1", 1, "first")
    pushed = await device.said()
    assert (pushed.first, pushed.topic, pushed.number) == (0x32, "a/b", 1)
    device.send(b"\x40\x02\x00\x01")
    while not side.events or side.events[-1] != Delivered("first"):
        await asyncio.sleep(0)
    side.outlet.close("enough")
    await device.ended()
    assert side.ends == [False]
    assert not side.outlet.publish("a/b", b"late")


@connected()
async def test_a_client_that_does_not_read_is_told_nothing_more_and_read_no_more(device: Device, hub: Hub) -> None:
    side = hub.sides[0]
    device.send(subscribe("a"))
    await device.said()
    device.protocol.pause_writing()
    assert not side.outlet.publish("a", b"")
    device.send(*[publish("t", bytes(200), number=number) for number in range(1, 4)])
    assert not device.wire.reading
    assert len(side.events) == 1
    device.protocol.resume_writing()
    assert [(await device.said()).number for _ in range(3)] == [1, 2, 3]
    assert device.wire.reading
    assert side.outlet.publish("a", b"")


@connected(quick())
async def test_a_client_that_does_not_read_for_long_is_cut_off(device: Device, hub: Hub) -> None:
    device.protocol.pause_writing()
    await device.ended()
    assert device.wire.aborted


@connected()
async def test_reading_stops_while_a_packet_waits_behind_the_one_that_is_handled(device: Device, hub: Hub) -> None:
    side = hub.sides[0]
    side.gate.clear()
    device.send(publish("t", b"1", number=1))
    await side.reached.wait()
    device.send(publish("t", bytes(200), number=2))
    assert device.wire.reading
    device.send(publish("t", bytes(200), number=3))
    assert not device.wire.reading
    assert len(side.events) == 1, "one at a time"
    side.gate.set()
    assert [(await device.said()).number for _ in range(3)] == [1, 2, 3]
    device.send(PINGREQ)
    assert await device.said() == PINGRESP
    assert device.wire.reading


@connected()
async def test_an_error_inside_ends_the_session(device: Device, hub: Hub) -> None:
    device.send(publish("t", b"fail"))
    await device.ended()
    assert device.silent


@connected()
async def test_a_packet_longer_than_its_side_takes_ends_the_session(device: Device, hub: Hub) -> None:
    device.send(publish("t", bytes(300)))
    await device.ended()
    assert hub.sides[0].ends == [False]


@connected(quick(connect_seconds=0.1), stand=False)
async def test_a_connection_without_connect_is_closed_in_silence(device: Device, hub: Hub) -> None:
    device.send(b"\x10")
    await device.ended()
    assert device.silent


@connected(quick(packet_seconds=0.1))
async def test_a_packet_that_is_begun_must_end(device: Device, hub: Hub) -> None:
    device.send(b"\x30")
    await device.ended()


def test_keep_alive_is_enforced() -> None:
    async def run() -> None:
        async with Application() as app, asyncio.timeout(20):
            with Device(front_end(app, hub=Hub(), limits=quick(connect_seconds=0.2))) as device:
                device.send(connect("device", HUB_USER, None, keep_alive=1))
                assert (await device.said()).body == b"\0\0"
                started = asyncio.get_running_loop().time()
                await device.ended()
                assert 1.4 < asyncio.get_running_loop().time() - started < 4.0

    asyncio.run(run())


@connected(quick(connect_seconds=0.04, packet_seconds=0.04))
async def test_time_that_the_server_takes_is_not_held_against_the_client(device: Device, hub: Hub) -> None:
    """The watch looks several times while the publish is handled, and half a packet waits behind it."""
    side = hub.sides[0]
    side.gate.clear()
    device.send(publish("t", b"", number=7), b"\xc0")
    await side.reached.wait()
    until = asyncio.get_running_loop().time() + 0.2
    while asyncio.get_running_loop().time() < until:
        device.protocol.on_deadline()
        await asyncio.sleep(0.01)
    assert not device.wire.closed
    side.gate.set()
    assert (await device.said()).number == 7


@connected()
async def test_a_stopping_server_closes_idle_sessions(device: Device, hub: Hub) -> None:
    device.protocol.shutdown()
    await device.ended()
    assert hub.sides[0].ends == [False]


def test_many_devices_at_once() -> None:
    async def run() -> None:
        async with Application() as app, asyncio.timeout(60):
            front = front_end(app, options=ProvisioningOptions())
            key = (await app.enroll("device"))["attestation"]["symmetricKey"]["primaryKey"]
            token = app.device_token("device", key)

            async def one() -> str:
                with Device(front) as device:
                    device.send(connect("device", user_name("device"), token))
                    await device.said()
                    device.send(subscribe("$dps/registrations/res/#"))
                    await device.said()
                    status: str = (await device.ask(REGISTER)).json()["status"]
                    return status

            assert await asyncio.gather(*(one() for _ in range(50))) == ["assigned"] * 50
            assert not front.running

    asyncio.run(run())
