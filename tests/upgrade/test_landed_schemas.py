"""A database of every schema that has landed is opened, brought up to date and read by the present code."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from idscope.storage import EnrollmentRow, Key, ProvisioningServiceRow, RegistrationRow, ServerRow
from idscope.storage.sql import open_store
from idscope.storage.sql.migration import landed_migrations

DUMPS = sorted(Path(__file__).parent.glob("schema_*.sql"))


@pytest.fixture(params=DUMPS, ids=lambda dump: dump.stem)
def old_database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    database = tmp_path / "store.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(request.param.read_text("utf-8"))
    return database


def schema_of(database: Path) -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in rows}


def test_every_landed_schema_has_its_dump() -> None:
    assert [dump.name for dump in DUMPS] == [f"schema_{step.version:04d}.sql" for step in landed_migrations()]


def test_an_old_database_ends_with_the_present_schema(old_database: Path, tmp_path: Path) -> None:
    asyncio.run(open_and_close(old_database))
    asyncio.run(open_and_close(tmp_path / "new.db"))
    assert schema_of(old_database) == schema_of(tmp_path / "new.db")


def test_an_old_database_keeps_its_rows(old_database: Path) -> None:
    asyncio.run(read(old_database))


async def open_and_close(database: Path) -> None:
    await open_store(database).close()


async def read(database: Path) -> None:
    store = open_store(database)
    try:
        found = await store.fetch(
            [
                Key(ServerRow, ("server-key",)),
                Key(ProvisioningServiceRow, ("other",)),
                Key(EnrollmentRow, ("0ne00000001", "tpm-1")),
                Key(RegistrationRow, ("0ne00000001", "ключ-'%_\\")),
            ]
        )
        server, service, enrollment, registration = found
        assert server.sealed == "v1:k:n:c"
        assert (service.document, service.revision) == (b'{"a":1}', 1)
        assert (enrollment.endorsement_key_hash, enrollment.created) == ("AB", 1684537845477793)
        assert (registration.document, registration.enrollment_group_key) == (bytes(range(256)), None)
        assert [row.registration_key for row in await store.expired_operations(0, 9)] == ["r"]
        await store.check()
    finally:
        await store.close()
