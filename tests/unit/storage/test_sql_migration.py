"""A database is brought up to date once, after a backup, and never by a code that is too old for it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from idscope import __version__
from idscope.storage.sql import CannotOpenStore, DatabaseTooNew, open_store
from idscope.storage.sql.migration import Migration, bring_up_to_date, landed_migrations

LANDED = landed_migrations()
NEXT = Migration(
    LANDED[-1].version + 1,
    "0.1.0",
    """CREATE TABLE later (name TEXT); -- a remark;
INSERT INTO later
VALUES ('a;b');
ALTER TABLE server ADD COLUMN more TEXT;
""",
)
BROKEN = Migration(
    LANDED[-1].version + 1,
    "0.1.0",
    """CREATE TABLE later (name TEXT);
CREATE TABLE server (name TEXT);
""",
)


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of the landed schema with one row."""
    file = tmp_path / "store.db"
    bring_up_to_date(file, LANDED)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO server VALUES ('n', 's')")
    return file


def numbers_of(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def backups(database: Path) -> list[str]:
    return sorted(file.name for file in database.parent.iterdir() if "backup" in file.name)


def test_migrations_are_numbered_without_a_gap_and_name_a_code_that_exists() -> None:
    assert [migration.version for migration in LANDED] == list(range(1, len(LANDED) + 1))
    for migration in LANDED:
        assert numbers_of(migration.oldest_code) <= numbers_of(__version__)


def test_a_new_database_is_made_without_a_backup(database: Path) -> None:
    assert rows(database, "SELECT version, oldest_code FROM schema_version") == [
        (migration.version, migration.oldest_code) for migration in LANDED
    ]
    assert rows(database, "SELECT 1 FROM schema_version WHERE applied_at < 1700000000000000") == []
    assert backups(database) == []


def test_an_older_database_is_backed_up_then_migrated(database: Path) -> None:
    bring_up_to_date(database, [*LANDED, NEXT])
    assert rows(database, "SELECT * FROM later") == [("a;b",)]
    assert rows(database, "SELECT * FROM server") == [("n", "s", None)]
    assert backups(database) == [f"store.db.backup-before-{NEXT.version:04d}"]
    backup = database.with_name(backups(database)[0])
    assert backup.stat().st_mode & 0o777 == 0o600
    assert rows(backup, "SELECT * FROM server") == [("n", "s")]
    assert rows(backup, "SELECT max(version) FROM schema_version") == [(LANDED[-1].version,)]


def test_what_is_up_to_date_is_left_alone(database: Path) -> None:
    before = rows(database, "SELECT * FROM schema_version")
    bring_up_to_date(database, LANDED)
    assert rows(database, "SELECT * FROM schema_version") == before
    assert backups(database) == []


def test_a_migration_that_fails_leaves_the_database_as_it_was(database: Path) -> None:
    with pytest.raises(CannotOpenStore, match="already exists"):
        bring_up_to_date(database, [*LANDED, BROKEN])
    assert rows(database, "SELECT name FROM sqlite_master WHERE name = 'later'") == []
    assert rows(database, "SELECT max(version) FROM schema_version") == [(LANDED[-1].version,)]
    bring_up_to_date(database, [*LANDED, NEXT])
    assert rows(database, "SELECT * FROM later") == [("a;b",)]


def test_starts_at_the_same_time_migrate_once(database: Path) -> None:
    failures: list[CannotOpenStore] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait()
        try:
            bring_up_to_date(database, [*LANDED, NEXT])
        except CannotOpenStore as failure:
            failures.append(failure)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows(database, "SELECT * FROM later") == [("a;b",)]


def test_a_database_of_a_newer_code_is_refused_with_advice(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (9000, 1, '99.1.0')")
    with pytest.raises(DatabaseTooNew, match=r"99\.1\.0") as caught:
        open_store(database)
    assert isinstance(caught.value, CannotOpenStore)
    assert "backup" in str(caught.value)


def test_a_newer_database_that_still_bears_this_code_is_opened(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (9000, 1, ?)", (__version__,))
    bring_up_to_date(database, LANDED)
    assert backups(database) == []
