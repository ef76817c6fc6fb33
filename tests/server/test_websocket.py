"""WebSockets on a real listener: other people's clients, back-pressure, drain, clients that vanish."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listening import PATIENCE, Listening, client_context, ends, listening, read_answer, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from idscope.frontends.websocket import WebSocketEndpoints, WebSocketLimits
from idscope.testing.certificates import CertificateMaker

LIMITS = WebSocketLimits(close_seconds=0.5, write_seconds=0.5)
UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)


class Echo:
    """Sends back what comes, and reads no more while it cannot; what it is told is kept in `all`."""

    all: list[Echo] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.transport: Any = None
        self.told: list[str] = []
        self.most = 0
        self.all.append(self)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data == b"close":
            self.transport.close()
            return
        if data == b"who":
            chain = self.transport.get_extra_info("client_certificate_chain")
            peer = self.transport.get_extra_info("peername")[0]
            data = f"{peer} {hashlib.sha256(chain[0]).hexdigest() if chain else ''}".encode()
        self.transport.write(data)
        self.most = max(self.most, self.transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        self.told.append("pause")
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.told.append("resume")
        self.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.told.append("lost")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with serving(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture
def server(running: Listening) -> Iterator[Listening]:
    Echo.all.clear()
    yield running
    running.forget_clients()
    assert all(one.told[-1:] == ["lost"] for one in Echo.all)


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[Listening]:
    """Its HTTP front end has WebSockets from its start."""
    with listening(directory) as server:
        endpoints: Any = {"mqtt": Echo, "AMQPWSB10": Echo}
        assert server.front_end is not None
        server.front_end.websocket = server.call(lambda: WebSocketEndpoints(endpoints, limits=LIMITS))
        yield server


@contextlib.contextmanager
def opened(server: Listening, path: str = "/mqtt", **options: Any) -> Iterator[ClientConnection]:
    context = options.pop("context", None) or client_context()
    options.setdefault("subprotocols", ["mqtt"])
    with connect(
        f"wss://{server.address}:{server.port}{path}", ssl=context, open_timeout=PATIENCE, proxy=None, **options
    ) as client:
        yield client


def raw(server: Listening, **options: Any) -> ssl.SSLSocket:
    """A client that does what it likes after the handshake."""
    client = server.tls(**options)
    client.sendall(UPGRADE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return client


def received(client: ClientConnection, length: int) -> bytes:
    """So many bytes, in however many messages."""
    data = b""
    while len(data) < length:
        message = client.recv(PATIENCE)
        assert isinstance(message, bytes)
        data += message
    return data


def test_the_websockets_client_talks_to_it(server: Listening) -> None:
    for offered, path in (("MQTT", "/"), ("mqtt", "/$iothub/websocket?x=y"), ("AMQPWSB10", "/$iothub/websocket")):
        with opened(server, path, subprotocols=[offered]) as client:
            assert client.subprotocol == offered
            assert client.protocol.extensions == []  # it offered compression
            for message in (b"a", bytes(200), bytes(70_000)):
                client.send(message)
                assert received(client, len(message)) == message
            client.send([b"in ", b"three ", b"fragments"])
            assert received(client, len(b"in three fragments")) == b"in three fragments"
            assert client.ping().wait(PATIENCE)
        assert client.close_code == 1000


def test_a_close_from_inside_reaches_the_client(server: Listening) -> None:
    with opened(server) as client:
        client.send(b"close")
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1000


def test_text_is_refused(server: Listening) -> None:
    with opened(server) as client:
        client.send("text")
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1003


def test_a_client_that_sends_too_much_reads_why(server: Listening) -> None:
    with opened(server) as client:
        with contextlib.suppress(ConnectionClosed):
            client.send(bytes(2_000_000))
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1009


def test_the_client_certificate_reaches_the_inside(server: Listening, tmp_path: Path) -> None:
    device = CertificateMaker.authority().device("d")
    expected = hashlib.sha256(device.der_chain()[0]).hexdigest()
    with opened(server, context=client_context(device.write(tmp_path, "d"))) as client:
        client.send(b"who")
        assert client.recv(PATIENCE) == f"127.0.0.1 {expected}".encode()


def test_a_refused_handshake_leaves_http_alive(server: Listening) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(server, subprotocols=["mqttv5"]):
        pass
    assert refused.value.response.status_code == 400
    assert b'"errorCode":400004' in (refused.value.response.body or b"")
    client = server.tls()
    client.sendall(UPGRADE.replace(b"Version: 13", b"Version: 8"))
    answered = read_answer(client)
    assert (answered.status, answered.headers["sec-websocket-version"]) == (426, "13")
    assert answered.json["errorCode"] == 426000
    client.sendall(UPGRADE)
    assert client.recv(12) == b"HTTP/1.1 101"


def test_frames_that_come_with_the_request_are_not_lost(server: Listening) -> None:
    client = server.tls()
    client.sendall(UPGRADE + b"\x82\x81\0\0\0\0a")
    received = b""
    while not received.endswith(b"\x82\x01a"):
        received += client.recv(1000)


def test_back_pressure_holds_a_client_that_does_not_read(server: Listening) -> None:
    """Many megabytes through an echo whose client reads only when it has sent all."""
    client = raw(server)
    size, frame = 8_000_000, b"\x82\xfe\xff\xff\0\0\0\0" + bytes(65535)
    frames = size // 65535

    def send() -> None:
        for _ in range(frames):
            client.sendall(frame)

    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: "pause" in Echo.all[0].told)
    received = 0
    while received < frames * 65535:
        received += len(client.recv(100_000))
    sender.join(PATIENCE)
    assert not sender.is_alive()
    until(lambda: Echo.all[0].told[-1] == "resume")
    assert Echo.all[0].most < 1_000_000


def test_a_client_that_never_reads_is_cut(server: Listening) -> None:
    client = raw(server)
    client.settimeout(0.2)
    frame = b"\x82\xfe\xff\xff\0\0\0\0" + bytes(65535)
    with contextlib.suppress(OSError):
        for _ in range(500):
            client.sendall(frame)
    until(lambda: Echo.all[0].told[-1:] == ["lost"])


def test_a_client_that_never_answers_a_close_is_cut(server: Listening) -> None:
    client = raw(server)
    client.sendall(b"\x82\x85\0\0\0\0close")
    assert client.recv(100) == b"\x88\x02\x03\xe8"
    assert ends(client)


def test_a_client_that_breaks_the_protocol_reads_why(server: Listening) -> None:
    client = raw(server)
    client.sendall(b"\x82\x01a" + bytes(1_000_000))
    closing = client.recv(200)
    assert (closing[0], closing[2:4]) == (0x88, b"\x03\xea")


@pytest.mark.parametrize("how", ["tcp", "tls", "reset"])
def test_a_client_that_vanishes_is_noticed(server: Listening, how: str) -> None:
    client = raw(server)
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how == "tls":
        with contextlib.suppress(OSError):
            client.unwrap()
    client.close()
    until(lambda: bool(Echo.all) and Echo.all[0].told[-1:] == ["lost"])


def test_drain_closes_with_1001(tmp_path: Path) -> None:
    with serving(tmp_path) as server, opened(server) as client:
        drained = server.drain(PATIENCE)
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1001
        drained.result(PATIENCE)
        assert server.listener.connections == 0
