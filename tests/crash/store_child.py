"""Owns the test's end of a `committer.py`: what is sent to it, what it answered, and its end."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self


class Committer:
    """A child process with a store; killed at the end of the `with` block at the latest."""

    def __init__(self, database: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("committer.py")), str(database), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def __enter__(self) -> Self:
        assert self.answer() == "ready"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def send(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self, seconds: float = 20.0) -> str:
        """The next line of the child; raises queue.Empty."""
        return self._answers.get(timeout=seconds)

    def ask(self, line: str) -> str:
        self.send(line)
        return self.answer()

    def acknowledged(self, count: int) -> list[str]:
        """The next `count` acknowledged names."""
        return [self.answer().removesuffix(" ok") for _ in range(count)]

    def kill(self) -> list[str]:
        """kill -9; the names that were acknowledged and not asked for yet."""
        self._process.kill()
        self._process.wait()
        self._reading.join()
        if self._process.stdin:
            self._process.stdin.close()
        rest: list[str] = []
        while not self._answers.empty():
            rest.append(self._answers.get().removesuffix(" ok"))
        return rest

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):
                    self._answers.put(line.removesuffix("\n"))
