"""Owns disks that misbehave on command, for whole processes: one that does not answer, and one that is full.
It must not know what runs on them.

    gate = FsyncGate(tmp_path)
    child = subprocess.Popen(command, env=os.environ | gate.environment)
    gate.close()   # from now on no fsync of the child, or of its children, returns
    gate.open()
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_HERE = Path(__file__).parent


class FsyncGate:
    """Holds every fsync and fdatasync of the processes that get its `environment`, while it is closed."""

    def __init__(self, folder: Path) -> None:
        self._gate = folder / "fsync-gate"
        self._arrivals = folder / "fsync-arrivals"
        self._gate.touch()
        self._arrivals.touch()
        self._passes = folder / "fsync-passes"
        os.mkfifo(self._passes)
        self._closed: tuple[int, int] | None = None  # what holds the gate, and the pipe that lets one through
        self.environment = {
            "LD_PRELOAD": str(built(folder, "fsync_gate.c")),
            "FSYNC_GATE_PASSES": str(self._passes),
            "FSYNC_GATE": str(self._gate),
            "FSYNC_GATE_ARRIVALS": str(self._arrivals),
        }

    def close(self) -> None:
        """Returns once no fsync is on its way through the gate; no other will return until it is opened."""
        if self._closed is None:
            lock = os.open(self._gate, os.O_RDONLY | os.O_CLOEXEC)
            # Both ends of the pipe: opening it waits for nobody, and what is written stays in it.
            self._closed = (lock, os.open(self._passes, os.O_RDWR | os.O_CLOEXEC))
            fcntl.flock(lock, fcntl.LOCK_EX)

    def let_one_through(self) -> None:
        """The one that waits at the closed gate, or the next to come."""
        assert self._closed is not None, "the gate is open"
        os.write(self._closed[1], b".")

    def open(self) -> None:
        if self._closed is not None:
            for descriptor in self._closed:
                os.close(descriptor)
            self._closed = None

    def arrivals(self) -> list[str]:
        """The files whose synchronisation was asked for so far, in that order."""
        return self._arrivals.read_text().splitlines()

    def wait_for_arrival(self, suffix: str, *, after: int = 0) -> None:
        """Return once a file of this suffix is to be synchronised, not counting the first `after` arrivals."""
        wait_until(lambda: any(path.endswith(suffix) for path in self.arrivals()[after:]))


class FullDisk:
    """Lets writes below a folder fail for want of room, between `fill()` and `free()`."""

    def __init__(self, folder: Path, data: Path) -> None:
        self._mark = folder / "disk-is-full"
        self.environment = {
            "LD_PRELOAD": str(built(folder, "full_disk.c")),
            "FULL_DISK": str(self._mark),
            "FULL_DISK_FOLDER": f"{data.resolve()}/",
        }

    def fill(self) -> None:
        self._mark.touch()

    def free(self) -> None:
        self._mark.unlink()


def synchronous_off() -> dict[str, str]:
    """The environment in which every store acknowledges before it is durable: what a durability test must notice."""
    return {"PYTHONPATH": str(_HERE / "synchronous_off")}


def no_checkpoint() -> dict[str, str]:
    """The environment in which only commits synchronise a store's log."""
    return {"PYTHONPATH": str(_HERE / "no_checkpoint")}


def built(folder: Path, source: str) -> Path:
    """Compile one of the shims into the folder."""
    library = (folder / source).with_suffix(".so")
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(_HERE / source), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Ask again and again; a test fails here when the answer stays no."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come about within {seconds} s")
        time.sleep(0.005)
