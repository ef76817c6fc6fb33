"""Owns the look at what a dead server left on the disk, by sqlite3 itself and on a copy, so that the server recovers
by itself. It must not know what was acknowledged."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Remains:
    """Names by kind; `operations` has the step of each unfinished registration."""

    enrolled: set[str]
    assigned: set[str]
    hub_devices: set[str]
    operations: dict[str, str]


def remains(data: Path, scratch: Path) -> Remains:
    """What is stored, once the file proves sound and nothing in it half written."""
    scratch.mkdir()
    for name in ("idscope.db", "idscope.db-wal"):
        if (data / name).exists():
            shutil.copyfile(data / name, scratch / name)
    with closing(sqlite3.connect(scratch / "idscope.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = _read(connection)
        twins = {name for (name,) in connection.execute("SELECT device_id FROM hub_twin")}
        assert found.hub_devices == twins
    assert found.assigned <= found.enrolled
    assert found.assigned <= found.hub_devices
    return found


def _read(connection: sqlite3.Connection) -> Remains:
    registrations = connection.execute("SELECT status, document FROM registration").fetchall()
    return Remains(
        enrolled={name for (name,) in connection.execute("SELECT registration_key FROM enrollment")},
        assigned={json.loads(document)["registrationId"] for status, document in registrations if status == "assigned"},
        hub_devices={name for (name,) in connection.execute("SELECT device_id FROM hub_device")},
        operations=dict(connection.execute("SELECT registration_key, step FROM operation")),
    )
