"""Makes `schema_NNNN.sql`: a small database as the newest migration leaves it, with one row of each kind.

Run it once when a migration lands, commit what it writes, and never run it for that version again: the dump is the
proof that a database of that time can still be opened.

    python tests/upgrade/make_schema_dump.py
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from idscope.model.etag import ABSENT
from idscope.storage import Put, Unit
from idscope.storage.sql import open_store
from idscope.storage.sql.migration import landed_migrations
from idscope.testing.sample_rows import ONE_OF_EACH


async def fill(database: Path) -> None:
    store = open_store(database)
    await store.commit(Unit.of(*(Put(row, ABSENT) for row in ONE_OF_EACH)))
    await store.close()


def main() -> None:
    target = Path(__file__).with_name(f"schema_{landed_migrations()[-1].version:04d}.sql")
    if target.exists():
        raise SystemExit(f"{target.name} has landed: it is not made again.")
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "store.db"
        asyncio.run(fill(database))
        with closing(sqlite3.connect(database)) as connection:
            target.write_text("\n".join(connection.iterdump()) + "\n", "utf-8")


if __name__ == "__main__":
    main()
