"""Owns the writing thread: whoever waits in the same instant shares one transaction and one fsync.
It must not know what a statement means."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from idscope.storage.sql.dialect_sqlite import BEGIN_WRITE, TurnLock, connect, size_of, translated, wal_of
from idscope.storage.sql.statements import RAISE_REVISION, Statement
from idscope.storage.store import ExpectationFailed, StoreUnavailable

BATCH_LIMIT: Final = 256  # bounds how long the others wait for their turn, and what one failed COMMIT takes with it
QUEUE_LIMIT: Final = 4096  # about a third of a second of work; more is better refused than kept waiting

Outcome = Exception | None


class _Waiting(NamedTuple):
    statements: Sequence[Statement]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[None]


class WriterThread:
    """Carries out units in the order in which they came; answers each once it is durable, or with its failure.

    `wal_grew(bytes)` is told the size of the write-ahead log after each batch.
    """

    def __init__(self, database: Path, *, queue_limit: int, wal_grew: Callable[[int], None]) -> None:
        self._database = database
        self._wal = wal_of(database)
        self._wal_grew = wal_grew
        self._queue_limit = queue_limit
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closing = False
        self._connection = connect(database)
        self._turn = TurnLock(database)
        self._identity = _identity_of(database)
        self._thread = threading.Thread(target=self._run, name="idscope-store-writer", daemon=True)
        self._thread.start()

    def submit(self, statements: Sequence[Statement]) -> asyncio.Future[None]:
        """Queue a unit, from the thread of a running event loop. Raises StoreUnavailable when closed or too busy."""
        if self._closing:
            raise StoreUnavailable(reason="the store is closed")
        if self._queue.qsize() >= self._queue_limit:
            raise StoreUnavailable(reason=f"{self._queue_limit} units are waiting to be written")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Waiting(statements, loop, answer))
        return answer

    def close(self) -> None:
        """Finish what was queued, then release everything. Blocks; not to be called in an event loop's thread."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while batch := self._take():
                _answer(batch, self._carry_out(batch))
                self._wal_grew(size_of(self._wal))
        finally:
            self._connection.close()
            self._turn.close()

    def _take(self) -> list[_Waiting]:
        """Wait for one unit, then take all that wait with it; empty once the queue is closed."""
        batch: list[_Waiting] = []
        with suppress(Empty):
            waiting = self._queue.get()
            while waiting is not None:
                batch.append(waiting)
                if len(batch) == BATCH_LIMIT:
                    return batch
                waiting = self._queue.get_nowait()
            if batch:
                self._queue.put(None)  # nothing is queued behind the end: it is met again in the next turn
        return batch

    def _carry_out(self, batch: list[_Waiting]) -> list[Outcome]:
        try:
            with self._turn.held():
                return self._transaction(batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear it and the thread must live
            return [_failure_of_batch(error) for _ in batch]

    def _transaction(self, batch: list[_Waiting]) -> list[Outcome]:
        self._require_same_file()
        self._connection.execute(BEGIN_WRITE)
        try:
            outcomes = [self._unit(waiting.statements) for waiting in batch]
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return outcomes

    def _unit(self, statements: Sequence[Statement]) -> Outcome:
        """One statement is all or nothing by itself; more of them need a savepoint."""
        if len(statements) == 1 and statements[0].raises_revision is None:
            return self._attempt(statements)
        self._connection.execute("SAVEPOINT unit")
        failure = self._attempt(statements)
        if failure is not None:
            self._connection.execute("ROLLBACK TO unit")
        self._connection.execute("RELEASE unit")
        return failure

    def _attempt(self, statements: Sequence[Statement]) -> Outcome:
        try:
            self._execute(statements)
        except ExpectationFailed as failed:
            return failed
        except Exception as error:
            if not self._connection.in_transaction:
                raise  # the engine took back the whole transaction (disk full, I/O error): all units of it failed
            return translated(error)
        return None

    def _execute(self, statements: Sequence[Statement]) -> None:
        execute = self._connection.execute
        for index, (sql, values, conditional, raises_revision) in enumerate(statements):
            changed = execute(sql, values).rowcount
            if changed and raises_revision is not None:
                execute(RAISE_REVISION, raises_revision)
            elif conditional and not changed:
                raise ExpectationFailed(index)

    def _require_same_file(self) -> None:
        """A file that was deleted or replaced still takes writes, and loses them: nothing of it is acknowledged."""
        if _identity_of(self._database) != self._identity:
            raise StoreUnavailable(reason=f"{self._database} was replaced while it was open")


def _identity_of(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def _failure_of_batch(error: Exception) -> Exception:
    """A new exception for each caller: a shared one would collect all their tracebacks."""
    failure = error if isinstance(error, StoreUnavailable) else translated(error)
    return StoreUnavailable(reason=failure.reason if isinstance(failure, StoreUnavailable) else str(failure))


def _answer(batch: list[_Waiting], outcomes: list[Outcome]) -> None:
    """Wake all callers of an event loop with one call into it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], Outcome]]] = defaultdict(list)
    for waiting, outcome in zip(batch, outcomes, strict=True):
        by_loop[waiting.loop].append((waiting.answer, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: list[tuple[asyncio.Future[None], Outcome]]) -> None:
    for answer, outcome in answers:
        if answer.done():
            continue  # the caller was cancelled; the write stands all the same
        if outcome is None:
            answer.set_result(None)
        else:
            answer.set_exception(outcome)
