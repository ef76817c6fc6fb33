"""Owns the facts that a figure means nothing without: machine, commit, versions, file system.
It must not know what was measured."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.backends.openssl import backend

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_SYNCS: Final = 200
_REPOSITORY: Final = Path(__file__).parent.parent


class NotDurable(RuntimeError):
    """The directory lies in memory, where nothing is ever durable and fdatasync costs nothing."""


def describe(directory: Path, neighbours: Mapping[str, str]) -> dict[str, Any]:
    """`neighbours` with their versions. Raises NotDurable."""
    kind = file_system_of(directory)
    if kind in IN_MEMORY:
        raise NotDurable(f"{directory} is on {kind}: choose a directory on a disk with --directory")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "idscope_openssl": backend.openssl_version_text(),
        **neighbours,
        "file_system": kind,
        "fdatasync_median_us": round(fdatasync_median(directory) * 1e6),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def file_system_of(directory: Path) -> str:
    """The type of the longest mount point above the directory."""
    found = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        mount, kind = line.split()[1:3]
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(found[0]):
            found = (mount, kind)
    return found[1]


def fdatasync_median(directory: Path) -> float:
    """Seconds until 4 KiB appended to a file are durable."""
    file = directory / "fdatasync"
    with file.open("wb", buffering=0) as out:
        seconds = []
        for _ in range(_SYNCS):
            out.write(os.urandom(4096))
            started = time.perf_counter()
            os.fdatasync(out.fileno())
            seconds.append(time.perf_counter() - started)
    file.unlink()
    return statistics.median(seconds)


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{commit} with changes" if git("status", "--porcelain", "--", "src") else commit


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()
