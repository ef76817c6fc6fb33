"""Owns a clock that stands still until a test moves it. It must not wait for real time."""

from __future__ import annotations

import asyncio
from typing import Final

from idscope.clock import MICROSECONDS

START: Final = 1_700_000_000 * MICROSECONDS  # 2023-11-14T22:13:20Z


class ManualClock:
    """`now()` and `monotonic()` move together, by `advance`; waiters wake in the order of their times."""

    def __init__(self, now: int = START) -> None:
        self._now = now
        self._monotonic = 0.0
        self._waiters: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def wait(self, until: float) -> None:
        if until > self._monotonic:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((until, future))
            await future

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not future.done() for _, future in self._waiters)

    def advance(self, seconds: float) -> None:
        self._now += round(seconds * MICROSECONDS)
        self._monotonic += seconds
        due = sorted((one for one in self._waiters if one[0] <= self._monotonic), key=lambda one: one[0])
        self._waiters = [one for one in self._waiters if one[0] > self._monotonic]
        for _, future in due:
            if not future.done():
                future.set_result(None)

    def set_back(self, seconds: float) -> None:
        """Let the wall clock go back, as an operator or NTP may do; `monotonic()` does not."""
        self._now -= round(seconds * MICROSECONDS)
