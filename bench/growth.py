"""Owns what a registration costs beside many others: among many enrollments, and among many enrollment groups; beside
another idscope that has few. It must not know how it is printed.

Both rows are first registrations over whole connections, of devices whose names are scattered among all the others. A
group is found by trying the keys of every group in a fixed order: the devices are of the last one.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.comparison import Contestant, Row, compare
from bench.load import Report
from bench.provisioning import scattered_names
from bench.stage import Stage

AIM: Final = 1.1
CONNECTIONS: Final = 32
_LAST_GROUP: Final = "zz-last"
_PATTERN: Final = "pattern"


def measure_enrollments(stage: Stage) -> Iterator[Row]:
    """A row for each number of enrollments but the first, beside a server with that one."""
    few, *many = stage.size.enrollments
    stage.enroll("fill", [_PATTERN])
    _fill(stage, few)
    with stage.another("many") as other:
        other.enroll("fill", [_PATTERN])
        for number in many:
            _fill(other, number)
            kind = f"among-{number}"
            yield _row(f"{number:,} enrollments", f"idscope with {few:,}", kind, stage, other, _enrolled, AIM)


def measure_groups(stage: Stage) -> Iterator[Row]:
    """A row for each number of symmetric-key groups but the first, beside a server with that one."""
    few, *many = stage.size.groups
    names = [_LAST_GROUP, *(f"group-{index:04d}" for index in range(many[-1] - 1))]
    _create_groups(stage, names[:few])
    with stage.another("many") as other:
        for before, number in itertools.pairwise((0, *many)):
            _create_groups(other, names[before:number])
            kind = f"groups-{number}"
            # Each group costs two tries of its keys, and no aim was set for that.
            yield _row(f"last of {number} groups", f"idscope with {few} group", kind, stage, other, _in_group, None)


Prepared = Callable[[Stage, Sequence[str]], Path]


def _row(name: str, beside: str, kind: str, few: Stage, many: Stage, prepare: Prepared, aim: float | None) -> Row:
    size = few.size
    warm_up = scattered_names(f"{kind}-warm-up", max(10, size.connections // 5))
    rounds = [scattered_names(f"{kind}-{number}", size.connections) for number in range(size.rounds)]

    def contestant(called: str, stage: Stage) -> Contestant:
        _register(stage, prepare(stage, warm_up))
        prepared = {number: prepare(stage, devices) for number, devices in enumerate(rounds)}
        return Contestant(called, stage.server.pid, lambda number: _register(stage, prepared[number]))

    return compare(
        f"connection, first registration, {name}", size, contestant("idscope", many), contestant(beside, few), aim
    )


def _enrolled(stage: Stage, devices: Sequence[str]) -> Path:
    stage.enroll("growth", devices)
    return stage.load.write(f"growth-{devices[0]}", map(stage.requests.register, devices))


def _in_group(stage: Stage, devices: Sequence[str]) -> Path:
    requests = (stage.requests.register_by_group(device, _LAST_GROUP) for device in devices)
    return stage.load.write(f"growth-{devices[0]}", requests)


def _register(stage: Stage, requests: Path) -> Report:
    return stage.load.run(
        stage.target, requests, connections=CONNECTIONS, mode="close", status=202, text='"status":"assigned"'
    )


def _create_groups(stage: Stage, names: Sequence[str]) -> None:
    requests = stage.load.write("groups", map(stage.requests.create_group, names))
    stage.load.run(stage.target, requests, connections=1, mode="keep", status=200)


def _fill(stage: Stage, number: int) -> None:
    """So many enrollments in all: copies of one that was made over the API, written past the server. A million requests
    take minutes, and these are only there to be many."""
    stage.server.stop()
    with closing(sqlite3.connect(stage.server.data_directory / "idscope.db")) as database:
        _copy(database, number)
    stage.restart()


def _copy(database: sqlite3.Connection, number: int) -> None:
    columns = [row[1] for row in database.execute("PRAGMA table_info(enrollment)")]
    copied = ", ".join("lower(hex(randomblob(10)))" if name == "registration_key" else name for name in columns)
    (there,) = database.execute("SELECT count(*) FROM enrollment").fetchone()
    database.execute(
        f"WITH RECURSIVE each(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM each WHERE n < ?) "
        f"INSERT INTO enrollment ({', '.join(columns)}) SELECT {copied} FROM each, enrollment "
        "WHERE registration_key = ?",
        (number - there, _PATTERN),
    )
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
