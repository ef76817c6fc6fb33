"""Owns what is SQLite's own: how a connection is made, and what its errors mean. It must not know a row.

Needs SQLite 3.24 (upsert); measured with 3.40. No other copy of libsqlite may be in the process: two corrupt the file.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from idscope.storage.store import StoreUnavailable

# The durability test turns this OFF to prove that it can fail; nothing else may.
SYNCHRONOUS: str = "FULL"

BEGIN_WRITE: Final = "BEGIN IMMEDIATE"
BEGIN_READ: Final = "BEGIN DEFERRED"

# Writers take turns by `TurnLock`; SQLite's own lock is met only while another process opens or closes the file.
_BUSY_SECONDS: Final = 5.0
_CACHE_KIBIBYTES: Final = 16 * 1024
_CACHED_STATEMENTS: Final = 256

_UNFIT_VALUE: Final = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    ValueError,
    TypeError,
    OverflowError,
)


class TurnLock:
    """A lock between the processes, and threads, that write one database: an exclusive flock on a side file.

    Waiting in the kernel is fair and wakes at once; SQLite's own waiting polls (measured: the 99th percentile of two
    busy processes is 31-52 ms with this lock, 100-740 ms without).
    """

    def __init__(self, database: Path) -> None:
        self._file = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> None:
        """Blocks until nobody else has the turn."""
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def take_at_once(self) -> bool:
        """Whether nobody else had the turn, so that it is ours now."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody has it; or something else, which `take` tells
            return False
        return True

    def give_back(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def close(self) -> None:
        os.close(self._file)


def connect(database: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that any one thread at a time may use; transactions are begun and ended by hand."""
    connection = sqlite3.connect(
        database,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )
    try:
        _require_wal(connection)
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # the checkpoint thread does it, out of the writer's way
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        connection.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")
    except BaseException:
        connection.close()
        raise
    return connection


def make_impatient(connection: sqlite3.Connection) -> None:
    """From now on it fails at once where another process holds SQLite's own lock."""
    connection.execute("PRAGMA busy_timeout = 0")


def begin_patiently(connection: sqlite3.Connection) -> None:
    """Begin to write on an impatient connection, waiting some seconds for SQLite's own lock. Blocks."""
    connection.execute(f"PRAGMA busy_timeout = {round(_BUSY_SECONDS * 1000)}")
    try:
        connection.execute(BEGIN_WRITE)
    finally:
        make_impatient(connection)


def _require_wal(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError("its file system cannot share memory between processes, as a local disk can")


def wal_of(database: Path) -> Path:
    """The write-ahead log that stands beside the database."""
    return database.with_name(database.name + "-wal")


def size_of(file: Path) -> int:
    """Bytes; 0 where there is no such file, or none that can be looked at."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def translated(error: Exception) -> Exception:
    """The engine's failure in the store's words: a value that does not fit is the caller's, the rest is the engine's.

    The text never holds a value: SQLite names columns only.
    """
    if isinstance(error, _UNFIT_VALUE):
        return ValueError(f"a row does not fit its table: {type(error).__name__}")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreUnavailable(reason=f"the database failed: {error} ({name})")
