"""Owns the thread that moves the write-ahead log into the database, so that no write waits for it.
It must not know what is written."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from idscope.storage.sql.dialect_sqlite import TurnLock, connect, size_of, wal_of

PERIOD_SECONDS: Final = 1.0
# The log is kept short for the readers' sake too: they search its index, 4096 pages (16 MiB) at a time.
WAL_LIMIT: Final = 32 * 1024 * 1024
# The truncation holds the writers' lock, so it never waits long for a reader; it tries again a period later.
_TRUNCATE_BUSY_MILLISECONDS: Final = 50


class CheckpointThread:
    """Checkpoints beside the writers every period; past `wal_limit` bytes it takes their turn and empties the log."""

    def __init__(self, database: Path, *, wal_limit: int, period: float = PERIOD_SECONDS) -> None:
        self._wal = wal_of(database)
        self._wal_limit = wal_limit
        self._period = period
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._seen: tuple[int, int] | None = None
        self._connection = connect(database)
        self._connection.execute(f"PRAGMA busy_timeout = {_TRUNCATE_BUSY_MILLISECONDS}")
        self._turn = TurnLock(database)
        self._thread = threading.Thread(target=self._run, name="idscope-store-checkpoint", daemon=True)
        self._thread.start()

    def wal_grew(self, size: int) -> None:
        """Tell the size of the log; called by the writing thread."""
        if size > self._wal_limit:
            self._due.set()

    def close(self) -> None:
        """A last checkpoint, then release everything. Blocks."""
        self._stopping.set()
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._due.wait(self._period)
                self._due.clear()
                if not self._checkpoint():
                    self._stopping.wait(self._period)
            self._truncate()
        finally:
            self._connection.close()
            self._turn.close()

    def _checkpoint(self) -> bool:
        """False if the log should have been emptied and could not be (a reader, another process, a full disk)."""
        if self._unchanged():
            return True
        self._execute("PASSIVE")
        return size_of(self._wal) <= self._wal_limit or self._truncate()

    def _truncate(self) -> bool:
        with suppress(OSError), self._turn.held():
            return self._execute("TRUNCATE")
        return False

    def _execute(self, mode: str) -> bool:
        """An error of the engine is not told here: whoever writes next meets it, and hears it."""
        with suppress(sqlite3.Error):
            busy, _log, _moved = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            return not busy
        return False

    def _unchanged(self) -> bool:
        """Whether nobody, in any process, wrote since the last look; an idle server leaves the disk alone."""
        try:
            status = self._wal.stat()
        except OSError:
            return True
        seen, self._seen = self._seen, (status.st_size, status.st_mtime_ns)
        return seen == self._seen
