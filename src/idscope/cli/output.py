"""Owns how a command shows what it got: a table for people, JSON for programs. It must not know what is shown."""

from __future__ import annotations

import functools
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import click
import msgspec

from idscope.cli.printable import printable

F = TypeVar("F", bound=Callable[..., Any])

# Members whose value is anybody's JSON: shown as it is, not member by member.
_FREE: Final = frozenset({"tags", "desired", "payload", "optionalDeviceInformation"})


class Output(Protocol):
    """What a command says. A document is JSON as it came, so that no number or text in it changes."""

    def document(self, document: bytes) -> None:
        """One document."""

    def listing(self, pages: Iterator[Sequence[msgspec.Raw]], columns: Mapping[str, str]) -> None:
        """Documents of one kind, as they come; a column is its title and the member in it, dots leading inside."""

    def text(self, text: str) -> None:
        """One value and nothing else."""

    def note(self, text: str, document: bytes | None = None) -> None:
        """A sentence for a person, or the document behind it, where there is one."""

    def next_steps(self, told: Callable[[], str]) -> None:
        """What a person at a terminal needs next."""


class TableOutput:
    """For people: names and values in columns, and nothing that a terminal would obey."""

    def document(self, document: bytes) -> None:
        rows = list(_flat(document))
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            click.echo(f"{name.ljust(width)}  {printable(value)}")

    def listing(self, pages: Iterator[Sequence[msgspec.Raw]], columns: Mapping[str, str]) -> None:
        """Columns grow from page to page, so that a long list need not be held."""
        rows: list[list[str]] = [list(columns)]
        widths = [0] * len(columns)
        for page in pages:
            documents = (dict(_flat(bytes(one))) for one in page)
            rows += [[printable(one.get(member, "-")) for member in columns.values()] for one in documents]
            widths = [max([width, *(len(row[i]) for row in rows)]) for i, width in enumerate(widths)]
            _lines(rows, widths)
            rows = []

    def text(self, text: str) -> None:
        click.echo(text)

    def note(self, text: str, document: bytes | None = None) -> None:
        del document
        click.echo(text)

    def next_steps(self, told: Callable[[], str]) -> None:
        if sys.stdout.isatty():
            click.echo(f"\n{told()}")


class JsonOutput:
    """For programs: JSON and nothing else."""

    def document(self, document: bytes) -> None:
        click.echo(msgspec.json.format(document, indent=2).decode())

    def listing(self, pages: Iterator[Sequence[msgspec.Raw]], columns: Mapping[str, str]) -> None:
        del columns
        before = "["
        for page in pages:
            for one in page:
                shown = msgspec.json.format(bytes(one), indent=2).decode()
                click.echo(f"{before}\n{textwrap.indent(shown, '  ')}", nl=False)
                before = ","
        click.echo("[]" if before == "[" else "\n]")

    def text(self, text: str) -> None:
        click.echo(json.dumps(text))

    def note(self, text: str, document: bytes | None = None) -> None:
        """Without a document nothing: a program reads the exit code."""
        del text
        if document is not None:
            self.document(document)

    def next_steps(self, told: Callable[[], str]) -> None:
        """Nothing, likewise."""


_OUTPUTS: Final[Mapping[str, Output]] = {"table": TableOutput(), "json": JsonOutput()}


def with_output(function: F) -> Callable[..., Any]:
    """Give a command `--output`, and `--json` for short; what they choose arrives as `output`."""

    @functools.wraps(function)
    def shown(*, output: str, json_wanted: bool, **flags: Any) -> Any:
        return function(output=_OUTPUTS["json" if json_wanted else output], **flags)

    short = click.option("--json", "json_wanted", is_flag=True, help="Short for --output json.")
    option = click.option(
        "--output", "-o", type=click.Choice(list(_OUTPUTS)), default="table", help="For people or for programs. [table]"
    )
    return option(short(shown))


def _lines(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _flat(document: bytes, name: str = "") -> Iterator[tuple[str, str]]:
    """Each member by its path, `initialTwin.tags`, and its text."""
    if document.startswith(b"{") and name.rpartition(".")[2] not in _FREE:
        for member, inner in msgspec.json.decode(document, type=dict[str, msgspec.Raw]).items():
            yield from _flat(bytes(inner), f"{name}.{member}" if name else member)
    elif document.startswith(b"["):
        yield name, ", ".join(map(_text, msgspec.json.decode(document, type=list[msgspec.Raw])))
    else:
        yield name, _text(document)


def _text(value: bytes | msgspec.Raw) -> str:
    """A text without its quotes; everything else as the JSON that it was."""
    content = bytes(value)
    text: str = msgspec.json.decode(content) if content.startswith(b'"') else content.decode()
    return text
