"""Owns the weighing: what a server's memory grows by, and the ratio of two servers. It must not know for what."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from bench.processes import CpuMeter, resident_bytes

_QUIET_CPU_SECONDS = 0.01
_LOOKS = 40


class MemoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one weighing; KB are 1024 bytes for each connection."""

    name: str
    beside: str
    connections: int
    ratio: float
    idscope_kb: float
    neighbour_kb: float


def growth_kb(pid: int, burden: Callable[[], AbstractContextManager[None]], look_seconds: float) -> float:
    """By how much the memory in RAM is more while the burden stands than before; looks so often whether it is quiet."""
    _await_quiet(pid, look_seconds)
    before = resident_bytes(pid)
    with burden():
        _await_quiet(pid, look_seconds)
        return (resident_bytes(pid) - before) / 1024


def _await_quiet(pid: int, look_seconds: float) -> None:
    """Until deferred work has landed."""
    for _ in range(_LOOKS):
        meter = CpuMeter(pid)
        time.sleep(look_seconds)
        if meter.seconds() < _QUIET_CPU_SECONDS:
            return
