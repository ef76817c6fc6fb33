"""Owns the writing: whoever waits in the same instant shares one transaction and one fsync.
It must not know what a statement means.

Statements run in the event loop's thread, as reads do; only what waits, for the disk or for another process, is done
in a thread of its own. A statement takes 6 µs; to hand the interpreter to another thread and back for each takes longer
(measured: a first registration, about six statements, costs router, workflow and store 460-650 µs of CPU that way,
290-350 µs this way).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

from idscope.storage.sql.dialect_sqlite import (
    BEGIN_WRITE,
    TurnLock,
    begin_patiently,
    connect,
    make_impatient,
    size_of,
    translated,
    wal_of,
)
from idscope.storage.sql.statements import RAISE_REVISION, Statement
from idscope.storage.store import ExpectationFailed, StoreUnavailable

BATCH_LIMIT: Final = 64  # units; bounds how long the loop and the others wait, and what one failed COMMIT takes with it
GATHER_SECONDS: Final = 0.004  # how long a busy loop puts a batch off at most; an idle one does not
IDLE_SECONDS: Final = 0.00005  # a turn of the loop that is shorter had nothing else to do
QUEUE_LIMIT: Final = 4096  # about a third of a second of work; more is better refused than kept waiting

Outcome = Exception | None


class _Waiting(NamedTuple):
    statements: Sequence[Statement]
    answer: asyncio.Future[None]


class Writer:
    """Carries out units in the order in which they came; answers each once it is durable, or with its failure.

    All but the thread is for one event loop. `wal_grew(bytes)` is told the size of the write-ahead log after each
    batch.
    """

    def __init__(self, database: Path, *, queue_limit: int, wal_grew: Callable[[int], None]) -> None:
        self._database = database
        self._wal = wal_of(database)
        self._wal_grew = wal_grew
        self._queue_limit = queue_limit
        self._waiting: deque[_Waiting] = deque()
        self._busy = False  # a batch is under way, or the next one is about to begin
        self._idle: asyncio.Future[None] | None = None  # set once the writer is closing
        self._connection = connect(database)
        make_impatient(self._connection)
        self._turn = TurnLock(database)
        self._identity = _identity_of(database)
        self._errands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run_errands, name="idscope-store-writer", daemon=True)
        self._thread.start()

    def submit(self, statements: Sequence[Statement]) -> asyncio.Future[None]:
        """Queue a unit. Raises StoreUnavailable when closed or too busy."""
        if self._idle is not None:
            raise StoreUnavailable(reason="the store is closed")
        if len(self._waiting) >= self._queue_limit:
            raise StoreUnavailable(reason=f"{self._queue_limit} units are waiting to be written")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        self._waiting.append(_Waiting(statements, answer))
        if not self._busy:
            self._busy = True
            self._gather(loop)
        return answer

    async def close(self) -> None:
        """Finish what was queued, then release everything."""
        if self._idle is None:
            self._idle = asyncio.get_running_loop().create_future()
            if not self._busy:
                self._idle.set_result(None)
            self._idle.add_done_callback(lambda _: self._errands.put(None))
        await asyncio.shield(self._idle)
        await asyncio.to_thread(self._thread.join)

    # In the event loop

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin the next batch once the loop has nothing else to do: what it does until then may still join."""
        now = time.monotonic()
        loop.call_soon(self._look_again, loop, now, now + GATHER_SECONDS)

    def _look_again(self, loop: asyncio.AbstractEventLoop, looked: float, until: float) -> None:
        now = time.monotonic()
        if now >= until or now - looked < IDLE_SECONDS:
            self._begin_batch(loop)
        else:
            loop.call_soon(self._look_again, loop, now, until)

    def _begin_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting:
            self._busy = False
            if self._idle is not None:
                self._idle.set_result(None)
        elif self._take_turn_at_once():
            self._carry_out(loop, None)
        else:
            self._errands.put(lambda: self._await_turn(loop))

    def _take_turn_at_once(self) -> bool:
        """Begin a transaction if nobody else writes; what else hinders it is met again, and told, by `_await_turn`."""
        if not self._turn.take_at_once():
            return False
        try:
            self._connection.execute(BEGIN_WRITE)
        except Exception:  # noqa: BLE001  # as above
            self._turn.give_back()
            return False
        return True

    def _carry_out(self, loop: asyncio.AbstractEventLoop, problem: Exception | None) -> None:
        """Run the statements of all that waits; the transaction is begun, unless there was a problem."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_LIMIT))]
        try:
            self._require_ready(problem)
            outcomes = [self._unit(waiting.statements) for waiting in batch]
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear it
            self._undo()
            self._turn.give_back()
            self._settle(loop, batch, _failures_of_batch(batch, error))
        else:
            self._errands.put(lambda: self._make_durable(loop, batch, outcomes))

    def _settle(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], outcomes: Sequence[Outcome]) -> None:
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():
                continue  # the caller was cancelled; the write stands all the same
            if outcome is None:
                waiting.answer.set_result(None)
            else:
                waiting.answer.set_exception(outcome)
        self._gather(loop)

    # In the thread

    def _run_errands(self) -> None:
        try:
            while errand := self._errands.get():
                with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
                    errand()
        finally:
            self._connection.close()
            self._turn.close()

    def _await_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        problem: Exception | None = None
        try:
            self._turn.take()
            begin_patiently(self._connection)
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear it
            problem = error
        loop.call_soon_threadsafe(self._carry_out, loop, problem)

    def _make_durable(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], outcomes: Sequence[Outcome]
    ) -> None:
        try:
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear it
            self._undo()
            outcomes = _failures_of_batch(batch, error)
        self._turn.give_back()
        loop.call_soon_threadsafe(self._settle, loop, batch, outcomes)
        self._wal_grew(size_of(self._wal))

    # In either, while it is this process's turn

    def _undo(self) -> None:
        with suppress(Exception):  # a transaction that cannot be undone hinders the next one, whose callers hear it
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

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

    def _require_ready(self, problem: Exception | None) -> None:
        """A file that was deleted or replaced still takes writes, and loses them: nothing of it is acknowledged."""
        if problem is not None:
            raise problem
        if _identity_of(self._database) != self._identity:
            raise StoreUnavailable(reason=f"{self._database} was replaced while it was open")


def _identity_of(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def _failures_of_batch(batch: Sequence[_Waiting], error: Exception) -> list[Outcome]:
    """A new exception for each caller: a shared one would collect all their tracebacks."""
    failure = error if isinstance(error, StoreUnavailable) else translated(error)
    reason = failure.reason if isinstance(failure, StoreUnavailable) else str(failure)
    return [StoreUnavailable(reason=reason) for _ in batch]
