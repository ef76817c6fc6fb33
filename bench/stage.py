"""Owns the stage of every benchmark: both servers up and pinned, the load generator built, enrollments made.
It must not know what is compared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bench.load import Certificate, LoadGenerator, Target
from bench.mosquitto import PORT as BROKER_PORT
from bench.mosquitto import Mosquitto
from bench.nginx import Nginx, Site
from bench.processes import cores, pin
from bench.provisioning import Requests
from idscope.testing.server import ServerProcess, unused_address

_PROBE_BODY: Final = 100
_DAY: Final = dt.timedelta(days=1)


class Size(NamedTuple):
    """`connections` and `requests` are those of one round of one row, `idle` are held at once.

    `landing_seconds` after a round deferred work (batches, checkpoints) is done, and counted.
    """

    rounds: int
    connections: int
    requests: int
    idle: int
    landing_seconds: float


FULL: Final = Size(rounds=7, connections=1500, requests=6000, idle=5000, landing_seconds=0.5)
SMOKE: Final = Size(rounds=1, connections=30, requests=60, idle=200, landing_seconds=0.05)


class Stage:
    """A running idscope with an empty store, on the core of servers."""

    def __init__(self, directory: Path, server: ServerProcess, size: Size) -> None:
        found = cores()
        self.size = size
        self.server = server
        self.target = Target(server.address, server.ready.https_port)
        self.mqtt = Target(server.address, int(server.ready.document["mqtt_port"]))
        self.amqp = Target(server.address, int(server.ready.document["amqp_port"]))
        self.requests = Requests(server.ready)
        self.load = LoadGenerator(directory, found[1] if found else None)
        self._directory = directory
        self._server_core = found[0] if found else None
        self.pin(server.pid)

    def pin(self, pid: int) -> None:
        if self._server_core is not None:
            pin(pid, self._server_core)

    def restart(self) -> None:
        """A new process on the same store."""
        self.server.restart()
        self.pin(self.server.pid)

    def enroll(self, name: str, devices: Sequence[str]) -> None:
        """Create an enrollment for each device, over the service API."""
        requests = self.load.write(f"{name}-enrollments", self.requests.create_in_bulk(devices))
        self.load.run(self.target, requests, connections=8, mode="keep", status=200, text='"isSuccessful":true')

    @contextmanager
    def neighbour(self, answer_bytes: int, *, keep_alive: bool) -> Iterator[tuple[Nginx, Target]]:
        """An nginx with idscope's own certificate, whose whole answer is as long as idscope's."""
        data = self.server.data_directory
        probe = self.load.write("probe", [b"GET / HTTP/1.1\r\nHost: probe\r\n\r\n"])
        address = unused_address()

        def nginx(body_bytes: int) -> tuple[Nginx, Target]:
            site = Site(body_bytes, client_certificate=True, keep_alive=keep_alive)
            one = Nginx(self._directory, address, data / "server.pem", data / "server.key", (site,))
            return one, Target(address, one.port(site))

        first, target = nginx(_PROBE_BODY)
        mode = "keep" if keep_alive else "close"
        with first:
            report = self.load.run(target, probe, connections=1, mode=mode, status=200)  # type: ignore[arg-type]
        second, target = nginx(answer_bytes - (report.bytes_in - _PROBE_BODY))
        with second:
            self.pin(second.pid)
            yield second, target

    @contextmanager
    def broker(self) -> Iterator[tuple[Mosquitto, Target]]:
        """A mosquitto with idscope's own certificate."""
        data, address = self.server.data_directory, unused_address()
        with Mosquitto(self._directory, address, data / "server.pem", data / "server.key") as mosquitto:
            self.pin(mosquitto.pid)
            yield mosquitto, Target(address, BROKER_PORT)

    def client_certificate(self) -> Certificate:
        """Self-signed, ECDSA P-256, as a device makes it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench-device")])
        now = dt.datetime.now(dt.UTC)
        certificate = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - _DAY, now + _DAY
        ).sign(key, hashes.SHA256())
        files = Certificate(self._directory / "client.pem", self._directory / "client.key")
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


@contextmanager
def stage(directory: Path, size: Size) -> Iterator[Stage]:
    with ServerProcess(directory) as server:
        yield Stage(directory, server, size)
