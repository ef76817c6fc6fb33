"""Owns `idscope settings`. It must not know how settings are read or shown."""

from __future__ import annotations

from typing import Any

import click

from idscope.cli.options import load, with_settings
from idscope.settings.describe import as_json, as_markdown, as_table


@click.command
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
@click.option("--markdown", "markdown_wanted", is_flag=True, help="Print the reference page.")
@with_settings
def settings(*, config: str | None, json_wanted: bool, markdown_wanted: bool, **flags: Any) -> None:
    """Show every setting in force, and where it is from."""
    if markdown_wanted:
        click.echo(as_markdown(), nl=False)
        return
    loaded = load(config, flags)
    click.echo((as_json if json_wanted else as_table)(loaded.settings, loaded.origins))
