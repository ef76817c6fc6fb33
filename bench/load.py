"""Owns the load generator: builds it, hands it prepared requests, reads its report. It must not know any server.

It is written in C, so that it needs less CPU for a connection than any server that it measures.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

_SOURCE = Path(__file__).with_name("tls_load.c")


class LoadFailed(RuntimeError):
    """An answer was not the expected one, or a session was resumed: such a round measures nothing."""


class Target(NamedTuple):
    address: str
    port: int


class Certificate(NamedTuple):
    """PEM files: one certificate or many of the same key, which connections show in turn; their key; what is sent after
    each of them."""

    certificate: Path
    key: Path
    chain: Path | None = None

    def arguments(self) -> tuple[Path, ...]:
        return tuple(file for file in self if file is not None)


class Step(NamedTuple):
    """What a connection says, then what must come before it goes on; either may be empty."""

    say: bytes
    until: bytes = b""


class Report(msgspec.Struct, frozen=True):
    """What the load generator saw; `connections` counts those it opened, `cpu_seconds` are its own."""

    protocol: str
    cipher: str
    group: str
    key: str
    failure: str
    openssl: str
    requests: int
    good: int
    failed: int
    connections: int
    resumed: int
    tickets: int
    bytes_in: int
    seconds: float
    cpu_seconds: float
    median_us: float
    p99_us: float


class LoadGenerator:
    """Compiled into `directory`; runs on `core` where one is given."""

    def __init__(self, directory: Path, core: int | None) -> None:
        self._directory = directory
        self._program = directory / "tls_load"
        self._prefix = () if core is None else ("taskset", "--cpu-list", str(core))
        self._compile()

    def _compile(self) -> None:
        command = ["cc", "-O2", "-std=gnu11", "-o", str(self._program), str(_SOURCE), "-lssl", "-lcrypto"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"").decode(errors="replace")
            needs = "gcc and OpenSSL's headers (Debian: apt-get install gcc libc6-dev libssl-dev)"
            raise LoadFailed(f"the load generator was not built; it needs {needs}\n{said}") from None

    def write(self, name: str, requests: Iterable[bytes]) -> Path:
        """A file of requests, each behind its length."""
        file = self._directory / f"{name}.requests"
        file.write_bytes(b"".join(map(_behind_length, requests)))
        return file

    def write_scripts(self, name: str, scripts: Iterable[Sequence[Step]]) -> Path:
        """A file of scripts, one for each connection."""
        return self.write(
            name, (b"".join(_behind_length(part) for step in script for part in step) for script in scripts)
        )

    def run(
        self,
        target: Target,
        requests: Path,
        *,
        connections: int,
        mode: Literal["close", "keep"],
        status: int,
        text: str = "",
        certificate: Certificate | None = None,
    ) -> Report:
        """Send them all; every answer must have the status and hold the text. Raises LoadFailed."""
        return self._finished(
            self._start(
                target, requests, connections, mode, status, text, *(certificate.arguments() if certificate else ())
            )
        )

    def play(self, target: Target, scripts: Path, *, connections: int) -> Report:
        """Play each script on a connection of its own, which the server closes. Raises LoadFailed."""
        return self._finished(self._start(target, scripts, connections, "script"))

    @contextmanager
    def hold(self, target: Target, scripts: Path, *, connections: int) -> Iterator[None]:
        """Play each script, so many at a time, and keep every connection for the block. Raises LoadFailed."""
        process = self._start(target, scripts, connections, "hold")
        assert process.stdout is not None
        if process.stdout.readline() == b"held\n":
            try:
                yield
            finally:
                self._finished(process)
        else:
            self._finished(process)
            raise LoadFailed("the load generator ended early")

    def _start(self, target: Target, *arguments: object) -> subprocess.Popen[bytes]:
        command = [*self._prefix, self._program, *target, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen([str(part) for part in command], stdin=pipe, stdout=pipe, stderr=pipe)

    def _finished(self, process: subprocess.Popen[bytes]) -> Report:
        said, complaint = process.communicate()
        if process.returncode:
            raise LoadFailed(complaint.decode(errors="replace"))
        report = msgspec.json.decode(said, type=Report)
        if report.failed or report.good != report.requests:
            raise LoadFailed(f"{report.failed} of {report.requests} requests failed; the first: {report.failure}")
        if report.resumed:
            raise LoadFailed(f"{report.resumed} sessions were resumed: only full handshakes count")
        return report


def _behind_length(piece: bytes) -> bytes:
    return len(piece).to_bytes(4, "big") + piece
