"""Owns the stage of every benchmark: both servers up and pinned, the load generator built, enrollments made.
It must not know what is compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from bench.load import LoadGenerator, Target
from bench.mosquitto import PORT as BROKER_PORT
from bench.mosquitto import Mosquitto
from bench.nginx import Nginx, Site
from bench.processes import cores, pin
from bench.provisioning import Requests
from idscope.testing.server import ServerProcess, unused_address

_PROBE_BODY: Final = 100


class Size(NamedTuple):
    """`connections` and `requests` are those of one round of one row, `idle` are held at once.

    `landing_seconds` after a round deferred work (batches, checkpoints) is done, and counted. `groups` and
    `enrollments` are the numbers of them beside which a registration is measured; the first is what the others are
    compared with.
    """

    rounds: int
    connections: int
    requests: int
    idle: int
    landing_seconds: float
    groups: tuple[int, ...]
    enrollments: tuple[int, ...]


FULL: Final = Size(7, 1500, 6000, 5000, 0.5, groups=(1, 10, 100), enrollments=(1_000, 100_000, 1_000_000))
SMOKE: Final = Size(1, 30, 60, 200, 0.05, groups=(1, 10, 100), enrollments=(100, 200, 300))


class Stage:
    """A running idscope with an empty store, on the core of servers."""

    def __init__(self, directory: Path, server: ServerProcess, size: Size) -> None:
        found = cores()
        self.size = size
        self.server = server
        self.target = Target(server.address, server.ready.https_port)
        self.mqtt = Target(server.address, int(server.ready.document["mqtt_port"]))
        self.amqp = Target(server.address, int(server.ready.document["amqp_port"]))
        operator = urlsplit(str(server.ready.document["operator_url"]))
        self.operator = Target(operator.hostname or "", operator.port or 0)
        self.requests = Requests(server.ready)
        self.load = LoadGenerator(directory, found[1] if found else None)
        self.directory = directory
        self._server_core = found[0] if found else None
        self.pin(server.pid)

    def pin(self, pid: int) -> None:
        if self._server_core is not None:
            pin(pid, self._server_core)

    def restart(self) -> None:
        """A new process on the same store, which may be stopped already."""
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
            one = Nginx(self.directory, address, data / "server.pem", data / "server.key", (site,))
            return one, Target(address, one.port(site))

        first, target = nginx(_PROBE_BODY)
        mode: Literal["close", "keep"] = "keep" if keep_alive else "close"
        with first:
            report = self.load.run(target, probe, connections=1, mode=mode, status=200)
        second, target = nginx(answer_bytes - (report.bytes_in - _PROBE_BODY))
        with second:
            self.pin(second.pid)
            yield second, target

    @contextmanager
    def broker(self) -> Iterator[tuple[Mosquitto, Target]]:
        """A mosquitto with idscope's own certificate."""
        data, address = self.server.data_directory, unused_address()
        with Mosquitto(self.directory, address, data / "server.pem", data / "server.key") as mosquitto:
            self.pin(mosquitto.pid)
            yield mosquitto, Target(address, BROKER_PORT)

    def another(self, name: str) -> AbstractContextManager[Stage]:
        """A second idscope beside this one, with a store of its own."""
        (directory := self.directory / name).mkdir()
        return stage(directory, self.size)


@contextmanager
def stage(directory: Path, size: Size) -> Iterator[Stage]:
    with ServerProcess(directory) as server:
        yield Stage(directory, server, size)
