"""Owns the price of a device that is let in by its certificate: full TLS 1.3 handshake with a chain of three, PUT
register by an X.509 enrollment group, the durable answer, close; beside nginx doing the same handshake. It must not
know how it is printed.

The enrollment group holds the CA that signed the devices; its root, which no device sends, is uploaded and verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench.certificates import DeviceCertificates
from bench.comparison import Contestant, Row, compare
from bench.load import Certificate, Report, Target
from bench.provisioning import device_names
from bench.stage import Stage

AIM: Final = 1.0
CONNECTIONS: Final = 32


def measure(stage: Stage) -> Iterator[Row]:
    """Two rows: first registrations, repeated ones."""
    size = stage.size
    certificates = DeviceCertificates(stage.directory)
    _enroll(stage, certificates)
    warm_up = device_names("x509-warm-up", max(10, size.connections // 5))
    rounds = [device_names(f"x509-{number}", size.connections) for number in range(size.rounds)]
    shown = [certificates.of(f"round-{number}", devices) for number, devices in enumerate(rounds)]
    warm_ups = certificates.of("warm-up", warm_up)
    answer = _register(stage, stage.target, warm_up, warm_ups)
    with stage.neighbour(answer.bytes_in // answer.good, keep_alive=False) as (nginx, target):
        _register(stage, target, warm_up, warm_ups, status=200)
        for kind in ("first", "repeated"):
            yield compare(
                f"connection, {kind} registration, X.509 group, chain of three",
                size,
                Contestant(
                    "idscope",
                    stage.server.pid,
                    lambda number: _register(stage, stage.target, rounds[number], shown[number]),
                ),
                Contestant(
                    "nginx",
                    nginx.pid,
                    lambda number: _register(stage, target, rounds[number], shown[number], status=200),
                ),
                AIM,
            )


def _enroll(stage: Stage, certificates: DeviceCertificates) -> None:
    signing = {"signingCertificates": {"primary": {"certificate": certificates.signing}}}
    group = stage.requests.create_group("line", {"type": "x509", "x509": signing})
    trust = stage.load.write("trust", [stage.requests.trust("root", certificates.root)])
    stage.load.run(stage.operator, trust, connections=1, mode="keep", status=200)
    stage.load.run(stage.target, stage.load.write("group", [group]), connections=1, mode="keep", status=200)


def _register(
    stage: Stage, target: Target, devices: Sequence[str], certificate: Certificate, *, status: int = 202
) -> Report:
    requests = stage.load.write("x509", map(stage.requests.register_by_certificate, devices))
    return stage.load.run(
        target,
        requests,
        connections=CONNECTIONS,
        mode="close",
        status=status,
        text='"status":"assigned"' if status == 202 else "",
        certificate=certificate,
    )
