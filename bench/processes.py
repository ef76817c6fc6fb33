"""Owns what is known of a running server from outside: its processes, the CPU and memory they use, the
core they run on. It must not know what they serve."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path

SERVER_CORE = 0
CLIENT_CORE = 1


class ProcessesChanged(RuntimeError):
    """A process came or went during a measurement, so its CPU time cannot be told."""


def family(pid: int) -> tuple[int, ...]:
    """The process and all its living descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return tuple(sorted(found))


class CpuMeter:
    """CPU seconds (user and system, all threads, also ended ones, and all children) since it was made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._family = family(pid)
        self._before = self._total()

    def seconds(self) -> float:
        """Raises ProcessesChanged."""
        if family(self._pid) != self._family:
            raise ProcessesChanged(f"the processes below {self._pid} changed while they were measured")
        return self._total() - self._before

    def _total(self) -> float:
        return sum(time.clock_gettime(_cpu_clock(pid)) for pid in self._family)


def _cpu_clock(pid: int) -> int:
    """What clock_getcpuclockid(3) answers on Linux: nanoseconds, where /proc/<pid>/stat counts hundredths."""
    return (~pid << 3) | 2


def resident_bytes(pid: int) -> int:
    """Memory in RAM of the process and its descendants; what they share counts for each."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE")


def answers(address: str, port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL after five seconds."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process, and of its descendants, on one core."""
    for each in family(pid):
        for task in Path(f"/proc/{each}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


def cores() -> tuple[int, int] | None:
    """The cores of server and client; None where there is only one, which no benchmark can share fairly."""
    usable = os.sched_getaffinity(0)
    return (SERVER_CORE, CLIENT_CORE) if {SERVER_CORE, CLIENT_CORE} <= usable else None
