"""Owns the real server process of a test: its own loopback address, start, ready file, stop, restart, log.

It must not know what is inside the server: it sees the command line, the ready file, signals and the log.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 30.0
STOP_SECONDS = 20.0
HTTPS_PORT = 443
OPERATOR_PORT = 9443

_LOG_TAIL = 4000
_POLL_SECONDS = 0.02
# 127.0.0.x stays with the servers that a person starts by hand.
_ADDRESSES = 254 * 254
_counter = itertools.count()


class ServerDidNotStart(AssertionError):
    """The server ended, or wrote no ready file in time; the text ends with the log's tail."""


def unused_address() -> str:
    """A loopback address 127.0.x.y that no other test server listens on, so that the fixed ports are free on it."""
    # Neighbouring process ids land far apart, so that parallel test processes do not walk into each other.
    start = os.getpid() * 7919 + next(_counter)
    for offset in range(_ADDRESSES):
        third, fourth = divmod((start + offset) % _ADDRESSES, 254)
        address = f"127.0.{third + 1}.{fourth + 1}"
        if _is_free(address):
            return address
    raise ServerDidNotStart("no loopback address is free")


def _is_free(address: str) -> bool:
    with socket.socket() as probe:
        # A connection of an earlier server in TIME_WAIT must not count; a listener still does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, OPERATOR_PORT))
        except OSError:
            return False
    return True


@dataclass(frozen=True, repr=False)
class Ready:
    """What the server wrote when all its listeners were up; `document` is the whole file, which holds secrets."""

    document: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Ready({self.host_name}, id_scope={self.id_scope})"

    def _text(self, name: str) -> str:
        return str(self.document[name])

    @property
    def id_scope(self) -> str:
        return self._text("id_scope")

    @property
    def host_name(self) -> str:
        return self._text("host_name")

    @property
    def https_port(self) -> int:
        return int(self.document["https_port"])

    @property
    def hub_host_name(self) -> str:
        return self._text("hub_host_name")

    @property
    def ca_file(self) -> Path:
        return Path(self._text("ca_file"))

    @property
    def service_connection_string(self) -> str:
        return self._text("service_connection_string")

    @property
    def hub_connection_string(self) -> str:
        return self._text("hub_connection_string")


class ServerProcess:
    """`python -m idscope serve` on its own address; a context manager that starts it and leaves nothing running."""

    def __init__(
        self,
        directory: Path,
        *,
        address: str | None = None,
        workers: int = 1,
        azure_timing: bool = False,
        config: Path | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.address = unused_address() if address is None else address
        self.data_directory = directory / "data"
        self.log_file = directory / "server.log"
        self.ready_file = directory / "ready.json"
        self.command = [
            *(sys.executable, "-m", "idscope", "serve"),
            *("--data-directory", str(self.data_directory)),
            *("--listen-address", self.address, "--https-port", str(HTTPS_PORT)),
            *("--operator-address", self.address, "--operator-port", str(OPERATOR_PORT)),
            *("--workers", str(workers), "--ready-file", str(self.ready_file), "--log-format", "json"),
            *(("--azure-timing",) if azure_timing else ()),
            *(("--config", str(config)) if config is not None else ()),
            *arguments,
        ]
        self._environment = _environment(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: Ready | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def ready(self) -> Ready:
        """What the running server said of itself."""
        assert self._ready is not None, "the server is not running"
        return self._ready

    @property
    def pid(self) -> int:
        """The process id of the server (with workers: of their supervisor)."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> Ready:
        """Start the server and wait for its ready file; raises `ServerDidNotStart`."""
        assert self._process is None, "the server is running already"
        # A killed server leaves its ready file behind.
        self.ready_file.unlink(missing_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        try:
            self._ready = self._await_ready()
        except BaseException:
            self.kill()
            raise
        return self._ready

    def stop(self) -> int | None:
        """Ask the server to stop (SIGTERM), wait, kill what is left; the exit code, or None if it was not running."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not stop in {STOP_SECONDS} s\n{self._log_tail()}") from None
        self.kill()
        return code

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end of a server that was told to stop by a signal of the test's own; the exit code."""
        assert self._process is not None, "the server is not running"
        code = self._process.wait(seconds)
        self.kill()
        return code

    def kill(self) -> None:
        """End the server and all its workers at once (SIGKILL)."""
        process, self._process, self._ready = self._process, None, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self) -> Ready:
        """Stop and start again on the same address and data."""
        self.stop()
        return self.start()

    def log_text(self) -> str:
        """Everything that the server has written so far, over all its starts."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def _log_tail(self) -> str:
        return f"{' '.join(self.command)}\n{self.log_text()[-_LOG_TAIL:]}"

    def _await_ready(self) -> Ready:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.ready_file.exists():
                return Ready(json.loads(self.ready_file.read_bytes()))
            if (code := self._process.poll()) is not None:
                raise ServerDidNotStart(f"the server ended with code {code}\n{self._log_tail()}")
            time.sleep(_POLL_SECONDS)
        raise ServerDidNotStart(f"no ready file after {START_SECONDS} s\n{self._log_tail()}")


def _environment(additions: Mapping[str, str]) -> dict[str, str]:
    # A developer's own IDSCOPE_… settings must not reach the server under test.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IDSCOPE_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **additions}
