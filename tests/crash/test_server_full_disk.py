"""A server on a full disk says so to everybody who writes, changes nothing, goes on reading, and gets over it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from gate import FullDisk, wait_until
from server_writers import new_key

from idscope.testing.application import Response
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient, enrollment

KEY = new_key()
Write = Callable[[ServerClient], Response]

WRITES: dict[str, Write] = {
    "register": lambda client: client.register("enrolled", KEY),
    "create enrollment": lambda client: client.enroll("new", KEY),
    "update enrollment": lambda client: client.service(
        "PUT", "/enrollments/enrolled", enrollment("enrolled", KEY), if_match="*"
    ),
    "delete enrollment": lambda client: client.service("DELETE", "/enrollments/enrolled"),
    "bulk": lambda client: client.service(
        "POST", "/enrollments", {"mode": "create", "enrollments": [enrollment("in-bulk", KEY)]}
    ),
}
HUB_WRITES: dict[str, Write] = {
    "hub PUT": lambda client: client.hub("PUT", "/devices/new", {"deviceId": "new"}),
    "hub DELETE": lambda client: client.hub("DELETE", "/devices/by-hand"),
    "hub bulk": lambda client: client.hub("POST", "/devices", [{"id": "in-bulk", "importMode": "create"}]),
    "hub twin PATCH": lambda client: client.hub("PATCH", "/twins/by-hand", {"tags": {"floor": 1}}),
}


@pytest.fixture
def disk(tmp_path: Path) -> FullDisk:
    (tmp_path / "data").mkdir()
    return FullDisk(tmp_path, tmp_path / "data")


@pytest.fixture
def server(tmp_path: Path, disk: FullDisk) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, environment=disk.environment) as server:
        yield server


def test_a_full_disk_is_said_changes_nothing_and_is_got_over(server: ServerProcess, disk: FullDisk) -> None:
    with ServerClient(server.ready) as client:
        assert client.enroll("enrolled", KEY).status == 200
        assert client.hub("PUT", "/devices/by-hand", {"deviceId": "by-hand"}).status == 200
        assert client.operator("GET", "/readyz").status == 200
        before = dump(server.data_directory)
        disk.fill()
        for name, write in WRITES.items():
            say_so(name, write(client))
        for name, write in HUB_WRITES.items():
            say_so_in_hub_words(name, write(client))
        say_so("readyz", client.operator("GET", "/readyz"))
        assert client.operator("GET", "/healthz").status == 200
        assert client.service("GET", "/enrollments/enrolled").status == 200
        assert client.hub("GET", "/twins/by-hand").status == 200
        assert dump(server.data_directory) == before
        disk.free()
        wait_until(lambda: client.operator("GET", "/readyz").status == 200)
        statuses = {name: write(client).status for name, write in (WRITES | HUB_WRITES).items()}
        assert statuses == {**dict.fromkeys(WRITES | HUB_WRITES, 200), "register": 202, "delete enrollment": 204} | {
            "hub DELETE": 204,
            "hub twin PATCH": 404,
        }
    assert server.stop() == 0
    (warning, *_) = [json.loads(line) for line in server.log_text().splitlines() if '"refused"' in line]
    assert warning["level"] == "warning"
    assert "disk is full" in warning["reason"]


def say_so(name: str, answer: Response) -> None:
    assert answer.status == 503, (name, answer)
    assert answer.json()["errorCode"] == 503000
    assert answer.headers["x-ms-error-code"] == "503000"


def say_so_in_hub_words(name: str, answer: Response) -> None:
    assert answer.status == 503, (name, answer)
    assert answer.headers["iothub-errorcode"] == "ServiceUnavailable"
    assert answer.json()["Message"].startswith("ErrorCode:ServiceUnavailable;")


def dump(data: Path) -> list[str]:
    """Everything that is stored, but for what the server writes by itself."""
    with closing(sqlite3.connect(data / "idscope.db")) as connection:
        connection.execute("PRAGMA query_only = ON")
        return [
            line
            for line in connection.iterdump()
            if not line.startswith(('INSERT INTO "health"', 'INSERT INTO "attempt"'))
        ]
