from __future__ import annotations

import asyncio

import pytest

from idscope.frontends.deadlines import NEVER, Deadlines, resolution_for


class Waiting:
    def __init__(self, deadline: float, deadlines: Deadlines) -> None:
        self.deadline = deadline
        self.deadlines = deadlines
        self.passed = asyncio.Event()

    def on_deadline(self) -> None:
        self.deadline = NEVER
        self.deadlines.discard(self)
        self.passed.set()


def test_what_is_over_is_told_and_what_is_not_is_left() -> None:
    async def run() -> None:
        deadlines = Deadlines(0.01)
        now = asyncio.get_running_loop().time()
        over, early, never = (Waiting(moment, deadlines) for moment in (now, now + 0.03, NEVER))
        for waiting in (over, early, never):
            deadlines.add(waiting)
        await asyncio.wait_for(asyncio.gather(over.passed.wait(), early.passed.wait()), 5)
        assert asyncio.get_running_loop().time() >= now + 0.03
        assert not never.passed.is_set()
        deadlines.discard(never)

    asyncio.run(run())


@pytest.mark.parametrize(("limits", "resolution"), [((10, 60), 1.0), ((0.4, 60), 0.1), ((0.001,), 0.01)])
def test_the_shortest_limit_says_how_often_to_look(limits: tuple[float, ...], resolution: float) -> None:
    assert resolution_for(*limits) == pytest.approx(resolution)
