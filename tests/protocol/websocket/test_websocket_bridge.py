"""One WebSocket from its upgrade to its end, over a transport that keeps what is written: the protocol inside sees a
stream, the client sees frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from websocket_wire import CHAIN, REQUEST, Connection, Echo, Inside, answer, client_frame

from idscope.frontends.websocket import WebSocketLimits
from idscope.frontends.websocket.endpoints import WebSocketEndpoints

Run = Callable[[], Coroutine[Any, Any, None]]


def drive(run: Run) -> None:
    """Runs it on a loop of its own."""
    asyncio.run(run())


# The upgrade


def test_the_101_has_what_every_answer_has() -> None:
    async def run() -> None:
        head = (await answer(Connection(), REQUEST)).lower()
        assert b"\r\nsec-websocket-accept: s3ppLMBiTxaQ9kYGzzhZRbK+xOo=".lower() in head  # RFC 6455, 1.3
        for name in (b"strict-transport-security", b"x-ms-request-id", b"date"):
            assert b"\r\n" + name + b": " in head

    drive(run)


@pytest.mark.parametrize(
    ("old", "new", "status", "code"),
    [
        (b"Protocol: mqtt", b"Protocol: mqttv3.1", 400, 400004),
        (b"Sec-WebSocket-Protocol: mqtt\r\n", b"", 400, 400004),
        (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: x", 400, 400004),
        (b"Version: 13", b"Version: 8", 426, 426000),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426, 426000),
        (b"GET ", b"DELETE ", 400, 400004),
    ],
)
def test_a_wrong_handshake_gets_an_error_in_json(old: bytes, new: bytes, status: int, code: int) -> None:
    async def run() -> None:
        connection = Connection()
        assert REQUEST.count(old) == 1
        answered = await answer(connection, REQUEST.replace(old, new))
        head, _, body = answered.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert json.loads(body)["errorCode"] == code
        assert (b"sec-websocket-version: 13" in head.lower()) is (status == 426)
        assert connection.inside is None
        assert connection.requests == []
        await connection.open()  # the connection goes on, and another try may succeed

    drive(run)


def test_http_1_0_cannot_be_upgraded() -> None:
    async def run() -> None:
        answered = await answer(Connection(), REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert answered.startswith(b"HTTP/1.1 400 ")

    drive(run)


@pytest.mark.parametrize(
    "target",
    [b"/", b"/mqtt", b"/MQTT/?x=y", b"/$iothub/websocket?iothub-no-client-cert=true", b"https://a/mqtt", b"https://a"],
)
def test_every_target_that_clients_send(target: bytes) -> None:
    async def run() -> None:
        await Connection().open(REQUEST.replace(b"/$iothub/websocket", target))

    drive(run)


@pytest.mark.parametrize("target", [b"/x", b"/0ne00000000/registrations/d/register", b"/mqtt/x"])
def test_on_other_paths_it_is_an_ordinary_request(target: bytes) -> None:
    async def run() -> None:
        connection = Connection()
        request = REQUEST.replace(b"/$iothub/websocket", target)
        assert (await answer(connection, request)).startswith(b"HTTP/1.1 204 ")
        assert connection.requests == [target.decode()]

    drive(run)


def test_where_no_subprotocol_is_configured_it_is_an_ordinary_request() -> None:
    async def run() -> None:
        connection = Connection(known=None)
        assert (await answer(connection, REQUEST)).startswith(b"HTTP/1.1 204 ")

    drive(run)


def test_without_tls_there_is_no_websocket() -> None:
    async def run() -> None:
        assert (await answer(Connection(secure=False), REQUEST)).startswith(b"HTTP/1.1 400 ")

    drive(run)


def test_an_upgrade_follows_answered_requests_but_does_not_overtake() -> None:
    get = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"

    async def run() -> None:
        connection = Connection()
        assert (await answer(connection, get)).startswith(b"HTTP/1.1 204 ")
        answered = await answer(connection, get + REQUEST)
        assert answered.startswith(b"HTTP/1.1 204 ")
        assert b"HTTP/1.1 400 " in answered
        await connection.open()

    drive(run)


def test_the_inside_knows_who_is_outside() -> None:
    async def run() -> None:
        inside = await Connection().open()
        known = inside.transport.get_extra_info
        assert known("websocket") is True
        assert known("client_certificate_chain") == CHAIN
        assert known("peername") == ("127.0.0.9", 40000)
        assert known("tls_version") == "TLSv1.3"
        assert known("nothing", "default") == "default"

    drive(run)


# The stream


def test_what_is_written_in_one_turn_leaves_in_one_frame() -> None:
    async def run() -> None:
        connection = Connection()
        inside = await connection.open()
        writes = connection.wire.writes
        inside.transport.write(b"a")
        inside.transport.writelines([b"b", bytearray(b"c"), memoryview(b"d"), b""])
        assert inside.transport.get_write_buffer_size() == 4
        assert connection.wire.writes == writes
        assert await connection.frames() == [(2, b"abcd")]
        inside.transport.write(b"e")
        assert await connection.frames() == [(2, b"e")]

    drive(run)


def test_an_answer_leaves_with_what_it_answers() -> None:
    async def run() -> None:
        connection = Connection(Echo)
        await connection.open()
        connection.feed(client_frame(b"a") + client_frame(b"b"))
        assert connection.wire.take() == b"\x82\x02ab"
        assert await connection.frames() == []

    drive(run)


def test_long_writes_are_cut_into_frames() -> None:
    async def run() -> None:
        connection = Connection(limits=WebSocketLimits(sent_frame_bytes=100))
        inside = await connection.open()
        inside.transport.write(bytes(250))
        assert await connection.frames() == [(2, bytes(100)), (2, bytes(100)), (2, bytes(50))]

    drive(run)


def test_flow_control_reaches_through_in_both_directions() -> None:
    async def run() -> None:
        connection = Connection()
        inside = await connection.open()
        inside.transport.pause_reading()
        assert not connection.wire.is_reading()
        assert not inside.transport.is_reading()
        inside.transport.resume_reading()
        assert connection.wire.is_reading()
        connection.wire.protocol.pause_writing()
        connection.wire.protocol.resume_writing()
        assert inside.told == ["made", "pause", "resume"]

    drive(run)


def test_pings_of_a_client_that_does_not_read_do_not_pile_up() -> None:
    async def run() -> None:
        connection = Connection()
        await connection.open()
        connection.feed(client_frame(b"first", 9))
        assert await connection.frames() == [(10, b"first")]
        connection.wire.protocol.pause_writing()
        for at in range(1000):
            connection.feed(client_frame(b"%d" % at, 9))
        assert await connection.frames() == []
        connection.wire.protocol.resume_writing()
        assert await connection.frames() == [(10, b"999")]
        connection.wire.protocol.pause_writing()
        connection.wire.protocol.resume_writing()
        assert await connection.frames() == []

    drive(run)


# The end


def test_a_close_from_inside_says_what_was_written_and_waits_for_the_client() -> None:
    async def run() -> None:
        connection = Connection()
        inside = await connection.open()
        inside.transport.pause_reading()
        inside.transport.write(b"last")
        inside.transport.close()
        inside.transport.write(b"lost")
        inside.transport.close()
        assert inside.transport.is_closing()
        assert await connection.frames() == [(2, b"last"), (8, b"\x03\xe8")]
        assert connection.wire.reading
        assert not connection.wire.finished
        connection.feed(client_frame(b"thrown away") + client_frame(b"ping", 9))
        assert inside.received == b""
        connection.feed(client_frame(b"\x03\xe8", 8))
        assert await connection.frames() == []
        assert connection.wire.closed
        assert not connection.wire.aborted

    drive(run)


def test_a_close_from_the_client_is_answered_after_what_was_written() -> None:
    async def run() -> None:
        connection = Connection(Echo)
        inside = await connection.open()
        connection.feed(client_frame(b"a") + client_frame(b"\x0f\xa0reason", 8) + client_frame(b"b"))
        assert await connection.frames() == [(2, b"a"), (8, b"\x0f\xa0")]
        assert connection.wire.closed
        assert inside.received == b"a"
        inside.transport.write(b"late")
        assert await connection.frames() == []
        connection.lose()
        assert inside.told == ["made", "lost"]

    drive(run)


@pytest.mark.parametrize(("broken", "code"), [(client_frame(b"a", 1), 1003), (b"\x82\x01a", 1002)])
def test_a_client_that_breaks_the_protocol_is_told_so(broken: bytes, code: int) -> None:
    async def run() -> None:
        connection = Connection(Echo)
        inside = await connection.open()
        connection.feed(client_frame(b"a") + broken + client_frame(b"b"))
        (first, second) = await connection.frames()
        assert first == (2, b"a")
        assert second[0] == 8
        assert int.from_bytes(second[1][:2], "big") == code
        assert connection.wire.finished
        assert not connection.wire.closed  # it is still read, so that the close frame arrives
        connection.feed(bytes(100_000))
        assert inside.received == b"a"
        assert inside.transport.is_closing()

    drive(run)


def test_a_frame_over_the_limit_is_1009() -> None:
    async def run() -> None:
        connection = Connection()
        await connection.open()
        connection.feed(b"\x82\xff" + (256 * 1024 + 1).to_bytes(8, "big"))
        ((opcode, payload),) = await connection.frames()
        assert (opcode, payload[:2]) == (8, b"\x03\xf1")

    drive(run)


def test_an_end_without_a_close_frame_ends_the_inside() -> None:
    async def run() -> None:
        connection = Connection()
        inside = await connection.open()
        inside.transport.write(b"a")
        assert connection.wire.protocol.eof_received() is False
        assert await connection.frames() == [(2, b"a")]
        connection.lose()
        inside.transport.write(b"late")
        inside.transport.close()
        inside.transport.abort()
        assert await connection.frames() == []
        assert inside.told == ["made", "lost"]

    drive(run)


def test_abort_loses_what_is_not_sent() -> None:
    async def run() -> None:
        connection = Connection()
        inside = await connection.open()
        inside.transport.write(b"a")
        inside.transport.abort()
        assert await connection.frames() == []
        assert connection.wire.aborted

    drive(run)


class Finishing(Inside):
    """Finishes something before it closes."""

    def shutdown(self) -> None:
        self.told.append("shutdown")


def test_drain_asks_the_inside_and_then_goes_away() -> None:
    async def run() -> None:
        connection = Connection(Finishing)
        inside = await connection.open()
        connection.wire.protocol.shutdown()
        assert inside.told == ["made", "shutdown"]
        assert await connection.frames() == []
        inside.transport.write(b"done")
        inside.transport.close()
        assert await connection.frames() == [(2, b"done"), (8, b"\x03\xe9")]
        connection.wire.protocol.shutdown()
        assert inside.told == ["made", "shutdown"]

    drive(run)


def test_drain_of_an_inside_that_knows_none() -> None:
    async def run() -> None:
        connection = Connection()
        await connection.open()
        connection.wire.protocol.shutdown()
        assert await connection.frames() == [(8, b"\x03\xe9")]

    drive(run)


def test_a_protocol_inside_may_close_at_once() -> None:
    class Refusing(Inside):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            transport.close()

    async def run() -> None:
        connection = Connection(Refusing)
        connection.feed(REQUEST + client_frame(b"a"))
        assert connection.wire.take().endswith(b"\r\n\r\n\x88\x02\x03\xe8")
        connection.feed(client_frame(b"\x03\xe8", 8))
        assert connection.wire.closed
        assert connection.inside is not None
        assert connection.inside.received == b""

    drive(run)


@pytest.mark.parametrize("how", ["close", "write", "break"])
def test_a_client_that_does_not_go_on_is_cut(how: str) -> None:
    limits = WebSocketLimits(close_seconds=0.01, write_seconds=0.01)

    async def run() -> None:
        connection = Connection(limits=limits)
        inside = await connection.open()
        if how == "close":
            inside.transport.close()
        elif how == "write":
            connection.wire.protocol.pause_writing()
        else:
            connection.feed(b"\xff\xff")
        loop = asyncio.get_running_loop()
        give_up = loop.time() + 10
        while not connection.wire.aborted:
            assert loop.time() < give_up
            await asyncio.sleep(0.001)

    drive(run)


def test_the_inside_may_be_exchanged() -> None:
    async def run() -> None:
        connection = Connection()
        inside = await connection.open()
        other: Any = Echo()
        other.transport = inside.transport
        inside.transport.set_protocol(other)
        assert inside.transport.get_protocol() is other
        connection.feed(client_frame(b"a"))
        assert other.received == b"a"

    drive(run)


def test_names_of_subprotocols_compare_without_case() -> None:
    async def run() -> None:
        endpoints = WebSocketEndpoints({"Mqtt": Inside})
        headers = [
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-protocol", b"MQTT"),
        ]
        assert isinstance(endpoints.accept("GET", "1.1", headers, ()).get_inner(), Inside)

    drive(run)
