"""A device that speaks MQTT to a front end over a transport in memory. It must not know what the answers should be; its
own codec is a second one, so that the code under test does not judge itself."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from captured import Capture
from websocket_tunnel import Cut, Tunnel, whole

from idscope.frontends.mqtt.front_end import MqttFrontEnd, MqttLimits
from idscope.frontends.mqtt.provisioning import Provisioning, ProvisioningOptions
from idscope.frontends.mqtt.side import HubDoor
from idscope.testing.application import ID_SCOPE, Application

PATIENCE = 10.0
ANSWERS = "$dps/registrations/res/#"
REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid=r1"


def front_end(
    app: Application,
    *,
    options: ProvisioningOptions | None = None,
    limits: MqttLimits | None = None,
    hub: HubDoor | None = None,
) -> MqttFrontEnd:
    return MqttFrontEnd(Provisioning(app.workflow, app.clock, options), hub=hub, limits=limits)


# The device's own codec


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def packet(first: int, body: bytes) -> bytes:
    length, header = len(body), bytearray((first,))
    while True:
        length, low = divmod(length, 128)
        header.append(low | (0x80 if length else 0))
        if not length:
            return bytes(header) + body


def connect(
    client_id: str, user_name: str | None, password: str | None, *, level: int = 4, keep_alive: int = 0
) -> bytes:
    flags = 0x02 | (0x80 if user_name is not None else 0) | (0x40 if password is not None else 0)
    body = text("MQTT") + bytes((level, flags)) + struct.pack(">H", keep_alive) + text(client_id)
    for field in (user_name, password):
        if field is not None:
            body += text(field)
    return packet(0x10, body)


def subscribe(topic: str, qos: int = 1) -> bytes:
    return packet(0x82, b"\0\1" + text(topic) + bytes((qos,)))


def publish(topic: str, body: bytes = b"", *, number: int = 2) -> bytes:
    return packet(0x32, text(topic) + struct.pack(">H", number) + body)


DISCONNECT = b"\xe0\x00"


def split(stream: bytes) -> list[bytes]:
    """The packets of a stream, each whole; what is left over is the last."""
    found = []
    while stream:
        length, place = 0, 1
        while True:
            length |= (stream[place] & 0x7F) << 7 * (place - 1)
            place += 1
            if stream[place - 1] < 0x80:
                break
        found.append(stream[: place + length])
        stream = stream[place + length :]
    return found


@dataclass(frozen=True)
class Said:
    """A packet of the server: its first byte, and what stands behind its length."""

    first: int
    body: bytes

    @property
    def topic(self) -> str:
        size = struct.unpack(">H", self.body[:2])[0]
        return self.body[2 : 2 + size].decode()

    @property
    def number(self) -> int:
        at = 2 + len(self.topic.encode()) if self.first >> 4 == 3 else 0
        return int(struct.unpack(">H", self.body[at : at + 2])[0])

    def json(self) -> Any:
        assert self.first == 0x32, "a PUBLISH with QoS 1, neither retained nor a duplicate"
        return json.loads(self.body[4 + len(self.topic.encode()) :])


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, chain: tuple[bytes, ...] = (), *, websocket: bool = False) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = self.aborted = self.finished = False
        self.reading = True
        self.changed = asyncio.Event()
        self._known = {"peername": ("127.0.0.9", 40000), "client_certificate_chain": chain, "websocket": websocket}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._known.get(name, default)

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        self.written += data
        self.changed.set()

    def close(self) -> None:
        self.closed = True
        self.changed.set()

    def finish_writing(self) -> None:
        self.finished = True
        self.close()

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Device:
    """One connection to a front end: `with Device(front) as device: device.send(…); await device.said()`.

    `tunnel` makes what stands between the transport and the protocol that it is given the factory of.
    """

    def __init__(
        self,
        front: MqttFrontEnd,
        chain: tuple[bytes, ...] = (),
        *,
        websocket: bool = False,
        tunnel: Callable[[Callable[[], asyncio.Protocol]], Any] | None = None,
    ) -> None:
        self.wire = Wire(chain, websocket=websocket)
        self.protocol = front.protocol_factory() if tunnel is None else tunnel(front.protocol_factory)
        self._taken = 0

    def __enter__(self) -> Self:
        self.protocol.connection_made(self.wire)
        return self

    def __exit__(self, *_: object) -> None:
        self.protocol.connection_lost(None)

    def send(self, *packets: bytes) -> None:
        self.protocol.data_received(b"".join(packets))

    async def said(self) -> Said:
        """The server's next packet."""
        async with asyncio.timeout(PATIENCE):
            while not (waiting := split(bytes(self.wire.written[self._taken :]))):
                assert not self.wire.closed, "the connection ended"
                self.wire.changed.clear()
                await self.wire.changed.wait()
        self._taken += len(waiting[0])
        return Said(waiting[0][0], waiting[0][_header(waiting[0]) :])

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.wire.closed:
                self.wire.changed.clear()
                await self.wire.changed.wait()

    @property
    def silent(self) -> bool:
        return len(self.wire.written) == self._taken

    async def connect(self, registration_id: str, token: str | None, **options: Any) -> Said:
        self.send(connect(registration_id, user_name(registration_id), token, **options))
        return await self.said()

    async def ask(self, topic: str = REGISTER, body: bytes = b"") -> Said:
        """The answer to a publish, which the PUBACK precedes."""
        self.send(publish(topic, body))
        acknowledged = await self.said()
        assert (acknowledged.first, acknowledged.number) == (0x40, 2)
        return await self.said()

    async def stand(self, registration_id: str, token: str | None) -> None:
        """Connected and subscribed."""
        assert (await self.connect(registration_id, token)).body == b"\0\0"
        self.send(subscribe(ANSWERS))
        assert await self.said() == Said(0x90, b"\0\1\1")


def _header(whole: bytes) -> int:
    size = 2
    while whole[size - 1] >= 0x80:
        size += 1
    return size


def user_name(registration_id: str, *, id_scope: str = ID_SCOPE, version: str = "2019-03-31") -> str:
    return f"{id_scope}/registrations/{registration_id}/api-version={version}&ClientVersion=test"


# Captured bytes


def captured_device(
    app: Application, front: MqttFrontEnd, capture: Capture, chain: tuple[bytes, ...], cut: Cut
) -> tuple[Device, Cut]:
    """A device, and how to cut what it sends: in a WebSocket the frames are cut, not the packets in them."""
    if not capture.upgrade:
        return Device(front, chain), cut
    tunnel = functools.partial(Tunnel, app, capture, split(capture.stream), cut)
    return Device(front, chain, tunnel=tunnel), whole


_OPERATION = re.compile(rb"(?<=&operationId=)[^&]+")


def topic_of(sent: bytes) -> str:
    """Of a PUBLISH."""
    return Said(sent[0], sent[_header(sent) :]).topic


def with_operation_id(sent: bytes, operation_id: str) -> bytes:
    """The poll asking for the operation that this server made, not for the stand-in's."""
    body = sent[_header(sent) :]
    size = struct.unpack(">H", body[:2])[0]
    topic = _OPERATION.sub(operation_id.encode(), body[2 : 2 + size])
    return packet(sent[0], text(topic) + body[2 + size :])
