"""The client side of every WebSocket that Microsoft's device SDKs opened, replayed: the upgrade is accepted with the
sub-protocol in the client's spelling, and the protocol inside gets the stream that the client meant.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import tomllib
from pathlib import Path

import pytest
from websocket_wire import Capture, Connection, answer, load_captures

CAPTURES = load_captures()
TABLE = tomllib.loads((Path(__file__).parent / "captures" / "captures.toml").read_text())["capture"]
EXPECTED = {row["file"]: row for row in TABLE}
ACCEPTED = [one for one in CAPTURES if EXPECTED[one.name]["verdict"] == "switched"]
NOT_FOUND = [one for one in CAPTURES if EXPECTED[one.name]["verdict"] == "not found"]


def by_name(one: Capture) -> str:
    return one.name


def header(message: bytes, name: bytes) -> bytes:
    found = re.findall(rb"\r\n" + name + rb": *([^\r]*)", message, re.IGNORECASE)
    assert len(found) == 1, f"{name!r} stands {len(found)} times in {message!r}"
    return bytes(found[0])


def test_every_capture_has_a_row_and_every_row_a_capture() -> None:
    assert [row["file"] for row in TABLE] == [one.name for one in CAPTURES]
    assert [len(ACCEPTED), len(NOT_FOUND)] == [29, 1]


def test_every_sdk_and_both_subprotocols_are_here() -> None:
    offered = {(one.name.partition("-")[0], header(one.request, b"sec-websocket-protocol")) for one in CAPTURES}
    amqp = {(sdk, b"AMQPWSB10") for sdk in ("c", "java", "node")}
    mqtt = {(sdk, b"mqtt") for sdk in ("hub", "java", "node", "python")}
    assert offered == amqp | mqtt | {("c", b"MQTT")}


@pytest.mark.parametrize("capture", ACCEPTED, ids=by_name)
def test_the_upgrade_is_answered_as_the_client_needs_it(capture: Capture) -> None:
    async def run() -> tuple[Connection, bytes]:
        connection = Connection()
        connection.feed(capture.request)
        return connection, connection.wire.take()

    connection, head = asyncio.run(run())
    offered = EXPECTED[capture.name]["subprotocol"].encode()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert head.endswith(b"\r\n\r\n")
    assert header(head, b"sec-websocket-protocol") == offered  # rule 11: in the client's case
    assert connection.name == {"mqtt": "mqtt", "amqpwsb10": "AMQPWSB10"}[offered.decode().lower()]
    key = header(capture.request, b"sec-websocket-key") + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    assert header(head, b"sec-websocket-accept") == base64.b64encode(hashlib.sha1(key, usedforsecurity=False).digest())
    assert header(head, b"upgrade").lower() == b"websocket"
    assert header(head, b"connection").lower() == b"upgrade"
    assert b"sec-websocket-extensions" not in head.lower()  # Node and Python offer compression


@pytest.mark.parametrize("capture", ACCEPTED, ids=by_name)
def test_the_stream_is_what_the_client_meant(capture: Capture) -> None:
    assert asyncio.run(replay(capture, capture.pieces)) == capture.payload


@pytest.mark.parametrize("capture", ACCEPTED, ids=by_name)
def test_one_byte_at_a_time_gives_the_same_stream(capture: Capture) -> None:
    assert asyncio.run(replay(capture, tuple(bytes((byte,)) for byte in capture.stream))) == capture.payload


@pytest.mark.parametrize("capture", ACCEPTED, ids=by_name)
def test_what_comes_with_the_request_is_not_lost(capture: Capture) -> None:
    async def run() -> bytes:
        connection = Connection()
        connection.feed(capture.request + capture.stream)
        assert connection.inside is not None
        return bytes(connection.inside.received)

    assert asyncio.run(run()) == capture.payload


@pytest.mark.parametrize("name", ["c-dps/007-443.txt", "java-dps/009-443.txt", "node-dps/012-443.txt"])
def test_cut_at_every_position_gives_the_same_stream(name: str) -> None:
    capture = next(one for one in CAPTURES if one.name == name)
    whole = capture.request + capture.stream

    async def run() -> None:
        for position in range(1, len(whole)):
            connection = Connection()
            connection.feed(whole[:position])
            connection.feed(whole[position:])
            assert connection.inside is not None
            assert connection.inside.received == capture.payload, position

    asyncio.run(run())


@pytest.mark.parametrize("capture", [one for one in ACCEPTED if one.name.startswith("node-dps/0")], ids=by_name)
def test_a_client_that_closes_is_answered_in_kind(capture: Capture) -> None:
    async def run() -> tuple[list[tuple[int, bytes]], bool]:
        connection = Connection()
        await connection.open(capture.request)
        connection.feed(capture.stream)
        return await connection.frames(), connection.wire.closed

    assert asyncio.run(run()) == ([(8, b"")], True)  # Node's close frame has no code


def test_a_path_that_no_sdk_means_is_the_routers() -> None:
    (capture,) = NOT_FOUND

    async def run() -> Connection:
        connection = Connection()
        assert (await answer(connection, capture.request)).startswith(b"HTTP/1.1 204 ")
        return connection

    assert asyncio.run(run()).requests == ["/:10443/$iothub/websocket"]


async def replay(capture: Capture, pieces: tuple[bytes, ...]) -> bytes:
    connection = Connection()
    inside = await connection.open(capture.request)
    for piece in pieces:
        connection.feed(piece)
    assert inside.told == ["made"]
    connection.lose()
    assert inside.told == ["made", "lost"]
    return bytes(inside.received)
