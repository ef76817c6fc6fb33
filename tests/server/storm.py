"""Owns many clients at once against one server: each plays a script and comes to one of three ends. It must not know
which end is the right one.

    SERVED     the script was played to its end
    REFUSED    the server ended the connection before
    HANGING    neither happened in time
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple

from bench.load import Step
from bench.provisioning import Requests

from bench import amqp_scripts, mqtt_scripts
from idscope.testing.server import ServerProcess

PATIENCE = 30.0
UPGRADE = (
    b"GET /$iothub/websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)


class End(Enum):
    """How a client fared."""

    SERVED = auto()
    REFUSED = auto()
    HANGING = auto()


class Outcome(NamedTuple):
    end: End
    seconds: float


class Wire(NamedTuple):
    """A way to the server: the name of its port in the ready file, and what a device says there to be registered."""

    port: str
    visit: Callable[[Requests, str], Sequence[Step]]


def over_https(requests: Requests, device: str) -> Sequence[Step]:
    return [Step(requests.register(device), b'"status":"assigned"')]


def over_mqtt(requests: Requests, device: str) -> Sequence[Step]:
    return mqtt_scripts.registration(requests.identity(device), requests.device_token(device))


def over_mqtt_in_websocket(requests: Requests, device: str) -> Sequence[Step]:
    return in_websocket(over_mqtt(requests, device))


def over_amqp(requests: Requests, device: str) -> Sequence[Step]:
    return amqp_scripts.registration(requests.identity(device), requests.device_token(device), requests.host)


WIRES = {
    "Https": Wire("https_port", over_https),
    "Mqtt": Wire("mqtt_port", over_mqtt),
    "MqttWs": Wire("https_port", over_mqtt_in_websocket),
    "Amqp": Wire("amqp_port", over_amqp),
}


def in_websocket(script: Sequence[Step]) -> list[Step]:
    """The same script, each of its words a frame, behind the upgrade."""
    return [Step(UPGRADE, b"\r\n\r\n"), *(Step(_frame(say) if say else b"", until) for say, until in script)]


def _frame(payload: bytes) -> bytes:
    """Binary, masked with zeros."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x82" + length + b"\0\0\0\0" + payload


class Client:
    """One TLS connection and what came on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._received = b""

    @classmethod
    async def connect(cls, server: ServerProcess, wire: Wire) -> Client:
        """Raises OSError."""
        port = int(server.ready.document[wire.port])
        return cls(*await asyncio.open_connection(server.address, port, ssl=_context()))

    async def play(self, script: Iterable[Step]) -> None:
        """Raises EOFError where the server ends the connection before the script does."""
        for say, until in script:
            self.writer.write(say)
            while until not in self._received:
                part = await self.reader.read(65_536)
                if not part:
                    raise EOFError
                self._received += part
            self._received = self._received.partition(until)[2] if until else self._received

    def drop(self) -> None:
        """Without a goodbye."""
        self.writer.transport.abort()


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def visit(server: ServerProcess, wire: Wire, script: Sequence[Step]) -> Outcome:
    """One client from its connect to its end."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            client = await Client.connect(server, wire)
            try:
                await client.play(script)
            finally:
                client.drop()
        end = End.SERVED
    except TimeoutError:
        end = End.HANGING
    except (OSError, EOFError):
        end = End.REFUSED
    return Outcome(end, time.monotonic() - started)


async def storm(server: ServerProcess, wire: Wire, scripts: Iterable[Sequence[Step]]) -> list[Outcome]:
    """All at once."""
    return await asyncio.gather(*(visit(server, wire, script) for script in scripts))
