"""Owns the measuring itself: rounds in turn, CPU for each piece of work, and the ratio of two servers.
It must not know what the work is.

The two servers run beside each other, on the same core, but never work at the same time. Deferred work (batches,
checkpoints) counts: the meter is read only after a pause in which it lands.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from bench.load import Report
from bench.processes import CpuMeter
from bench.stage import Size


class NotTheSame(RuntimeError):
    """The two servers did not do the same handshake, so their figures do not compare."""


class Contestant(NamedTuple):
    """A server, its name, and the work that it is given in the round of that number."""

    name: str
    pid: int
    work: Callable[[int], Report]


class Measurement(msgspec.Struct, frozen=True):
    """One server in one round; `busy` is the share of the round in which the server used its core."""

    cpu_us: float
    client_cpu_us: float
    busy: float
    median_us: float
    p99_us: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one comparison: medians over the rounds, and the rounds themselves."""

    name: str
    beside: str
    aim: float | None
    pieces: int
    ratio: float
    ratio_range: tuple[float, float]
    idscope_us: float
    neighbour_us: float
    per_cpu_second: float
    idscope_busy: float
    idscope_median_us: float
    idscope_p99_us: float
    client_us: float
    tls: str
    client_openssl: str
    answer_bytes: tuple[int, int]
    idscope: tuple[Measurement, ...]
    neighbour: tuple[Measurement, ...]


def compare(name: str, size: Size, idscope: Contestant, neighbour: Contestant, aim: float | None = None) -> Row:
    """Raises NotTheSame, LoadFailed, ProcessesChanged."""
    ours: list[Measurement] = []
    theirs: list[Measurement] = []
    our_report = their_report = None
    for number in range(size.rounds):
        # Who comes first changes, so that neither always finds the machine as the other left it.
        if number % 2:
            theirs_now, their_report = _measure(neighbour, number, size.landing_seconds)
            ours_now, our_report = _measure(idscope, number, size.landing_seconds)
        else:
            ours_now, our_report = _measure(idscope, number, size.landing_seconds)
            theirs_now, their_report = _measure(neighbour, number, size.landing_seconds)
        ours.append(ours_now)
        theirs.append(theirs_now)
    if our_report is None or their_report is None:
        raise ValueError("a comparison has at least one round")
    return _row(name, neighbour.name, aim, our_report, their_report, tuple(ours), tuple(theirs))


def _measure(contestant: Contestant, number: int, landing_seconds: float) -> tuple[Measurement, Report]:
    meter = CpuMeter(contestant.pid)
    report = contestant.work(number)
    time.sleep(landing_seconds)
    cpu = meter.seconds()
    return (
        Measurement(
            cpu_us=cpu / report.good * 1e6,
            client_cpu_us=report.cpu_seconds / report.good * 1e6,
            busy=cpu / report.seconds,
            median_us=report.median_us,
            p99_us=report.p99_us,
        ),
        report,
    )


def _row(
    name: str,
    beside: str,
    aim: float | None,
    our_report: Report,
    their_report: Report,
    ours: tuple[Measurement, ...],
    theirs: tuple[Measurement, ...],
) -> Row:
    if _tls(our_report) != _tls(their_report):
        raise NotTheSame(f"idscope: {_tls(our_report)}; {beside}: {_tls(their_report)}")
    ratios = [one.cpu_us / other.cpu_us for one, other in zip(ours, theirs, strict=True)]
    idscope_us = _median(ours, "cpu_us")
    return Row(
        name=name,
        beside=beside,
        aim=aim,
        pieces=our_report.good,
        ratio=statistics.median(ratios),
        ratio_range=(min(ratios), max(ratios)),
        idscope_us=idscope_us,
        neighbour_us=_median(theirs, "cpu_us"),
        per_cpu_second=1e6 / idscope_us,
        idscope_busy=_median(ours, "busy"),
        idscope_median_us=_median(ours, "median_us"),
        idscope_p99_us=_median(ours, "p99_us"),
        client_us=_median(ours, "client_cpu_us"),
        tls=_tls(our_report),
        client_openssl=our_report.openssl,
        answer_bytes=(our_report.bytes_in // our_report.good, their_report.bytes_in // their_report.good),
        idscope=ours,
        neighbour=theirs,
    )


def _tls(report: Report) -> str:
    key = f"server key {report.key}"
    return f"{report.protocol}, {report.cipher}, {report.group}, {key}, {report.tickets / report.connections:g} tickets"


def _median(measurements: tuple[Measurement, ...], name: str) -> float:
    values: list[float] = [getattr(one, name) for one in measurements]
    return statistics.median(values)
