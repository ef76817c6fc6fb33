"""The client side of every WebSocket that Microsoft's device SDKs opened, replayed: the upgrade is accepted with the
sub-protocol in the client's spelling, and the protocol inside gets the stream that the client meant. What the protocols
inside make of it, the tests of MQTT and AMQP say.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re

import pytest
from captured import Capture, load_captures
from websocket_tunnel import CUTS, ClientFrames, Cut
from websocket_wire import Connection, answer

CAPTURES = load_captures("MqttWs", "AmqpWs")
ACCEPTED = [one for one in CAPTURES if one.row.verdict != "404000"]
NOT_FOUND = [one for one in CAPTURES if one.row.verdict == "404000"]


def by_name(one: Capture) -> str:
    return one.name


def header(message: bytes, name: bytes) -> bytes:
    found = re.findall(rb"\r\n" + name + rb": *([^\r]*)", message, re.IGNORECASE)
    assert len(found) == 1, f"{name!r} stands {len(found)} times in {message!r}"
    return bytes(found[0])


def test_every_sdk_and_both_subprotocols_are_here() -> None:
    offered = {(one.name.partition("-")[0], header(one.upgrade, b"sec-websocket-protocol")) for one in CAPTURES}
    amqp = {(sdk, b"AMQPWSB10") for sdk in ("c", "java", "node")}
    mqtt = {(sdk, b"mqtt") for sdk in ("hub", "java", "node", "python")}
    assert offered == amqp | mqtt | {("c", b"MQTT")}


@pytest.mark.parametrize("capture", ACCEPTED, ids=by_name)
def test_the_upgrade_is_answered_as_the_client_needs_it(capture: Capture) -> None:
    async def run() -> tuple[Connection, bytes]:
        connection = Connection()
        connection.feed(capture.upgrade)
        return connection, connection.wire.take()

    connection, head = asyncio.run(run())
    offered = header(capture.upgrade, b"sec-websocket-protocol")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert head.endswith(b"\r\n\r\n")
    assert header(head, b"sec-websocket-protocol") == offered  # rule 11: in the client's case
    assert connection.name == {"mqtt": "mqtt", "amqpwsb10": "AMQPWSB10"}[offered.decode().lower()]
    key = header(capture.upgrade, b"sec-websocket-key") + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    assert header(head, b"sec-websocket-accept") == base64.b64encode(hashlib.sha1(key, usedforsecurity=False).digest())
    assert header(head, b"upgrade").lower() == b"websocket"
    assert header(head, b"connection").lower() == b"upgrade"
    assert b"sec-websocket-extensions" not in head.lower()  # Node and Python offer compression


@pytest.mark.parametrize("capture", ACCEPTED, ids=by_name)
def test_the_stream_is_what_the_client_meant(capture: Capture) -> None:
    assert asyncio.run(replay(capture, capture.frames)) == capture.stream


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("capture", ACCEPTED, ids=by_name)
def test_however_it_is_cut_it_is_the_same_stream(capture: Capture, cut: Cut) -> None:
    assert asyncio.run(replay(capture, tuple(cut(capture.framed)))) == capture.stream


@pytest.mark.parametrize("capture", ACCEPTED, ids=by_name)
def test_what_comes_with_the_request_is_not_lost(capture: Capture) -> None:
    async def run() -> bytes:
        connection = Connection()
        connection.feed(capture.upgrade + capture.framed)
        assert connection.inside is not None
        return bytes(connection.inside.received)

    assert asyncio.run(run()) == capture.stream


@pytest.mark.parametrize("name", ["c-dps/007-443.txt", "java-dps/009-443.txt", "node-dps/012-443.txt"])
def test_cut_at_every_position_gives_the_same_stream(name: str) -> None:
    capture = next(one for one in CAPTURES if one.name == name)
    whole = capture.upgrade + capture.framed

    async def run() -> None:
        for position in range(1, len(whole)):
            connection = Connection()
            connection.feed(whole[:position])
            connection.feed(whole[position:])
            assert connection.inside is not None
            assert connection.inside.received == capture.stream, position

    asyncio.run(run())


@pytest.mark.parametrize("capture", [one for one in ACCEPTED if one.name.startswith("node-dps/0")], ids=by_name)
def test_a_client_that_closes_is_answered_in_kind(capture: Capture) -> None:
    async def run() -> tuple[list[tuple[int, bytes]], bool]:
        connection = Connection()
        await connection.open(capture.upgrade)
        connection.feed(capture.framed)
        return await connection.frames(), connection.wire.closed

    assert asyncio.run(run()) == ([(8, b"")], True)  # Node's close frame has no code


@pytest.mark.parametrize("capture", [one for one in ACCEPTED if one.sent], ids=by_name)
def test_frames_made_again_around_the_same_words_are_the_captured_ones(capture: Capture) -> None:
    for said in (capture.sent, [capture.stream]):
        frames = ClientFrames(capture.frames, said)
        assert b"".join(frame for part in said for frame in frames.around(part)) in (
            capture.framed,
            b"".join(capture.frames[:-1]),  # Node ends with a close frame
        )


def test_a_path_that_no_sdk_means_is_the_routers() -> None:
    (capture,) = NOT_FOUND

    async def run() -> Connection:
        connection = Connection()
        assert (await answer(connection, capture.upgrade)).startswith(b"HTTP/1.1 204 ")
        return connection

    assert asyncio.run(run()).requests == ["/:10443/$iothub/websocket"]


async def replay(capture: Capture, pieces: tuple[bytes, ...]) -> bytes:
    connection = Connection()
    inside = await connection.open(capture.upgrade)
    for piece in pieces:
        connection.feed(piece)
    assert inside.told == ["made"]
    connection.lose()
    assert inside.told == ["made", "lost"]
    return bytes(inside.received)
