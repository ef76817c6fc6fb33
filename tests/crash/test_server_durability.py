"""The whole server answers no write before the disk says that it has it; reads go on meanwhile."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from gate import FsyncGate, synchronous_off, wait_until

from idscope.testing.application import Response
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient, enrollment

# Longer than the server waits before it answers `assigning`, so that this answer is seen to be durable as well.
WATCHED_SECONDS = 0.8
ASSIGN_WAIT = "0.1"
KEY = base64.b64encode(secrets.token_bytes(32)).decode()

Write = Callable[[ServerClient], Response]
HUB_DEVICE = {"deviceId": "hub-new", "status": "enabled", "authentication": {"type": "sas"}}

WRITES: dict[str, tuple[Write, int]] = {
    "register": (lambda client: client.register("registers", KEY), 202),
    "register again": (lambda client: client.register("registered", KEY), 202),
    "create enrollment": (lambda client: client.enroll("created", KEY), 200),
    "update enrollment": (
        lambda client: client.service("PUT", "/enrollments/updated", enrollment("updated", KEY), if_match="*"),
        200,
    ),
    "delete enrollment": (lambda client: client.service("DELETE", "/enrollments/deleted"), 204),
    "bulk": (
        lambda client: client.service(
            "POST", "/enrollments", {"mode": "create", "enrollments": [enrollment("in-bulk", KEY)]}
        ),
        200,
    ),
    "hub PUT": (lambda client: client.hub("PUT", "/devices/hub-new", HUB_DEVICE), 200),
    "hub DELETE": (lambda client: client.hub("DELETE", "/devices/hub-deleted"), 204),
    "hub bulk": (
        lambda client: client.hub("POST", "/devices", [{"id": "hub-in-bulk", "importMode": "create"}]),
        200,
    ),
    "hub twin PATCH": (lambda client: client.hub("PATCH", "/twins/hub-twin", {"tags": {"floor": 1}}), 200),
}


@contextmanager
def gated_server(
    folder: Path, environment: dict[str, str], arguments: list[str]
) -> Iterator[tuple[ServerProcess, FsyncGate]]:
    """A server with what the writes change, in front of an open gate."""
    gate = FsyncGate(folder)
    with ServerProcess(folder, arguments=arguments, environment=gate.environment | environment) as server:
        with ServerClient(server.ready) as client:
            for name in ("registers", "registered", "updated", "deleted"):
                assert client.enroll(name, KEY).status == 200
            assert client.register("registered", KEY).status == 202
            wait_until(partial(is_assigned, client, "registered"))  # a second one under way would be a conflict
            for name in ("hub-deleted", "hub-twin"):
                assert client.hub("PUT", f"/devices/{name}", {**HUB_DEVICE, "deviceId": name}).status == 200
        try:
            yield server, gate
        finally:
            gate.open()


def answered_while_the_gate_is_closed(
    folder: Path, environment: dict[str, str], arguments: list[str], seconds: float
) -> set[str]:
    """Send all writes behind a closed gate; which were answered before it opens. Then all of them must be."""
    with gated_server(folder, environment, arguments) as (server, gate), ThreadPoolExecutor(len(WRITES) + 1) as pool:
        gate.close()
        arrived = len(gate.arrivals())
        answers = {name: pool.submit(once, server, write) for name, (write, _) in WRITES.items()}
        if not environment:
            gate.wait_for_arrival("-wal", after=arrived)
        early = answered(answers, seconds)
        reads_go_on(server)
        gate.open()
        statuses = {name: answer.result(30).status for name, answer in answers.items()}
        assert statuses == {name: status for name, (_, status) in WRITES.items()}
        everything_is_there(server)
    return early


def once(server: ServerProcess, write: Write) -> Response:
    with ServerClient(server.ready) as client:
        return write(client)


def answered(answers: dict[str, Future[Response]], seconds: float) -> set[str]:
    """Those that are answered within so many seconds; returns early when all are."""
    done, _ = wait(answers.values(), seconds, FIRST_COMPLETED)
    if done:  # it acknowledges early: let it show how much
        done, _ = wait(answers.values(), seconds)
    return {name for name, answer in answers.items() if answer in done}


def reads_go_on(server: ServerProcess) -> None:
    with ServerClient(server.ready, seconds=5) as client:
        assert client.service("GET", "/enrollments/registered").status == 200
        assert client.service("POST", "/enrollments/query", {"query": "SELECT * FROM enrollments"}).status == 200
        assert client.device("POST", "registered", KEY).status == 200
        assert client.hub("GET", "/devices/hub-twin").status == 200
        assert client.operator("GET", "/healthz").status == 200


def everything_is_there(server: ServerProcess) -> None:
    with ServerClient(server.ready) as client:
        for name in ("registers", "registered"):
            wait_until(partial(is_assigned, client, name))
        for name in ("created", "updated", "in-bulk"):
            assert client.service("GET", f"/enrollments/{name}").status == 200
        assert client.service("GET", "/enrollments/deleted").status == 404
        for name, status in {"hub-new": 200, "hub-in-bulk": 200, "hub-deleted": 404, "registers": 200}.items():
            assert client.hub("GET", f"/devices/{name}").status == status
        assert client.hub("GET", "/twins/hub-twin").json()["tags"] == {"floor": 1}


def is_assigned(client: ServerClient, name: str) -> bool:
    return bool(client.device("POST", name, KEY).json()["status"] == "assigned")


@pytest.mark.parametrize("arguments", [["--assign-wait-seconds", ASSIGN_WAIT], ["--azure-timing"]])
def test_no_write_is_answered_before_it_is_durable(tmp_path: Path, arguments: list[str]) -> None:
    assert answered_while_the_gate_is_closed(tmp_path, {}, arguments, WATCHED_SECONDS) == set()


def test_this_durability_test_notices_a_server_that_is_not_durable(tmp_path: Path) -> None:
    arguments = ["--assign-wait-seconds", ASSIGN_WAIT]
    assert answered_while_the_gate_is_closed(tmp_path, synchronous_off(), arguments, 20.0) == set(WRITES)
