"""Owns the flags that are made from the table of settings. It must not know what a command does with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from idscope.settings import ROWS, Loaded, SettingsMistakes, load_settings
from idscope.settings.kinds import Address, Choice, Duration, FilePath, Flag, HostNames, Number, Whole
from idscope.settings.table import Row, show

F = TypeVar("F", bound=Callable[..., Any])

_METAVARS: Final[Mapping[type, str]] = {
    Whole: "NUMBER",
    Number: "NUMBER",
    Duration: "DURATION",
    Address: "ADDRESS",
    HostNames: "NAME",
    FilePath: "PATH",
}


class UnusableSettings(click.ClickException):
    """Mistakes in the settings; exit code 2, like click's own usage errors."""

    exit_code = 2


def with_settings(function: F) -> F:
    """Give a command `--config` and one flag for each row; their values arrive as keyword arguments."""
    for row in reversed(ROWS):
        if row.flag is not None:
            function = _option(row)(function)
    config = click.option("--config", type=click.Path(), metavar="FILE", help="Settings file (TOML).")
    return config(function)


def load(config: str | None, flags: Mapping[str, Any]) -> Loaded:
    """The settings in force; every mistake in them ends the command."""
    try:
        return load_settings(flags, os.environ, config)
    except SettingsMistakes as mistakes:
        raise UnusableSettings(str(mistakes)) from None


def _option(row: Row) -> Callable[[F], F]:
    """Values stay texts here: the table reads them, so that all mistakes are told together."""
    help_text = row.about.help if row.default in {None, ()} else f"{row.about.help} [{show(row.default)}]"
    if isinstance(row.kind, Flag):
        return click.option(
            f"{row.flag}/--no-{row.flag[2:] if row.flag else ''}", row.name, default=None, help=help_text
        )
    return click.option(
        row.flag or "",
        row.name,
        multiple=row.repeatable,
        type=click.Path() if isinstance(row.kind, FilePath) else str,
        metavar=_metavar(row),
        help=help_text,
        shell_complete=_completion(row),
    )


def _metavar(row: Row) -> str:
    if isinstance(row.kind, Choice):
        return "|".join(row.kind.options)
    return _METAVARS[type(row.kind)]


def _completion(row: Row) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]] | None:
    if not isinstance(row.kind, Choice):
        return None
    options = row.kind.options
    return lambda _context, _parameter, begun: [CompletionItem(each) for each in options if each.startswith(begun)]
