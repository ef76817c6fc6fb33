"""Owns how results look: a table for people, JSON for programs. It must not know how anything was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.comparison import Row
from bench.memory import MemoryRow

_NEIGHBOURS: Final = {
    "nginx": "nginx stores nothing; idscope's answer is durable.",
    "mosquitto": "mosquitto stores nothing and checks no password; idscope's answer is durable, and the device's "
    "signature is checked. idscope asks for a client certificate (none is sent), mosquitto does not. The two session "
    "tickets after each handshake could be used with mosquitto, not with idscope; none is.",
    "idscope HTTPS": "The neighbour is idscope itself, doing the same registrations over HTTPS.",
}
_ITSELF: Final = "The neighbour is idscope itself, with fewer enrollments or groups in its store."
_CPU_CONDITIONS: Final = (
    "CPU: user and system time of all threads and children of the server; the load generator counts apart.",
    "No session is resumed, both send as many tickets; the same certificate, key, cipher and group.",
    "Medians of the rounds; the ratio is the median of the ratios of each round (least to greatest in brackets).",
)
_MEMORY_CONDITIONS: Final = (
    "KB: growth of the server's resident memory (1024 bytes, the kernel's not counted), for each idle connection.",
)
_TIMES: Final = ("idscope us", "its us", "per CPU s", "median ms", "p99 ms", "busy", "client us")
_COLUMNS: Final = ("", "beside", "ratio", *_TIMES)
_MEMORY_COLUMNS: Final = ("", "beside", "ratio", "idscope KB each", "its KB each", "connections")


def table(machine: dict[str, Any], rows: Sequence[Row | MemoryRow]) -> str:
    """`busy` is the share of its core that idscope used; median and p99 are its answers as the client saw them."""
    timed = [row for row in rows if isinstance(row, Row)]
    held = [row for row in rows if isinstance(row, MemoryRow)]
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in machine.items()]
    lines += sorted({f"TLS as negotiated by both: {row.tls}; client {row.client_openssl}" for row in timed})
    for columns, cells in (
        (_COLUMNS, [_cells(row) for row in timed]),
        (_MEMORY_COLUMNS, [_sizes(row) for row in held]),
    ):
        lines += _grid(columns, cells) if cells else []
    lines += ["", *conditions(rows)]
    lines += [_judged(row, row.aim) for row in timed if row.aim is not None]
    return "\n".join(lines)


def conditions(rows: Sequence[Row | MemoryRow]) -> list[str]:
    """What the figures mean nothing without."""
    beside = dict.fromkeys(row.beside for row in rows)
    found = list(dict.fromkeys(_NEIGHBOURS.get(name, _ITSELF) for name in beside))
    found += _CPU_CONDITIONS if any(isinstance(row, Row) for row in rows) else ()
    found += _MEMORY_CONDITIONS if any(isinstance(row, MemoryRow) for row in rows) else ()
    return found


def write_json(file: Path, machine: dict[str, Any], rows: Sequence[Row | MemoryRow]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine, "conditions": conditions(rows), "rows": rows}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _cells(row: Row) -> tuple[str, ...]:
    least, greatest = row.ratio_range
    return (
        row.name,
        row.beside,
        f"{row.ratio:.2f} ({least:.2f}-{greatest:.2f})",
        f"{row.idscope_us:.0f}",
        f"{row.neighbour_us:.0f}",
        f"{row.per_cpu_second:.0f}",
        f"{row.idscope_median_us / 1000:.1f}",
        f"{row.idscope_p99_us / 1000:.1f}",
        f"{row.idscope_busy:.0%}",
        f"{row.client_us:.0f}",
    )


def _sizes(row: MemoryRow) -> tuple[str, ...]:
    sizes = (f"{row.idscope_kb:.1f}", f"{row.neighbour_kb:.1f}", str(row.connections))
    return (row.name, row.beside, f"{row.ratio:.1f}", *sizes)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return ["", *("  ".join(_aligned(line, widths)).rstrip() for line in lines)]


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    name, *numbers = line
    return [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True))]


def _judged(row: Row, aim: float) -> str:
    verdict = "met" if row.ratio <= aim else "missed"
    return f"Aim for '{row.name}': at most {aim} times the CPU of {row.beside}: {verdict} ({row.ratio:.2f})."
