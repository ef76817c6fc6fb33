"""Owns the price of a whole MQTT visit of a device: TCP connect, full TLS 1.3 handshake, CONNECT, SUBSCRIBE, register,
the durable result, DISCONNECT; beside mosquitto handing a device its own message. It must not know how it is printed.

Both exchange the same packets, each PUBLISH with QoS 1 and its PUBACK; mosquitto's PUBLISH is as long as idscope's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench import mqtt_scripts
from bench.comparison import Contestant, Row, compare
from bench.load import Report, Step, Target
from bench.provisioning import device_names
from bench.stage import Stage

AIM: Final = 1.5
CONNECTIONS: Final = 32
_PROBE_BYTES: Final = 100


def measure(stage: Stage) -> Iterator[Row]:
    """Two rows: first registrations, repeated ones."""
    size = stage.size
    warm_up = device_names("mqtt-warm-up", max(10, size.connections // 5))
    rounds = [device_names(f"mqtt-{number}", size.connections) for number in range(size.rounds)]
    stage.enroll("mqtt", [*warm_up, *(device for devices in rounds for device in devices)])
    answer = _register(stage, warm_up)
    with stage.broker() as (mosquitto, target):
        probe = _echo(stage, target, warm_up, _PROBE_BYTES)
        payload_bytes = _PROBE_BYTES + (answer.bytes_in - probe.bytes_in) // answer.good

        def row(name: str) -> Row:
            return compare(
                name,
                size,
                Contestant("idscope", stage.server.pid, lambda number: _register(stage, rounds[number])),
                Contestant(
                    "mosquitto", mosquitto.pid, lambda number: _echo(stage, target, rounds[number], payload_bytes)
                ),
                AIM,
            )

        yield row("MQTT connection, first registration")
        yield row("MQTT connection, repeated registration")


def _register(stage: Stage, devices: Sequence[str]) -> Report:
    requests = stage.requests
    scripts = [mqtt_scripts.registration(requests.identity(each), requests.device_token(each)) for each in devices]
    return _play(stage, stage.mqtt, scripts)


def _echo(stage: Stage, target: Target, devices: Sequence[str], payload_bytes: int) -> Report:
    requests = stage.requests
    scripts = [
        mqtt_scripts.echo(requests.identity(each), requests.device_token(each), payload_bytes) for each in devices
    ]
    return _play(stage, target, scripts)


def _play(stage: Stage, target: Target, scripts: Sequence[Sequence[Step]]) -> Report:
    return stage.load.play(target, stage.load.write_scripts("mqtt", scripts), connections=CONNECTIONS)
