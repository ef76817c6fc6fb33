"""Owns the price of a whole device connection: TCP connect, full TLS 1.3 handshake, PUT register answered durably
`assigned`, close; beside nginx answering the same request. It must not know how it is printed.

A first registration writes the registration, and a new device with its twin on the hub; a repeated one renews the
registration. Every request of a round is of another device.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.comparison import Contestant, Row, compare
from bench.load import Certificate, Report, Target
from bench.provisioning import device_names
from bench.stage import Stage
from idscope.testing.certificates import CertificateMaker

AIM: Final = 1.5
CONNECTIONS: Final = 32
_ASSIGNED: Final = '"status":"assigned"'


def measure(stage: Stage) -> Iterator[Row]:
    """Three rows: first registrations, repeated ones, first ones with a client certificate."""
    size = stage.size
    warm_up = device_names("warm-up", max(10, size.connections // 5))
    first, certified = (
        [device_names(f"{kind}-{number}", size.connections) for number in range(size.rounds)]
        for kind in ("plain", "certified")
    )
    stage.enroll("connections", [*warm_up, *(device for devices in (*first, *certified) for device in devices)])
    answer = _register(stage, warm_up)
    certificate = Certificate(*CertificateMaker.self_signed("bench-device").write(stage.directory, "client"))
    with stage.neighbour(answer.bytes_in // answer.good, keep_alive=False) as (nginx, target):
        same = stage.load.write("neighbour", map(stage.requests.register, first[0]))
        _send(stage, target, stage.load.write("neighbour-warm-up", map(stage.requests.register, warm_up)), 200)

        def row(name: str, rounds: list[list[str]], with_certificate: Certificate | None = None) -> Row:
            ours = Contestant(
                "idscope", stage.server.pid, lambda number: _register(stage, rounds[number], with_certificate)
            )
            theirs = Contestant(
                "nginx", nginx.pid, lambda _: _send(stage, target, same, 200, certificate=with_certificate)
            )
            aim = AIM if with_certificate is None else None
            return compare(name, size, ours, theirs, aim)

        yield row("connection, first registration", first)
        yield row("connection, repeated registration", first)
        yield row("connection, first registration, client certificate", certified, certificate)


def _register(stage: Stage, devices: list[str], certificate: Certificate | None = None) -> Report:
    requests = stage.load.write("register", map(stage.requests.register, devices))
    return _send(stage, stage.target, requests, 202, _ASSIGNED, certificate)


def _send(
    stage: Stage,
    target: Target,
    requests: Path,
    status: int,
    text: str = "",
    certificate: Certificate | None = None,
) -> Report:
    return stage.load.run(
        target, requests, connections=CONNECTIONS, mode="close", status=status, text=text, certificate=certificate
    )
