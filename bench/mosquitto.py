"""Owns the neighbour of the MQTT rows: Debian's mosquitto over the same certificate. It must not know what it is
compared with.

TLS 1.3 alone; no persistence, no log, no password check, no client certificate, no $SYS. It stores nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.processes import answers, end

PORT: Final = 8883
_START_SECONDS: Final = 10.0
_CONFIGURATION: Final = """
user root
listener {port} {address}
certfile {certificate}
keyfile {key}
tls_version tlsv1.3
allow_anonymous true
persistence false
sys_interval 0
set_tcp_nodelay true
log_dest stderr
log_type error
"""


class MosquittoMissing(RuntimeError):
    """Debian: apt-get install mosquitto."""


def program() -> str:
    """Raises MosquittoMissing."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if found is None:
        raise MosquittoMissing("mosquitto is not installed; on Debian: apt-get install mosquitto")
    return found


def version() -> str:
    """`mosquitto 2.0.11`; Debian's uses the system's OpenSSL, as the load generator does, which says its version."""
    said = subprocess.run([program(), "-h"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0].replace(" version", "")


class Mosquitto:
    """Listens on `PORT` of the address; a context manager that leaves nothing running."""

    def __init__(self, directory: Path, address: str, certificate: Path, key: Path) -> None:
        self._address = address
        self._log = directory / "mosquitto.log"
        self._configuration = directory / "mosquitto.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(port=PORT, address=address, certificate=certificate, key=key)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program(), "-c", str(self._configuration)], stdin=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while not answers(self._address, PORT):
            if self._process.poll() is not None or time.monotonic() > deadline:
                end(self._process)
                raise RuntimeError(f"mosquitto did not start: {self._log.read_text()}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            end(self._process)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid
