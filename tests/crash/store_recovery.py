"""Owns the look at a database that a committer left behind, by sqlite3 itself and not by the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def whole_units(database: Path) -> set[str]:
    """The names of all units, once the file proves sound and no unit half written."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        devices = {name for (name,) in connection.execute("SELECT device_id FROM hub_device")}
        twins = {name for (name,) in connection.execute("SELECT device_id FROM hub_twin")}
    assert devices == twins
    return devices
