"""Owns the load generator: builds it, hands it prepared requests, reads its report. It must not know any server.

It is written in C, so that it needs less CPU for a connection than any server that it measures.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
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
    """PEM files of the client's certificate and its key."""

    certificate: Path
    key: Path


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
        file.write_bytes(b"".join(len(request).to_bytes(4, "big") + request for request in requests))
        return file

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
        arguments = [*target, requests, connections, mode, status, text, *(certificate or ())]
        command = [*self._prefix, self._program, *arguments]
        done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
        if done.returncode:
            raise LoadFailed(done.stderr.decode(errors="replace"))
        report = msgspec.json.decode(done.stdout, type=Report)
        if report.failed or report.good != report.requests:
            raise LoadFailed(f"{report.failed} of {report.requests} requests failed; the first: {report.failure}")
        if report.resumed:
            raise LoadFailed(f"{report.resumed} sessions were resumed: only full handshakes count")
        return report
