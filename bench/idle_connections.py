"""Owns the weight of MQTT connections that stand idle: TLS 1.3, CONNECT, one subscription, then silence; beside the
same on mosquitto. It must not know how it is printed.

Each weighing has a server of its own: memory that earlier connections gave back would hide what new ones take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from bench import mqtt_scripts
from bench.load import Step, Target
from bench.memory import MemoryRow, growth_kb
from bench.provisioning import Requests, device_names
from bench.stage import Stage

CONNECTIONS: Final = 32  # made at a time
_Arrival = Callable[[Requests, str], list[Step]]


def measure(stage: Stage) -> Iterator[MemoryRow]:
    """Two rows: devices that wait at the provisioning service, devices on the embedded hub."""
    devices = device_names("idle", stage.size.idle)
    stage.enroll("idle", devices)
    requests = stage.load.write("idle", map(stage.requests.register, devices))
    stage.load.run(stage.target, requests, connections=CONNECTIONS, mode="close", status=202, text="assigned")
    with stage.broker() as (mosquitto, target):
        theirs = _weigh(stage, mosquitto.pid, target, devices, _at_provisioning)
    for name, arrival in (("provisioning", _at_provisioning), ("embedded hub", _at_hub)):
        stage.restart()
        ours = _weigh(stage, stage.server.pid, stage.mqtt, devices, arrival)
        yield MemoryRow(
            name=f"idle MQTT connection, {name}",
            beside="mosquitto",
            connections=len(devices),
            ratio=ours / theirs,
            idscope_kb=ours,
            neighbour_kb=theirs,
        )


def _weigh(stage: Stage, pid: int, target: Target, devices: Sequence[str], arrival: _Arrival) -> float:
    """A few connections come and go first, so that what all share is there already."""
    few = devices[: max(10, len(devices) // 50)]
    with _holding(stage, target, few, arrival):
        pass
    return growth_kb(pid, partial(_holding, stage, target, devices, arrival), stage.size.landing_seconds) / len(devices)


def _holding(stage: Stage, target: Target, devices: Sequence[str], arrival: _Arrival) -> AbstractContextManager[None]:
    scripts: Path = stage.load.write_scripts("idle", [arrival(stage.requests, device) for device in devices])
    return stage.load.hold(target, scripts, connections=CONNECTIONS)


def _at_provisioning(requests: Requests, device: str) -> list[Step]:
    user_name = f"{requests.identity(device)}/api-version=2019-03-31"
    token = requests.device_token(device)
    return mqtt_scripts.arrival(device, user_name, token, mqtt_scripts.ANSWERS, keep_alive=0)


def _at_hub(requests: Requests, device: str) -> list[Step]:
    user_name = f"{requests.hub_host}/{device}/?api-version=2021-04-12"
    filters = f"devices/{device}/messages/devicebound/#"
    return mqtt_scripts.arrival(device, user_name, requests.hub_token(device), filters, keep_alive=0)
