"""MQTT over real TLS on a real listener: what a session in memory cannot show."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import pytest
from listening import PATIENCE, Listening, listening

from idscope.frontends.mqtt.connection import MqttProtocol
from idscope.frontends.mqtt.front_end import MqttFrontEnd
from idscope.frontends.mqtt.provisioning import Provisioning
from idscope.testing.application import ID_SCOPE, Application

USER = f"{ID_SCOPE}/registrations/device/api-version=2019-03-31"
SUBSCRIBE = b"\x82\x1d\0\1\0\x18$dps/registrations/res/#\1"
REGISTER = b"$dps/registrations/PUT/iotdps-register/?$rid=1"


class MqttServer:
    """An application behind an MQTT listener; its front end is made once the loop runs."""

    def __init__(self) -> None:
        self.app = Application()
        self.front_end: MqttFrontEnd | None = None
        self.token = ""

    def make_protocol(self) -> MqttProtocol:
        assert self.front_end is not None
        return self.front_end.protocol_factory()

    async def start(self) -> None:
        await self.app.__aenter__()
        key = (await self.app.enroll("device"))["attestation"]["symmetricKey"]["primaryKey"]
        self.token = self.app.device_token("device", key)
        self.front_end = MqttFrontEnd(Provisioning(self.app.workflow, self.app.clock))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MqttServer, Listening]]:
    server = MqttServer()
    with listening(tmp_path_factory.mktemp("mqtt"), factory=server.make_protocol) as listener:
        asyncio.run_coroutine_threadsafe(server.start(), listener.loop).result(PATIENCE)
        yield server, listener
        asyncio.run_coroutine_threadsafe(server.app.__aexit__(), listener.loop).result(PATIENCE)


def connect(client_id: str, password: str, user_name: str = USER) -> bytes:
    fields = b"".join(len(field).to_bytes(2, "big") + field.encode() for field in (client_id, user_name, password))
    body = b"\0\4MQTT\4\xc2\0\0" + fields
    return b"\x10" + bytes((len(body) & 0x7F | 0x80, len(body) >> 7)) + body


def publish(topic: bytes) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + b"\0\2"
    return b"\x32" + bytes((len(body),)) + body


def until_end(device: ssl.SSLSocket) -> bytes:
    received = b""
    while part := device.recv(65_536):
        received += part
    return received


def test_a_whole_session_in_one_write(served: tuple[MqttServer, Listening]) -> None:
    server, listener = served
    with listener.tls() as device:
        device.sendall(connect("device", server.token) + SUBSCRIBE + publish(REGISTER) + b"\xe0\0")
        said = until_end(device)
    assert said.startswith(b"\x20\x02\0\0\x90\x03\0\1\1\x40\x02\0\2\x32")
    assert b"$dps/registrations/res/200/?$rid=1" in said
    assert b'"status":"assigned"' in said


def test_a_refusal_reaches_a_client_that_is_still_sending(served: tuple[MqttServer, Listening]) -> None:
    server, listener = served
    with listener.tls() as device:
        device.sendall(connect("another", server.token))
        device.sendall(SUBSCRIBE * 100)
        assert until_end(device) == b"\x20\x02\0\5"


def test_garbage_ends_the_connection(served: tuple[MqttServer, Listening]) -> None:
    with served[1].tls() as device:
        device.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert until_end(device) == b""


def test_sessions_that_are_lost_leave_nothing_behind(served: tuple[MqttServer, Listening]) -> None:
    server, listener = served
    for _ in range(20):
        with listener.tls() as device:
            device.sendall(connect("device", server.token) + SUBSCRIBE + publish(REGISTER))
            device.recv(4)

    front_end = server.front_end
    assert front_end is not None
    listener.until(lambda: listener.listener.connections == 0 and not front_end.running)
