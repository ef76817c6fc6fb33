"""Owns where a value comes from: flags, environment and file, each read against the table of settings.
It must not know which of them wins, nor what values go together."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from idscope.settings.mistakes import Mistake, unknown_name
from idscope.settings.table import ENVIRONMENT_PREFIX, ROWS, Row, Source

CONFIG_VARIABLE: Final = "IDSCOPE_CONFIG"
BOOTSTRAP: Final = "bootstrap"
_OWN_VARIABLES: Final = frozenset({CONFIG_VARIABLE, *(row.variable for row in ROWS)})


class Origin(msgspec.Struct, frozen=True):
    """Where a value comes from: the source and its place in it (`--https-port`, a variable's name, a file's path)."""

    source: Source | str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.place}".rstrip()


class Found(msgspec.Struct, frozen=True):
    """A value and its origin."""

    value: Any
    origin: Origin


def from_flags(flags: Mapping[str, Any], mistakes: list[Mistake]) -> dict[str, Found]:
    """Flags by setting name: a text, a bool, a tuple of texts; None and () mean: not given."""
    found: dict[str, Found] = {}
    for row in ROWS:
        given = flags.get(row.name)
        if row.flag is None or given is None or given == ():
            continue
        origin = Origin("flag", row.flag)
        text = given if isinstance(given, str) else ",".join(given) if isinstance(given, tuple) else None
        _read(row, origin, found, mistakes, text=text, value=given)
    return found


def from_environment(environment: Mapping[str, str], mistakes: list[Mistake]) -> dict[str, Found]:
    """`IDSCOPE_…`. An unknown one is a mistake only if it looks like a slip: others set such names too (Kubernetes)."""
    found: dict[str, Found] = {}
    for row in ROWS:
        text = environment.get(row.variable)
        if text is None or "environment" not in row.about.sources:
            continue
        origin = Origin("environment", row.variable)
        if text or row.repeatable:
            _read(row, origin, found, mistakes, text=text)
        else:
            mistakes.append(Mistake(str(origin), "is empty", f"Unset it, or give {row.kind.words}."))
    mistakes.extend(_slips(environment))
    return found


def read_file(path: Path, mistakes: list[Mistake]) -> dict[str, Any]:
    """The TOML file as a table; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        mistakes.append(Mistake(f"file {path}", f"cannot be read: {error.strerror}"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mistakes.append(Mistake(f"file {path}", f"is not TOML: {error}"))
    return {}


def from_file(path: Path, table: Mapping[str, Any], mistakes: list[Mistake]) -> dict[str, Found]:
    """The file's settings; its `[bootstrap]` is read elsewhere."""
    found: dict[str, Found] = {}
    origin = Origin("file", str(path))
    allowed = {row.name: row for row in ROWS if "file" in row.about.sources}
    forbidden = {row.name: row for row in ROWS if "file" not in row.about.sources}
    for name, value in table.items():
        if name in allowed:
            _read(allowed[name], origin, found, mistakes, value=value)
        elif name in forbidden:
            advice = f"Set the environment variable {forbidden[name].variable}."
            mistakes.append(Mistake(str(origin), f"{name} may not stand in a file", advice))
        elif name != BOOTSTRAP:
            mistakes.append(unknown_name(str(origin), name, [*allowed, BOOTSTRAP]))
    return {name: _beside(path, each) for name, each in found.items()}


def _read(
    row: Row,
    origin: Origin,
    found: dict[str, Found],
    mistakes: list[Mistake],
    *,
    text: str | None = None,
    value: Any = None,
) -> None:
    try:
        read = row.kind.accept(value) if text is None else row.kind.parse(text) if text else ()
        found[row.name] = Found(read, origin)
    except ValueError as error:
        place = str(origin) if origin.source != "file" else f"{origin}, {row.name}"
        mistakes.append(Mistake(place, str(error)))


def _slips(environment: Mapping[str, str]) -> list[Mistake]:
    unknown = [name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in _OWN_VARIABLES]
    short = [name.removeprefix(ENVIRONMENT_PREFIX) for name in _OWN_VARIABLES]
    return [
        unknown_name("environment", name, _OWN_VARIABLES)
        for name in sorted(unknown)
        if difflib.get_close_matches(name.removeprefix(ENVIRONMENT_PREFIX), short, n=1, cutoff=0.8)
    ]


def _beside(file: Path, found: Found) -> Found:
    """A relative path in a file counts from the file's directory, wherever the server is started."""
    if isinstance(found.value, Path) and not found.value.is_absolute():
        return Found(file.absolute().parent / found.value, found.origin)
    return found
