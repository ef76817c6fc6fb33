"""What all suites share: the real server process, reproducible property tests, the table of durations.

It must not know what any suite tests.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from idscope.testing.server import ServerProcess

# The same examples on every machine; HYPOTHESIS_PROFILE=random draws new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("random", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

ServeFactory = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeFactory]:
    """Starts servers (arguments as for `ServerProcess`) that live until the module's last test."""
    with ExitStack() as stack:

        def start(**options: Any) -> ServerProcess:
            directory = tmp_path_factory.mktemp("server")
            return stack.enter_context(ServerProcess(directory, **options))

        yield start


class SuiteDurations:
    """Adds up what each suite's tests took, set-up and tear-down included."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self.tests: dict[str, int] = collections.defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        suite = _suite(report.nodeid)
        self.seconds[suite] += report.duration
        self.tests[suite] += report.when == "call"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("durations of the suites")
        for suite, seconds in sorted(self.seconds.items(), key=lambda row: -row[1]):
            terminalreporter.write_line(f"{seconds:8.1f} s  {self.tests[suite]:5d} tests  {suite}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SuiteDurations(), "idscope-suite-durations")


def _suite(nodeid: str) -> str:
    parts = Path(nodeid.partition("::")[0]).parts
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]
