"""Owns TPMs that Debian's swtpm emulates, behind the protocol of Microsoft's TPM simulator, which the SDKs speak.
It must not know what is done with a TPM.

swtpm takes bare commands on a socket. The simulator's protocol has two ports, the second one behind the first: commands
with a frame around them, and the signals of the platform (power, storage), of which swtpm needs none.
"""

from __future__ import annotations

import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

HOST = "127.0.0.1"

_SEND_COMMAND, _HANDSHAKE, _SESSION_END = 8, 15, 20
_VERSION = 1
_START_SECONDS = 10.0


class EmulatedTpm:
    """A running TPM; `port` is that of the simulator's protocol, `swtpm_port` takes bare commands of one client."""

    def __init__(self, port: int, swtpm_port: int) -> None:
        self.port = port
        self.swtpm_port = swtpm_port
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def execute(self, command: bytes) -> bytes:
        """One TPM command; the clients take turns."""
        with self._lock:
            if self._socket is None:
                self._socket = socket.create_connection((HOST, self.swtpm_port), timeout=30)
            self._socket.sendall(command)
            head = _read(self._socket, 10)
            return head + _read(self._socket, int.from_bytes(head[2:6], "big") - len(head))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


@contextmanager
def emulated_tpm(state: Path) -> Iterator[EmulatedTpm]:
    """A new TPM whose state is kept in the directory."""
    state.mkdir()
    swtpm_port, port = _free_ports(), _free_ports()
    with ExitStack() as stack:
        stack.enter_context(_swtpm(state, swtpm_port))
        tpm = stack.enter_context(closing(EmulatedTpm(port, swtpm_port)))
        stack.enter_context(_served(_CommandPort, port, tpm))
        stack.enter_context(_served(_PlatformPort, port + 1, tpm))
        yield tpm


@contextmanager
def _swtpm(state: Path, port: int) -> Iterator[None]:
    program = shutil.which("swtpm")
    assert program, "swtpm is not installed: make test installs it"
    command = [program, "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear"]
    command += ["--server", f"type=tcp,port={port},bindaddr={HOST}"]
    command += ["--ctrl", f"type=tcp,port={port + 1},bindaddr={HOST}"]
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _await_port(port + 1, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection((HOST, port), timeout=1):
                return
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise AssertionError("swtpm does not start")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    tpm: EmulatedTpm


class _CommandPort(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        while (word := _read_word(self.request)) not in (None, _SESSION_END):
            if word == _HANDSHAKE:
                _read(self.request, 4)  # the client's version
                self.request.sendall(_words(_VERSION, 0, 0))
            elif word == _SEND_COMMAND:
                _read(self.request, 1)  # the locality
                answer = self.server.tpm.execute(_read(self.request, _read_word(self.request) or 0))
                self.request.sendall(_words(len(answer)) + answer + _words(0))


class _PlatformPort(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while _read_word(self.request) not in (None, _SESSION_END):
            self.request.sendall(_words(0))


@contextmanager
def _served(handler: type[socketserver.BaseRequestHandler], port: int, tpm: EmulatedTpm) -> Iterator[None]:
    with _Server((HOST, port), handler) as server:
        server.tpm = tpm
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def _free_ports() -> int:
    """The first of two neighbouring ports that nobody uses."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind((HOST, 0))
            port = int(first.getsockname()[1])
            try:
                second.bind((HOST, port + 1))
            except (OSError, OverflowError):
                continue
            return port


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def _read_word(connection: socket.socket) -> int | None:
    """None where the client is gone."""
    try:
        return int.from_bytes(_read(connection, 4), "big")
    except (EOFError, ConnectionError):
        return None


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
