"""Owns the command line of the benchmarks: `python -m bench [--smoke] [NAME …]`. It must not know what they measure."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import (
    amqp_connections,
    growth,
    https_connections,
    idle_connections,
    keep_alive,
    machine,
    mosquitto,
    mqtt_connections,
    nginx,
    report,
    x509_connections,
)
from bench.comparison import NotTheSame, Row
from bench.load import LoadFailed
from bench.machine import NotDurable
from bench.memory import MemoryRow
from bench.mosquitto import MosquittoMissing
from bench.nginx import NginxMissing
from bench.processes import ProcessesChanged
from bench.stage import FULL, SMOKE, Stage, stage

BENCHES: Final[Mapping[str, Callable[[Stage], Iterator[Row | MemoryRow]]]] = {
    "https_connections": https_connections.measure,
    "x509_connections": x509_connections.measure,
    "keep_alive": keep_alive.measure,
    "mqtt_connections": mqtt_connections.measure,
    "amqp_connections": amqp_connections.measure,
    "enrollments": growth.measure_enrollments,
    "groups": growth.measure_groups,
    "idle_connections": idle_connections.measure,
}
_RESULTS: Final = Path(__file__).parent / "results"


def main() -> int:
    """1 where nothing was measured; why is said in one sentence."""
    try:
        _run(_arguments())
    except (NotDurable, NginxMissing, MosquittoMissing, LoadFailed, NotTheSame, ProcessesChanged) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    return 0


def _run(arguments: argparse.Namespace) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # idle connections are thousands, on both sides
    size = SMOKE if arguments.smoke else FULL
    if arguments.rounds is not None:
        size = size._replace(rounds=arguments.rounds)
    rows: list[Row | MemoryRow] = []
    with tempfile.TemporaryDirectory(prefix="idscope-bench-", dir=arguments.directory) as name:
        facts = machine.describe(Path(name), {"nginx": nginx.version(), "mosquitto": mosquitto.version()})
        facts |= {"rounds": size.rounds, "smoke": arguments.smoke}
        for bench in arguments.names or BENCHES:
            (directory := Path(name) / bench).mkdir()
            with stage(directory, size) as one:
                for row in BENCHES[bench](one):
                    print(f"{row.name}: {row.ratio:.2f}", file=sys.stderr)
                    rows.append(row)
    file = arguments.json or _RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    report.write_json(file, facts, rows)
    print(report.table(facts, rows))
    print(f"\nAll rounds: {file}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures idscope beside nginx and mosquitto.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (all): {', '.join(BENCHES)}")
    parser.add_argument("--smoke", action="store_true", help="tiny: shows that it runs, measures nothing")
    parser.add_argument("--rounds", type=int, help=f"rounds of each row (default {FULL.rounds})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results are kept")
    parser.add_argument(
        "--directory", type=Path, default=Path("/var/tmp"), help="a directory on a disk for the servers' files"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHES)
    if unknown:
        parser.error(f"there is no bench called {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
