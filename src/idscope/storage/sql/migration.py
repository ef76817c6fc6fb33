"""Owns the schema's history: which migrations there are, and how a database file is brought up to date at start.
It must not know what the tables are for."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from idscope import __version__
from idscope.clock import SystemClock
from idscope.storage.sql.dialect_sqlite import BEGIN_WRITE, TurnLock, connect

_NAME: Final = re.compile(r"(\d{4})_\w+\.sql")
_OLDEST_CODE: Final = re.compile(r"^-- oldest code: (\d+\.\d+\.\d+)$", re.MULTILINE)


class CannotOpenStore(Exception):
    """The database cannot be opened; the text says why, and what the operator can do."""


class DatabaseTooNew(CannotOpenStore):
    """A newer idscope has migrated the database to something that this one would damage."""


class Migration(msgspec.Struct, frozen=True):
    """One step forward. `oldest_code` is the oldest idscope that may run on a database after it."""

    version: int
    oldest_code: str
    script: str


def landed_migrations() -> tuple[Migration, ...]:
    """All migrations of this code, in order, from the files `migrations/NNNN_name.sql`."""
    folder = files("idscope.storage.sql") / "migrations"
    found = [
        (match[1], entry.read_text("utf-8")) for entry in folder.iterdir() if (match := _NAME.fullmatch(entry.name))
    ]
    return tuple(Migration(int(number), _oldest_code(script), script) for number, script in sorted(found))


def bring_up_to_date(database: Path, migrations: Sequence[Migration]) -> None:
    """Create or migrate the file; processes that start together do it once. Raises CannotOpenStore."""
    if not database.parent.is_dir():
        raise CannotOpenStore(f"The data directory {database.parent} does not exist: create it, or name another.")
    try:
        with closing(TurnLock(database)) as turn, turn.held():
            _create_private(database)
            with closing(connect(database)) as connection:
                _migrate(database, connection, migrations)
    except (sqlite3.Error, OSError) as error:
        raise CannotOpenStore(
            f"{database} cannot be opened as a database: {error}. Check that it is this server's file, that its owner"
            " runs the server, and that the disk has room; otherwise restore a backup."
        ) from error


def _migrate(database: Path, connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    version = _require_usable(database, connection, migrations[-1].version)
    missing = [migration for migration in migrations if migration.version > version]
    if missing and version:
        _back_up(connection, database.with_name(f"{database.name}.backup-before-{missing[-1].version:04d}"))
    for migration in missing:
        _apply(connection, migration)


def _require_usable(database: Path, connection: sqlite3.Connection, newest: int) -> int:
    """The database's version, 0 when it is new."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone():
        return 0
    rows = connection.execute("SELECT version, oldest_code FROM schema_version ORDER BY version").fetchall()
    version, oldest_code = rows[-1]
    if version > newest and _parsed(oldest_code) > _parsed(__version__):
        raise DatabaseTooNew(
            f"{database} has schema {version}, which needs idscope {oldest_code} or newer; this is {__version__}."
            f" Install idscope {oldest_code}, or restore the backup made before that upgrade"
            f" ({database.name}.backup-before-…) in place of the database."
        )
    return int(version)


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    connection.execute(BEGIN_WRITE)
    try:
        for statement in _statements_of(migration.script):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_version (version, applied_at, oldest_code) VALUES (?, ?, ?)",
            (migration.version, SystemClock().now(), migration.oldest_code),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    """A whole copy, made while others may read; it gets its name only when it is complete."""
    unfinished = target.with_name(target.name + ".unfinished")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    _create_private(unfinished)
    with closing(sqlite3.connect(unfinished)) as copy:
        connection.backup(copy)
    unfinished.rename(target)
    _sync_folder(target.parent)


def _create_private(file: Path) -> None:
    """Make sure that the file is there, readable by its owner only (SQLite gives its log the same mode)."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _statements_of(script: str) -> Iterator[str]:
    """One statement at a time: `executescript` would commit whatever is open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _oldest_code(script: str) -> str:
    match = _OLDEST_CODE.search(script)
    if match is None:
        raise ValueError("a migration says `-- oldest code: X.Y.Z` in a line of its own")
    return match[1]


def _parsed(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
