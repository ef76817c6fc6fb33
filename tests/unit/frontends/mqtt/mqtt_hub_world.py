"""An embedded hub behind the MQTT front end, without sockets, and what a service does to its devices. It must not know
what any test expects."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from captured import KEY
from mqtt_device import Device, Said, connect, front_end, packet, subscribe, text

from idscope.directory import EmbeddedHub, Snapshot
from idscope.embedded_hub import Delivery, DeviceAccess, Identities, Telemetry, Twins
from idscope.embedded_hub.documents import (
    AuthenticationMechanism,
    DeviceChange,
    SymmetricKey,
    TwinChange,
    X509Thumbprint,
)
from idscope.frontends.mqtt.front_end import MqttFrontEnd
from idscope.frontends.mqtt.hub import HubMqtt
from idscope.model.document import decode
from idscope.model.etag import ABSENT
from idscope.secret import Secret
from idscope.testing.application import Application, sas_token
from idscope.testing.certificates import CertificateMaker
from idscope.testing.manual_clock import ManualClock

HOST = "hub.local.test"
HUB = "h1"
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

    async def make(self, device_id: str, certificate: CertificateMaker | None = None) -> None:
        """A device that proves itself by the key of these tests, or by this certificate's thumbprint."""
        keys = SymmetricKey(primary_key=Secret(KEY), secondary_key=Secret(KEY))
        proof = AuthenticationMechanism(type="sas", symmetric_key=keys)
        if certificate is not None:
            thumbprint = X509Thumbprint(primary_thumbprint=hashlib.sha256(certificate.der_chain()[0]).hexdigest())
            proof = AuthenticationMechanism(type="selfSigned", x509_thumbprint=thumbprint)
        change = DeviceChange(authentication=proof)
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
async def served(path: Path, clock: ManualClock | None = None) -> AsyncIterator[Hub]:
    async with Application(clock=clock) as app:
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


def story(path: Path, tell: Callable[[Hub], Awaitable[None]], clock: ManualClock | None = None) -> None:
    async def within() -> None:
        async with asyncio.timeout(30), served(path, clock) as hub:
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
