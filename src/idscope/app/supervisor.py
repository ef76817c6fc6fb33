"""Owns the worker processes: it forks them, restarts the one that dies, and ends them together.
It must not know what a worker does; it keeps no event loop and no thread, so that forking is safe at any time.

    starting --worker.ready()--> ready --dies--> waiting (back-off) --> starting
    starting --dies, MAX_EARLY_DEATHS times before all were ready for the first time--> the server ends with an error
    any --SIGTERM or SIGINT--> draining --all ended--> the server ends
    draining --second signal, or drain_seconds over--> killed

A worker learns of its supervisor's death by the end of a pipe, and drains as if it had been told to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, NoReturn, TypeAlias

import structlog

MAX_EARLY_DEATHS: Final = 5
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
_STEADY_SECONDS: Final = 30.0
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_CAUGHT: Final = (*_STOP_SIGNALS, signal.SIGCHLD)
_FAILED: Final = 1

_log = structlog.get_logger("idscope.supervisor")


class Worker:
    """What a worker is told: its number from 0, the signals that ask it to drain, and whom to tell that it is ready.

    Forked workers are asked by SIGTERM alone: a Ctrl-C on the terminal reaches them too, and must not count twice.
    """

    def __init__(self, number: int, stop_signals: tuple[signal.Signals, ...], announce: Callable[[], None]) -> None:
        self.number = number
        self.stop_signals = stop_signals
        self._announce = announce

    def ready(self) -> None:
        """Say that every listener of this worker is up."""
        self._announce()


RunWorker: TypeAlias = Callable[[Worker], int]


def run_workers(
    count: int, run_worker: RunWorker, *, drain_seconds: float, on_ready: Callable[[], None] = lambda: None
) -> int:
    """Run so many workers until they are told to stop; the exit code of the server.

    `on_ready` is called once, in this process, when all of them are ready. One worker runs here, without a fork.
    """
    if count == 1:
        return run_worker(Worker(0, _STOP_SIGNALS, on_ready))
    return _Supervisor(count, run_worker, drain_seconds, on_ready).run()


class _Seat:
    """The place of one worker: who sits on it, and when the next one may."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.ready = False
        self.started = 0.0
        self.deaths = 0
        self.start_at = 0.0

    def pause(self, now: float) -> float:
        """Seconds until the next start; longer with each death, short again after a steady time."""
        self.deaths = 1 if self.ready and now - self.started > _STEADY_SECONDS else self.deaths + 1
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (self.deaths - 1))


class _Supervisor:
    def __init__(self, count: int, run_worker: RunWorker, drain_seconds: float, on_ready: Callable[[], None]) -> None:
        self._seats = [_Seat(number) for number in range(count)]
        self._run_worker = run_worker
        self._drain_seconds = drain_seconds
        self._on_ready: Callable[[], None] | None = on_ready
        self._early_deaths = 0
        self._stop_at: float | None = None
        self._signals = 0
        self._code = 0

    def run(self) -> int:
        """Until the last worker has ended."""
        self._ready_out, self._ready_in = os.pipe()
        self._alive_out, self._alive_in = os.pipe()
        self._wake_out, self._wake_in = os.pipe()
        for descriptor in (self._ready_out, self._wake_out, self._wake_in):
            os.set_blocking(descriptor, False)
        with self._signals_caught(), selectors.DefaultSelector() as selector:
            selector.register(self._ready_out, selectors.EVENT_READ)
            selector.register(self._wake_out, selectors.EVENT_READ)
            try:
                while not self._ended():
                    self._step(selector)
            finally:
                self._kill()
                for descriptor in self._descriptors():
                    os.close(descriptor)
        return self._code

    def _step(self, selector: selectors.BaseSelector) -> None:
        for seat in self._seats:
            if seat.pid is None and self._stop_at is None and time.monotonic() >= seat.start_at:
                self._start(seat)
        selector.select(self._time_left())
        self._hear_signals()
        self._hear_ready()
        self._reap()
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self._give_up()

    def _ended(self) -> bool:
        return self._stop_at is not None and all(seat.pid is None for seat in self._seats)

    def _time_left(self) -> float | None:
        """Seconds until something is due by the clock; None: only a signal or a worker can wake us."""
        due = [seat.start_at for seat in self._seats if seat.pid is None] if self._stop_at is None else [self._stop_at]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start(self, seat: _Seat) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that arrives before the child has its own handlers waits: it would end in the parent's pipe.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
        pid = os.fork()
        if pid == 0:
            self._be_worker(seat.number)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        seat.pid, seat.ready, seat.started = pid, False, time.monotonic()

    def _be_worker(self, number: int) -> NoReturn:
        """In the child: never returns into the supervisor's code, nor runs its exit handlers."""
        code = _FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for each in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
            for descriptor in (self._ready_out, self._alive_in, self._wake_out, self._wake_in):
                os.close(descriptor)
            _end_with_supervisor(self._alive_out, self._drain_seconds)
            code = self._run_worker(Worker(number, (signal.SIGTERM,), self._announcement()))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else _FAILED
        except BaseException:  # noqa: BLE001 - it is told, and a worker ends here whatever happened
            _log.exception("worker failed", worker=number)
        finally:
            with contextlib.suppress(Exception):
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _announcement(self) -> Callable[[], None]:
        line = b"%d\n" % os.getpid()

        def announce() -> None:
            os.write(self._ready_in, line)

        return announce

    def _hear_signals(self) -> None:
        for number in _drained(self._wake_out):
            if number in _STOP_SIGNALS:
                self._signals += 1
                self._stop(signal.Signals(number))

    def _hear_ready(self) -> None:
        pids = {int(line) for line in _drained(self._ready_out).split()}
        for seat in self._seats:
            if seat.pid in pids:
                seat.ready = True
        if self._on_ready is not None and all(seat.ready for seat in self._seats):
            on_ready, self._on_ready = self._on_ready, None
            on_ready()

    def _reap(self) -> None:
        for seat in self._seats:
            if seat.pid is None:
                continue
            pid, status = os.waitpid(seat.pid, os.WNOHANG)
            if pid:
                seat.pid = None
                self._bury(seat, pid, os.waitstatus_to_exitcode(status))

    def _bury(self, seat: _Seat, pid: int, code: int) -> None:
        end = {"signal": signal.Signals(-code).name} if code < 0 else {"exit_code": code}
        if self._stop_at is not None:
            # one that was still starting had no handler yet, and nothing to drain
            if code != 0 and not (code == -signal.SIGTERM and not seat.ready):
                self._code = self._code or _FAILED
                _log.warning("worker did not stop cleanly", worker=seat.number, pid=pid, **end)
            return
        self._early_deaths += self._on_ready is not None
        if self._early_deaths >= MAX_EARLY_DEATHS and self._on_ready is not None:
            _log.error("workers die before they are ready: giving up", worker=seat.number, pid=pid, **end)
            self._code = _FAILED
            self._stop(signal.SIGTERM)
            return
        pause = seat.pause(time.monotonic())
        seat.start_at, seat.ready = time.monotonic() + pause, False
        _log.error("worker died and is started again", worker=seat.number, pid=pid, pause_seconds=pause, **end)

    def _stop(self, cause: signal.Signals) -> None:
        if self._signals > 1:
            _log.warning("asked a second time: stopping hard", signal=cause.name)
            self._code = 128 + cause
            self._kill()
            return
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._drain_seconds
            _log.info("stopping", drain_seconds=self._drain_seconds)
            self._tell(signal.SIGTERM)

    def _give_up(self) -> None:
        for seat in self._seats:
            if seat.pid is not None:
                _log.error("worker did not finish in time and is killed", worker=seat.number, pid=seat.pid)
        self._code = self._code or _FAILED
        self._kill()

    def _kill(self) -> None:
        """End what still runs, and wait for it: a killed process ends soon."""
        self._tell(signal.SIGKILL)
        for seat in self._seats:
            if seat.pid is not None:
                os.waitpid(seat.pid, 0)
                seat.pid = None

    def _tell(self, what: signal.Signals) -> None:
        for seat in self._seats:
            if seat.pid is not None:
                os.kill(seat.pid, what)  # not reaped yet, so the number is still this worker's

    @contextlib.contextmanager
    def _signals_caught(self) -> Iterator[None]:
        """Signals arrive as bytes in the wake-up pipe; the handlers only keep the default action away."""
        before = [(each, signal.signal(each, _nothing)) for each in _CAUGHT]
        wakeup = signal.set_wakeup_fd(self._wake_in)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for each, handler in before:
                signal.signal(each, handler)

    def _descriptors(self) -> tuple[int, ...]:
        return (
            *(self._ready_out, self._ready_in),
            *(self._alive_out, self._alive_in),
            *(self._wake_out, self._wake_in),
        )


def _nothing(_number: int, _frame: FrameType | None) -> Any:
    return None


def _drained(descriptor: int) -> bytes:
    """Everything that waits in a pipe."""
    content = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(descriptor, 4096):
            content += part
    return content


def _end_with_supervisor(alive: int, drain_seconds: float) -> None:
    """Drain when the pipe ends, which only the supervisor's end can cause; die if that takes too long."""

    def watch() -> None:
        os.read(alive, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(drain_seconds)
        os._exit(_FAILED)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()
