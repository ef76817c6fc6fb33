"""Owns the price of a service API request on a connection that stays: reads and writes of individual enrollments;
beside nginx answering the same request. It must not know how it is printed.

Every write creates another enrollment, every read of a round asks for another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bench.comparison import Contestant, Row, compare
from bench.load import Report, Target
from bench.provisioning import device_names
from bench.stage import Stage

CONNECTIONS: Final = 16


def measure(stage: Stage) -> Iterator[Row]:
    """Two rows: PUT of new enrollments, GET of the enrollments just made."""
    size = stage.size
    warm_up = device_names("kept-warm-up", max(10, size.requests // 5))
    rounds = [device_names(f"kept-{number}", size.requests) for number in range(size.rounds)]
    requests = stage.requests
    for name, request in (("PUT enrollment", requests.create), ("GET enrollment", requests.read)):
        answer = _send(stage, stage.target, request, warm_up)
        with stage.neighbour(answer.bytes_in // answer.good, keep_alive=True) as (nginx, target):
            _send(stage, target, request, warm_up)
            yield _row(stage, f"kept connection, {name}", request, rounds, nginx.pid, target)


def _row(
    stage: Stage, name: str, request: Callable[[str], bytes], rounds: list[list[str]], nginx_pid: int, target: Target
) -> Row:
    ours = Contestant("idscope", stage.server.pid, lambda number: _send(stage, stage.target, request, rounds[number]))
    theirs = Contestant("nginx", nginx_pid, lambda number: _send(stage, target, request, rounds[number]))
    return compare(name, stage.size, ours, theirs)


def _send(stage: Stage, target: Target, request: Callable[[str], bytes], devices: list[str]) -> Report:
    prepared = stage.load.write("kept", map(request, devices))
    return stage.load.run(target, prepared, connections=CONNECTIONS, mode="keep", status=200)
