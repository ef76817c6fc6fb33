"""Owns the time limits of connections: one sweep for all of them instead of a timer for each. It must not know what
a connection waits for."""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

NEVER: Final = math.inf


class Timed(Protocol):
    """A connection with a limit: `deadline` in seconds of `loop.time()`, or NEVER."""

    deadline: float

    def on_deadline(self) -> None:
        """The deadline has passed; sets the next one."""
        ...


class Deadlines:
    """Looks every `resolution` seconds, while there is anything to look at, for deadlines that have passed.

    Setting a deadline is one assignment, so that a request which meets its limits pays nothing for having them.
    """

    __slots__ = ("_loop", "_sweep_handle", "_timed", "resolution")

    def __init__(self, resolution: float) -> None:
        self.resolution = resolution
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timed: set[Timed] = set()
        self._sweep_handle: asyncio.TimerHandle | None = None

    def add(self, timed: Timed) -> None:
        """From now on `timed.deadline` is watched; called on the loop's thread."""
        self._timed.add(timed)
        if self._sweep_handle is None:
            self._loop = asyncio.get_running_loop()
            self._sweep_handle = self._loop.call_later(self.resolution, self._sweep)

    def discard(self, timed: Timed) -> None:
        """`timed` is no longer watched; the sweep ends by itself when nothing is left."""
        self._timed.discard(timed)

    def _sweep(self) -> None:
        self._sweep_handle = None
        if not self._timed or self._loop is None:
            return
        now = self._loop.time()
        for timed in [timed for timed in self._timed if timed.deadline <= now]:
            timed.on_deadline()
        self._sweep_handle = self._loop.call_later(self.resolution, self._sweep)


def resolution_for(*limits: float) -> float:
    """How often to look: a quarter of the shortest limit, at least each second, at most once in 10 ms."""
    return min(1.0, max(0.01, min(limits) / 4))
