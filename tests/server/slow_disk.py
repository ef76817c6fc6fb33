"""Owns a disk that takes no writes for a while: the turn of the writers, held by the test as by a process that hangs.
It must not know who waits."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from idscope.testing.server import ServerProcess


class SlowDisk:
    """No write of the server is carried out between `with` and `release()`, the end of the block at the latest."""

    def __init__(self, server: ServerProcess) -> None:
        self._path = server.data_directory / "idscope.db.lock"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._lock = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Ask again and again; a test fails here when the answer stays no."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come about within {seconds} s"
        time.sleep(0.01)
