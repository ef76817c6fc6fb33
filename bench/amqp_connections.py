"""Owns the price of a whole AMQP visit of a device: TCP connect, full TLS 1.3 handshake, SASL PLAIN, OPEN, both links,
register, the durable result, CLOSE; beside the same server doing it over HTTPS. It must not know how it is printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench import amqp_scripts
from bench.comparison import Contestant, Row, compare
from bench.load import Report
from bench.provisioning import device_names
from bench.stage import Stage

AIM: Final = 2.0
CONNECTIONS: Final = 32


def measure(stage: Stage) -> Iterator[Row]:
    """Two rows: first registrations, repeated ones."""
    size = stage.size
    warm_up = device_names("amqp-warm-up", max(10, size.connections // 5))
    ours, theirs = (
        [device_names(f"{wire}-{number}", size.connections) for number in range(size.rounds)]
        for wire in ("amqp", "https")
    )
    stage.enroll("amqp", [*warm_up, *(device for devices in (*ours, *theirs) for device in devices)])
    _over_amqp(stage, warm_up)
    _over_https(stage, warm_up)
    for kind in ("first", "repeated"):
        yield compare(
            f"AMQP connection, {kind} registration",
            size,
            Contestant("idscope", stage.server.pid, lambda number: _over_amqp(stage, ours[number])),
            Contestant("idscope HTTPS", stage.server.pid, lambda number: _over_https(stage, theirs[number])),
            AIM,
        )


def _over_amqp(stage: Stage, devices: Sequence[str]) -> Report:
    requests = stage.requests
    scripts = [
        amqp_scripts.registration(requests.identity(device), requests.device_token(device), requests.host)
        for device in devices
    ]
    return stage.load.play(stage.amqp, stage.load.write_scripts("amqp", scripts), connections=CONNECTIONS)


def _over_https(stage: Stage, devices: Sequence[str]) -> Report:
    requests = stage.load.write("https", map(stage.requests.register, devices))
    return stage.load.run(
        stage.target, requests, connections=CONNECTIONS, mode="close", status=202, text='"status":"assigned"'
    )
