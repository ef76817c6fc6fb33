"""Owns how results look: a table for people, JSON for programs. It must not know how anything was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.comparison import Row

CONDITIONS: Final = (
    "nginx stores nothing; idscope's answer is durable.",
    "CPU: user and system time of all threads and children of the server; the load generator counts apart.",
    "Tickets and session cache are off on both sides and nothing is resumed; the same certificate, key, cipher, group.",
    "Medians of the rounds; the ratio is the median of the ratios of each round (least to greatest in brackets).",
)
_COLUMNS: Final = ("", "ratio", "idscope us", "nginx us", "per CPU s", "median ms", "p99 ms", "busy", "client us")


def table(machine: dict[str, Any], rows: Sequence[Row]) -> str:
    """`busy` is the share of its core that idscope used; median and p99 are its answers as the client saw them."""
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in machine.items()]
    lines += sorted({f"TLS as negotiated by both: {row.tls}; client {row.client_openssl}" for row in rows})
    cells = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    lines += ["", *("  ".join(_aligned(line, widths)).rstrip() for line in cells), "", *CONDITIONS]
    lines += [_judged(row, row.aim) for row in rows if row.aim is not None]
    return "\n".join(lines)


def write_json(file: Path, machine: dict[str, Any], rows: Sequence[Row]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine, "conditions": CONDITIONS, "rows": rows}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _cells(row: Row) -> tuple[str, ...]:
    least, greatest = row.ratio_range
    return (
        row.name,
        f"{row.ratio:.2f} ({least:.2f}-{greatest:.2f})",
        f"{row.idscope_us:.0f}",
        f"{row.nginx_us:.0f}",
        f"{row.per_cpu_second:.0f}",
        f"{row.idscope_median_us / 1000:.1f}",
        f"{row.idscope_p99_us / 1000:.1f}",
        f"{row.idscope_busy:.0%}",
        f"{row.client_us:.0f}",
    )


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    name, *numbers = line
    return [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True))]


def _judged(row: Row, aim: float) -> str:
    verdict = "met" if row.ratio <= aim else "missed"
    return f"Aim for '{row.name}': at most {aim} times nginx's CPU: {verdict} ({row.ratio:.2f})."
