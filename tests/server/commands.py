"""Owns the running of the command line as a person does: a process, its outputs, its exit code. It must not know what
a command does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "idscope")


def idscope(*arguments: str | Path, code: int = 0, given: str = "") -> str:
    """What the command says, on both outputs."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input=given)
    assert done.returncode == code, done
    return done.stdout + done.stderr
