"""kill -9 of a worker, and of the whole server, during a stream of writes loses nothing that was acknowledged.

IDSCOPE_CRASH_ROUNDS makes it long (`make crash`).
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from gate import FsyncGate, no_checkpoint, wait_until
from server_remains import Remains, remains
from server_writers import Acknowledged, Writers, new_key

from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient

ROUNDS = int(os.environ.get("IDSCOPE_CRASH_ROUNDS", "1"))
WRITES = 100

# A registration goes through three commits: its operation, the hub it was given, the result with the device there.
COMMITS = 3


def workers_of(server: ServerProcess) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def is_replaced(server: ServerProcess, victim: int) -> bool:
    workers = workers_of(server)
    return victim not in workers and len(workers) == 2


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    acknowledged = Acknowledged()
    with ServerProcess(tmp_path, workers=2) as server:
        for turn in range(ROUNDS):
            with Writers(server.ready, f"{turn}", acknowledged) as writers:
                writers.wait_for(WRITES + 7 * (turn % 11))
                victim = workers_of(server)[turn % 2]
                os.kill(victim, signal.SIGKILL)
                writers.wait_for(WRITES)
                wait_until(partial(is_replaced, server, victim))
                writers.wait_for(WRITES)
                server.kill()
            everything_is_on_the_disk(acknowledged, remains(server.data_directory, tmp_path / f"remains-{turn}"))
            server.start()
            everything_is_answered(acknowledged, f"{turn}-", server)


def everything_is_on_the_disk(acknowledged: Acknowledged, found: Remains) -> None:
    assert acknowledged.enrolled.keys() <= found.enrolled
    assert acknowledged.registered.keys() <= found.assigned
    assert acknowledged.hub_devices <= found.hub_devices


def everything_is_answered(acknowledged: Acknowledged, prefix: str, server: ServerProcess) -> None:
    with ServerClient(server.ready) as client:
        for name, key in acknowledged.registered.items():
            if name.startswith(prefix):
                stands_on_its_hub(client, name, key)
                assert client.device("POST", name, key).json()["status"] == "assigned"


def stands_on_its_hub(client: ServerClient, name: str, key: str) -> None:
    authentication = client.hub("GET", f"/devices/{name}").json()["authentication"]
    assert authentication["symmetricKey"] == {"primaryKey": key, "secondaryKey": key}
    assert client.hub("GET", f"/twins/{name}").json()["tags"] == {"of": name}


@pytest.mark.parametrize("commits", range(1, COMMITS + 1))
def test_an_assigning_registration_finishes_after_kill_9_behind_any_commit(tmp_path: Path, commits: int) -> None:
    """A killed process keeps what it has written, so killing it in a commit's fsync is killing it behind the commit."""
    gate, key = FsyncGate(tmp_path), new_key()
    with ServerProcess(tmp_path, azure_timing=True, environment=gate.environment | no_checkpoint()) as server:
        with ServerClient(server.ready) as client:
            assert client.enroll("d", key, initialTwin={"tags": {"of": "d"}}).status == 200
        with ThreadPoolExecutor(1) as pool, ServerClient(server.ready) as client:
            gate.close()
            before = commits_at(gate)
            answer = pool.submit(client.register, "d", key)
            stop_in_commit(gate, before, commits)
            operation = answer.result(20).json()["operationId"] if commits > 1 else None
            server.kill()
            gate.open()
        left = remains(server.data_directory, tmp_path / "remains")
        if commits < COMMITS:
            assert left.operations.keys() == {"d"}
            assert left.assigned == set()
        # The lease of the dead has to end, which a shifted clock makes soon.
        server.command += ["--test-clock", "1m"]
        server.start()
        with ServerClient(server.ready, clock_shift=60) as client:
            if operation is not None:
                path = f"/operations/{operation}"
                wait_until(lambda: client.device("GET", "d", key, path).status == 200)
                assert client.device("GET", "d", key, path).json()["registrationState"]["status"] == "assigned"
            wait_until(lambda: client.device("POST", "d", key).json()["status"] == "assigned")
            stands_on_its_hub(client, "d", key)
            assert client.service("GET", "/enrollments/d").json()["registrationState"]["status"] == "assigned"


def stop_in_commit(gate: FsyncGate, before: int, number: int) -> None:
    """Let commits through until so many have come to the gate; the last of them waits there."""
    for arrivals in range(1, number + 1):
        wait_until(partial(has_come, gate, before + arrivals))
        if arrivals < number:
            gate.let_one_through()


def has_come(gate: FsyncGate, commit: int) -> bool:
    return commits_at(gate) >= commit


def commits_at(gate: FsyncGate) -> int:
    """How many commits came to the gate so far, those included that passed it open."""
    return sum(path.endswith("-wal") for path in gate.arrivals())
