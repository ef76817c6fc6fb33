"""The supervisor with real processes: restart, drain, hard stop, crash loop, and its own death."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("supervised.py")
DEADLINE = 20.0


class Supervised:
    """The program, and the lines it tells."""

    def __init__(self, count: int, drain_seconds: float, behaviour: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(count), str(drain_seconds), behaviour],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self._out = self.process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._text = ""

    def lines_until(self, enough: Callable[[list[str]], bool]) -> list[str]:
        """All lines so far, once they are enough."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            end = time.monotonic() + DEADLINE
            while not enough(lines := self._text.splitlines()):
                assert selector.select(max(0.0, end - time.monotonic())), f"only this was told: {lines}"
                part = os.read(self._out, 65536)
                assert part, f"the program ended after: {lines}"
                self._text += part.decode()
        return self._text.splitlines()

    def up(self, number: int, times: int = 1) -> int:
        """The process id of a worker, once it was up so many times."""
        begin = f"up {number} "
        lines = self.lines_until(lambda lines: sum(line.startswith(begin) for line in lines) >= times)
        return int([line for line in lines if line.startswith(begin)][-1].removeprefix(begin))

    def rest(self) -> list[str]:
        """All lines, once the program has ended."""
        self.process.wait(DEADLINE)
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._out, 65536):
                self._text += part.decode()
        return self._text.splitlines()

    def kill_everything(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


Start = Callable[..., Supervised]


@pytest.fixture
def start() -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def begin(count: int = 2, drain_seconds: float = DEADLINE, behaviour: str = "steady") -> Supervised:
            supervised = Supervised(count, drain_seconds, behaviour)
            stack.callback(supervised.kill_everything)
            return supervised

        yield begin


def gone(pid: int) -> bool:
    """The process has ended (its new parent may not have reaped it yet)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_gone(*pids: int) -> None:
    end = time.monotonic() + DEADLINE
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < end, "a worker outlived its supervisor"
        time.sleep(0.01)


def test_ready_is_told_once_when_all_workers_are(start: Start) -> None:
    server = start(count=3)
    lines = server.lines_until(lambda lines: "ready" in lines)
    assert sorted(line.split()[1] for line in lines if line.startswith("up")) == ["0", "1", "2"]
    server.process.terminate()
    assert server.rest().count("ready") == 1


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_drains_every_worker(start: Start, how: signal.Signals, count: int) -> None:
    server = start(count=count)
    server.lines_until(lambda lines: "ready" in lines)
    server.process.send_signal(how)
    lines = server.rest()
    assert server.process.returncode == 0
    assert sorted(line for line in lines if line.startswith("drained")) == [f"drained {n}" for n in range(count)]


def test_a_ctrl_c_that_reaches_the_workers_too_still_drains(start: Start) -> None:
    server = start()
    server.lines_until(lambda lines: "ready" in lines)
    os.killpg(server.process.pid, signal.SIGINT)
    assert {"drained 0", "drained 1"} <= set(server.rest())
    assert server.process.returncode == 0


def test_a_stop_signal_right_at_the_start_is_not_lost(start: Start) -> None:
    server = start()
    server.up(0)
    server.process.terminate()
    server.rest()
    assert server.process.returncode == 0


def test_a_killed_worker_is_started_again_and_the_other_is_left_alone(start: Start) -> None:
    server = start()
    server.lines_until(lambda lines: "ready" in lines)
    first, other = server.up(0), server.up(1)
    os.kill(first, signal.SIGKILL)
    again = server.up(0, times=2)
    assert again != first
    assert not gone(other)
    server.process.terminate()
    lines = server.rest()
    assert server.process.returncode == 0
    assert lines.count("ready") == 1
    assert {"drained 0", "drained 1"} <= set(lines)


def test_a_worker_that_does_not_stop_is_killed(start: Start) -> None:
    server = start(drain_seconds=0.2, behaviour="never stops")
    server.lines_until(lambda lines: "ready" in lines)
    pids = server.up(0), server.up(1)
    server.process.terminate()
    assert {"ignored 0", "ignored 1"} <= set(server.rest())
    assert server.process.returncode == 1
    assert all(gone(pid) for pid in pids)


def test_a_second_ctrl_c_stops_hard(start: Start) -> None:
    server = start(behaviour="never stops")
    server.lines_until(lambda lines: "ready" in lines)
    pids = server.up(0), server.up(1)
    server.process.send_signal(signal.SIGINT)
    server.lines_until(lambda lines: {"ignored 0", "ignored 1"} <= set(lines))
    server.process.send_signal(signal.SIGINT)
    server.rest()
    assert server.process.returncode == 130
    assert all(gone(pid) for pid in pids)


def test_workers_that_die_before_they_are_ready_end_the_server(start: Start) -> None:
    server = start(behaviour="dies early")
    lines = server.rest()
    assert server.process.returncode == 1
    assert 5 <= sum(line.startswith("died") for line in lines) <= 6
    assert "ready" not in lines


def test_one_worker_that_raises_at_its_start_ends_the_others_too(start: Start) -> None:
    server = start(behaviour="raises")
    lines = server.rest()
    assert server.process.returncode == 1
    assert lines.count("died 1") == 5
    assert "drained 0" in lines


def test_workers_end_when_the_supervisor_is_killed(start: Start) -> None:
    server = start()
    server.lines_until(lambda lines: "ready" in lines)
    pids = server.up(0), server.up(1)
    server.process.kill()
    server.process.wait()
    await_gone(*pids)
    assert {"drained 0", "drained 1"} <= set(server.rest())


def test_workers_that_will_not_drain_end_all_the_same_when_the_supervisor_is_killed(start: Start) -> None:
    server = start(drain_seconds=0.2, behaviour="never stops")
    server.lines_until(lambda lines: "ready" in lines)
    pids = server.up(0), server.up(1)
    server.process.kill()
    server.process.wait()
    await_gone(*pids)
