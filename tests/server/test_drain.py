"""A server that is told to stop answers what it accepted, takes nothing new, and ends; told twice, it ends at once."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import secrets
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from slow_disk import SlowDisk, wait_until

from idscope.testing.application import Response
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient

KEY = base64.b64encode(secrets.token_bytes(32)).decode()
REGISTERS = 6


def accepts(server: ServerProcess) -> bool:
    try:
        socket.create_connection((server.address, 443), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def tell(server: ServerProcess, what: signal.Signals = signal.SIGTERM) -> None:
    os.kill(server.pid, what)


class Sender(ServerClient):
    """A client that does not wait for its answers."""

    def request(self, *arguments: Any, **named: Any) -> Response:
        self.send(*arguments, **named)
        return Response(0, {}, b"")


class InFlight:
    """Requests that the server has read and cannot answer yet, because the disk is slow."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._stack = contextlib.ExitStack()
        self._clients: list[ServerClient] = []

    def __enter__(self) -> Self:
        with ServerClient(self._server.ready) as client:
            for number in range(REGISTERS):
                assert client.enroll(f"d{number}", KEY).status == 200
        self.disk = self._stack.enter_context(SlowDisk(self._server))
        for number in range(REGISTERS):
            self._sender().register(f"d{number}", KEY)
        self._sender().enroll("new", KEY)
        self._sender().hub("PUT", "/devices/new", {"deviceId": "new"})
        # What was sent before lies in the server's sockets before these, and it reads all that is there in one go.
        for _ in range(16):
            with ServerClient(self._server.ready) as client:
                assert client.service("GET", "/enrollments/d0").status == 200
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _sender(self) -> Sender:
        self._clients.append(client := self._stack.enter_context(Sender(self._server.ready)))
        return client

    def answers(self) -> list[Response]:
        return [client.receive() for client in self._clients]

    def all_are_cut(self) -> bool:
        for client in self._clients:
            with contextlib.suppress(OSError, http.client.HTTPException):
                client.receive()
                return False
        return True


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_accepted_is_answered_and_nothing_new_is_taken(tmp_path: Path, workers: int) -> None:
    with ServerProcess(tmp_path, workers=workers) as server, InFlight(server) as requests:
        tell(server)
        wait_until(lambda: not accepts(server))
        requests.disk.release()
        answers = requests.answers()
        assert [answer.status for answer in answers] == [*[202] * REGISTERS, 200, 200]
        assert {answer.headers["connection"] for answer in answers} == {"close"}
        assert server.wait() == 0
        assert not server.ready_file.exists()
        server.start()
        with ServerClient(server.ready) as client:
            assert client.device("POST", "d0", KEY).json()["status"] == "assigned"
            assert client.service("GET", "/enrollments/new").status == 200
            assert client.hub("GET", "/devices/new").status == 200


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, how: signal.Signals, code: int) -> None:
    with ServerProcess(tmp_path) as server, InFlight(server) as requests:
        tell(server, how)
        wait_until(lambda: not accepts(server))
        tell(server, how)
        assert server.wait(2) == code
        assert requests.all_are_cut()
        assert not server.ready_file.exists()
        requests.disk.release()
        server.start()
        with ServerClient(server.ready) as client:
            assert client.register("d0", KEY).json()["status"] == "assigned"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_hangs_for_good_does_not_keep_it_from_ending(tmp_path: Path, workers: int) -> None:
    arguments = ["--drain-seconds", "0.3"]
    with ServerProcess(tmp_path, workers=workers, arguments=arguments) as server, InFlight(server) as requests:
        tell(server)
        assert server.wait(6) == 1
        assert requests.all_are_cut()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, arguments=["--drain-seconds", "1"]) as server:
        yield server


def test_an_idle_connection_is_closed_at_once(server: ServerProcess) -> None:
    with tls_connection(server) as connection:
        connection.sendall(f"GET /enrollments HTTP/1.1\r\nHost: {server.address}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 ")
        began = time.monotonic()
        tell(server)
        while connection.recv(65536):
            pass
        assert time.monotonic() - began < 0.9
    assert server.wait(5) == 0


def test_a_request_that_never_ends_is_cut_when_its_time_is_over(server: ServerProcess) -> None:
    with tls_connection(server) as connection:
        head = f"PUT /enrollments/x HTTP/1.1\r\nHost: {server.address}\r\nContent-Length: 9\r\n\r\n{{"
        connection.sendall(head.encode())
        with ServerClient(server.ready) as client:
            assert client.service("GET", "/enrollments/x").status == 404
        tell(server)
        assert server.wait(5) == 0


@contextlib.contextmanager
def tls_connection(server: ServerProcess) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=str(server.ready.ca_file))
    with (
        socket.create_connection((server.address, 443), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname=server.address) as connection,
    ):
        yield connection
