"""Owns a program that runs workers under the supervisor and tells each of their steps in a line of its own.

Usage: python supervised.py COUNT DRAIN_SECONDS BEHAVIOUR; it must not know what the tests expect.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from idscope.app.supervisor import Worker, run_workers


def tell(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def run_worker(worker: Worker) -> int:
    behaviour = sys.argv[3]
    if behaviour == "dies early" or (behaviour == "raises" and worker.number == 1):
        tell(f"died {worker.number}")
        if behaviour == "raises":
            raise RuntimeError("the worker's own trouble")
        return 3
    asked = threading.Event()

    def on_stop(_number: int, _frame: FrameType | None) -> None:
        if behaviour == "never stops":
            tell(f"ignored {worker.number}")
        else:
            asked.set()

    for each in worker.stop_signals:
        signal.signal(each, on_stop)
    tell(f"up {worker.number} {os.getpid()}")
    worker.ready()
    while not asked.wait(0.02):
        pass
    tell(f"drained {worker.number}")
    return 0


if __name__ == "__main__":
    sys.exit(
        run_workers(int(sys.argv[1]), run_worker, drain_seconds=float(sys.argv[2]), on_ready=lambda: tell("ready"))
    )
