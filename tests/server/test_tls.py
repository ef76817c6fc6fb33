from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from listening import Listening, client_context, ends, listening, read_answer
from OpenSSL import SSL

from idscope.frontends.listener import AddressNotPermitted, AddressTaken, CannotListen, ListenerLimits, bind_sockets
from idscope.frontends.tls_context import tls_context
from idscope.testing.certificates import CertificateMaker

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module", params=[True, False], ids=["uvloop", "asyncio"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("tls"), use_uvloop=request.param) as server:
        yield server


@pytest.fixture
def server(running: Listening) -> Iterator[Listening]:
    yield running
    running.forget_clients()


def identity(kind: str) -> CertificateMaker:
    if kind == "self-signed":
        return CertificateMaker.self_signed("device")
    if kind == "expired":
        return CertificateMaker.authority().device("device", days=(-30, -1))
    if kind == "not-yet-valid":
        return CertificateMaker.self_signed("device", days=(1, 30))
    if kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return CertificateMaker.authority().server("device", key=key)
    return CertificateMaker.authority().intermediate("one").intermediate("two").device("device")


def chain_seen(server: Listening, client: socket.socket) -> tuple[bytes, ...]:
    client.sendall(GET)
    assert read_answer(client).status == 200
    return server.app.requests[-1].peer.chain


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["self-signed", "expired", "not-yet-valid", "rsa", "chain"])
def test_any_client_certificate_is_let_in_and_handed_on_leaf_first(
    server: Listening, tmp_path: Path, version: ssl.TLSVersion, kind: str
) -> None:
    device = identity(kind)
    client = server.tls(client_context(device.write(tmp_path, "device"), version))
    assert chain_seen(server, client) == device.der_chain()
    assert client.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_client_certificate_is_needed(server: Listening, version: ssl.TLSVersion) -> None:
    assert chain_seen(server, server.tls(client_context(version=version))) == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_resumes_gets_a_full_handshake(
    server: Listening, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    device = identity("chain")
    context = client_context(device.write(tmp_path, "device"), version)
    first = server.tls(context)
    assert chain_seen(server, first) == device.der_chain()
    for _ in range(3):
        again = server.tls(context, session=first.session)
        assert chain_seen(server, again) == device.der_chain()
        assert not again.session_reused


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_1_is_refused(server: Listening) -> None:
    context = client_context(version=ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.tls(context)


@pytest.mark.parametrize(
    "cipher", ["ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
)
def test_old_devices_find_a_cipher(server: Listening, cipher: str) -> None:
    context = client_context(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(cipher)
    client = server.tls(context)
    client.sendall(GET)
    assert read_answer(client).status == 200
    used = client.cipher()
    assert used is not None
    assert used[0] == cipher


def test_an_ip_address_as_server_name_is_ignored(server: Listening) -> None:
    context = client_context()
    client = server.tls(context, server_hostname="127.0.0.1")
    assert chain_seen(server, client) == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_close_notify_is_answered(server: Listening, version: ssl.TLSVersion) -> None:
    client = server.tls(client_context(version=version))
    client.sendall(GET)
    assert read_answer(client).status == 200
    client.unwrap().close()
    server.until(lambda: server.listener.connections == 0)


def test_the_answer_still_comes_to_a_client_that_ended_its_side(server: Listening) -> None:
    server.app.release.clear()
    server.app.entered.clear()
    raw = server.tcp()
    raw.setblocking(True)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), raw)  # the ssl module would not read after its goodbye
    client.set_connect_state()
    client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    assert server.app.entered.wait(10)
    client.shutdown()
    raw.shutdown(socket.SHUT_WR)
    server.app.release.set()
    assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(SSL.ZeroReturnError):
        client.recv(1000)


def test_an_end_without_close_notify_is_a_lost_connection(server: Listening) -> None:
    for count in (0, 1, 2):
        client = server.tls()
        client.sendall(GET * count)
        socket.socket(fileno=client.detach()).close()
    server.until(lambda: server.listener.connections == 0)


def test_a_record_cut_in_two_is_put_together(server: Listening) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inside = client_context().wrap_bio(incoming, outgoing)
    raw = server.tcp()
    while True:
        try:
            inside.do_handshake()
            break
        except ssl.SSLWantReadError:
            raw.sendall(outgoing.read())
            incoming.write(raw.recv(65536))
    for number in range(5):
        inside.write(GET)
        for byte in outgoing.read():
            raw.sendall(bytes([byte]))
        answer = b""
        while b"\r\n\r\n" not in answer:
            incoming.write(raw.recv(65536))
            try:
                answer += inside.read(65536)
            except ssl.SSLWantReadError:
                continue
        assert answer.startswith(b"HTTP/1.1 200"), number


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\x00" * 70_000,
        b"\x00" * 100,
        b"\x80\x2e\x01\x00\x02" * 20,
    ],
    ids=["plain-http", "too-long", "zeros", "ssl2"],
)
def test_what_is_not_tls_is_refused_at_once_and_quietly(
    server: Listening, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(20):
        client = server.tcp()
        client.sendall(garbage)
        try:
            while client.recv(1000):
                pass
        except ConnectionError:
            pass
    assert len(caplog.records) <= 1  # one line a minute


def test_a_broken_record_ends_the_connection(server: Listening) -> None:
    client = server.tls()
    raw = socket.socket(fileno=client.detach())
    raw.sendall(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
    raw.settimeout(10)
    while raw.recv(1000):
        pass
    raw.close()


def test_a_chain_that_is_too_long_is_refused(server: Listening, tmp_path: Path) -> None:
    maker = CertificateMaker.authority()
    for number in range(18):
        maker = maker.intermediate(f"number {number}")
    longest = maker.device("device")
    assert len(longest.chain) == 20
    client = server.tls(client_context(longest.write(tmp_path, "longest")))
    assert chain_seen(server, client) == longest.der_chain()
    too_long = maker.intermediate("one more").device("device")
    client = server.tls(client_context(too_long.write(tmp_path, "too_long")))
    assert ends(client)


def test_a_new_context_holds_for_new_connections(server: Listening, tmp_path: Path) -> None:
    old = server.tls()
    renewed = CertificateMaker.authority().server("127.0.0.1")
    context = tls_context(*renewed.write(tmp_path, "renewed"))
    server.call(lambda: setattr(server.listener, "context", context))
    new = server.tls()
    assert new.getpeercert(binary_form=True) == renewed.der_chain()[0]
    assert old.getpeercert(binary_form=True) != renewed.der_chain()[0]
    for client in (old, new):
        client.sendall(GET)
        assert read_answer(client).status == 200


# Limits


SHORT = ListenerLimits(handshake_seconds=0.3, close_seconds=0.3)


@pytest.mark.parametrize("start", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["none", "one", "some"])
def test_a_handshake_has_its_time(tmp_path: Path, start: bytes) -> None:
    with listening(tmp_path, limits=SHORT) as server:
        client = server.tcp()
        client.sendall(start)
        assert ends(client)
        server.until(lambda: server.listener.connections == 0)


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inside = client_context().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        inside.do_handshake()
    return outgoing.read()


def test_handshakes_wait_in_line_and_the_rest_are_refused(tmp_path: Path) -> None:
    with listening(tmp_path, limits=ListenerLimits(handshakes=2, waiting_handshakes=3)) as server:
        stalled = [server.tcp() for _ in range(4)]
        for client in stalled:
            client.sendall(client_hello())
        for client in stalled[:2]:
            assert client.recv(1) == b"\x16"  # under way
        with futures.ThreadPoolExecutor() as pool:
            honest = pool.submit(server.tls)
            server.until(lambda: len(server.listener._waiting) == 3)
            refused = server.tcp()
            refused.sendall(client_hello())
            assert ends(refused)
            stalled[0].close()
            assert stalled[2].recv(1) == b"\x16"  # the next in line moves up
            for client in stalled:
                client.close()
            honest.result(10).sendall(GET)
            assert read_answer(honest.result()).status == 200
        assert server.call(lambda: (len(server.listener._handshakes), len(server.listener._waiting))) == (0, 0)


def test_the_wait_in_line_counts_for_the_time(tmp_path: Path) -> None:
    limits = ListenerLimits(handshakes=1, handshake_seconds=0.3, close_seconds=0.3)
    with listening(tmp_path, limits=limits) as server:
        stalled = [server.tcp() for _ in range(4)]
        for client in stalled:
            client.sendall(client_hello())
        server.until(lambda: server.listener.connections == 4)
        server.until(lambda: server.listener.connections == 0)
        assert server.call(lambda: (len(server.listener._handshakes), len(server.listener._waiting))) == (0, 0)
        client = server.tls()
        client.sendall(GET)
        assert read_answer(client).status == 200


def test_many_handshakes_at_once_all_come_through(tmp_path: Path) -> None:
    with listening(tmp_path, limits=ListenerLimits(handshakes=2)) as server:
        statuses: list[int] = []

        def connect() -> None:
            client = server.tls()
            client.sendall(GET)
            statuses.append(read_answer(client).status)

        threads = [threading.Thread(target=connect) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert statuses == [200] * 30


def test_connections_have_a_cap(tmp_path: Path) -> None:
    with listening(tmp_path, limits=ListenerLimits(connections=3)) as server:
        held = [server.tls() for _ in range(3)]
        assert ends(server.tcp())
        held[0].unwrap().close()
        server.until(lambda: server.listener.connections == 2)
        client = server.tls()
        client.sendall(GET)
        assert read_answer(client).status == 200


# The transport, as a protocol inside sees it


class Recorder(asyncio.Protocol):
    made: list[Recorder]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.events: list[str] = []
        self.received = b""
        self.made.append(self)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def eof_received(self) -> None:
        self.events.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[tuple[Listening, list[Recorder]]]:
    class Recording(Recorder):
        made: list[Recorder] = []  # noqa: RUF012

    with listening(tmp_path, factory=Recording, limits=ListenerLimits(close_seconds=0.5)) as server:
        yield server, Recording.made


def inner(server: Listening, made: list[Recorder]) -> Recorder:
    server.until(lambda: bool(made))
    return made[-1]


def test_writes_of_one_turn_leave_as_one_record(recorded: tuple[Listening, list[Recorder]]) -> None:
    server, made = recorded
    client = server.tls(client_context(version=ssl.TLSVersion.TLSv1_2))
    transport = inner(server, made).transport
    raw = socket.socket(fileno=client.detach())
    server.call(lambda: transport.writelines([b"a", bytearray(b"b"), memoryview(b"c")]))
    header = raw.recv(5, socket.MSG_WAITALL)
    length = int.from_bytes(header[3:5])
    assert (header[0], length) == (0x17, 8 + 3 + 16)  # AES-GCM: nonce, text, tag (RFC 5288)
    assert len(raw.recv(length + 1)) == length
    raw.close()


def test_what_is_known_of_a_connection(recorded: tuple[Listening, list[Recorder]]) -> None:
    server, made = recorded
    client = server.tls()
    transport = inner(server, made).transport
    known = server.call(
        lambda: {name: transport.get_extra_info(name) for name in ("peername", "sockname", "tls_version")}
    )
    assert known == {"peername": client.getsockname(), "sockname": client.getpeername(), "tls_version": "TLSv1.3"}
    assert server.call(lambda: transport.get_extra_info("socket")) is not None
    assert transport.get_extra_info("sslcontext") is server.listener.context
    assert transport.get_extra_info("nonsense", 5) == 5
    assert not transport.can_write_eof()


def test_a_client_that_does_not_read_pauses_the_writer_and_is_cut_on_close(
    recorded: tuple[Listening, list[Recorder]],
) -> None:
    server, made = recorded
    server.tls()
    protocol = inner(server, made)
    server.call(lambda: protocol.transport.write(b"x" * 20_000_000))
    server.until(lambda: protocol.events == ["pause"])
    assert server.call(protocol.transport.get_write_buffer_size) > 1_000_000
    server.call(protocol.transport.close)
    server.until(lambda: "lost" in protocol.events)


def test_a_client_that_reads_late_resumes_the_writer(recorded: tuple[Listening, list[Recorder]]) -> None:
    server, made = recorded
    client = server.tls()
    protocol = inner(server, made)
    server.call(lambda: protocol.transport.write(b"x" * 9_000_000))
    server.until(lambda: protocol.events == ["pause"])
    received = 0
    while received < 9_000_000:
        received += len(client.recv(65536))
    server.until(lambda: protocol.events == ["pause", "resume"])


def test_reading_can_be_paused_and_loses_nothing(recorded: tuple[Listening, list[Recorder]]) -> None:
    server, made = recorded
    client = server.tls()
    protocol = inner(server, made)
    server.call(protocol.transport.pause_reading)
    assert not server.call(protocol.transport.is_reading)
    sender = threading.Thread(target=client.sendall, args=(b"y" * 3_000_000,))
    sender.start()
    assert server.call(lambda: protocol.received) == b""
    server.call(protocol.transport.resume_reading)
    sender.join(10)
    server.until(lambda: len(protocol.received) == 3_000_000)


def test_the_protocol_inside_can_be_exchanged(recorded: tuple[Listening, list[Recorder]]) -> None:
    server, made = recorded
    client = server.tls()
    first = inner(server, made)
    client.sendall(b"one")
    server.until(lambda: first.received == b"one")
    second = type(first)()
    second.connection_made(first.transport)
    server.call(lambda: first.transport.set_protocol(second))
    assert server.call(first.transport.get_protocol) is second
    client.sendall(b"two")
    server.until(lambda: second.received == b"two")
    client.unwrap().close()
    server.until(lambda: second.events == ["eof", "lost"])
    assert first.events == []


# Addresses and files


def test_a_taken_port_is_told_apart(tmp_path: Path) -> None:
    with listening(tmp_path) as server, pytest.raises(AddressTaken) as caught:
        bind_sockets("127.0.0.1", server.port)
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", server.port)


def test_a_shared_port(tmp_path: Path) -> None:
    first = bind_sockets("127.0.0.1", 0, reuse_port=True)
    second = bind_sockets("127.0.0.1", first[0].getsockname()[1], reuse_port=True)
    for opened in (*first, *second):
        opened.close()


def test_other_addresses_are_errors_too() -> None:
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(CannotListen) as caught:
            bind_sockets(host, 0)
        assert host in str(caught.value)


def test_a_port_that_is_not_permitted_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("idscope.frontends.listener.socket.socket", Forbidden)
    with pytest.raises(AddressNotPermitted) as caught:
        bind_sockets("127.0.0.1", 443)
    assert caught.value.port == 443
