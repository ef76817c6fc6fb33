"""Owns `idscope serve`. It must not know how a server is built."""

from __future__ import annotations

import sys
from typing import Any

import click

from idscope.cli.options import load, with_settings


@click.command
@with_settings
def serve(config: str | None, **flags: Any) -> None:
    """Run the server until Ctrl-C or SIGTERM."""
    loaded = load(config, flags)
    # late: the other commands and shell completion start several times faster without the server's modules
    from idscope.app import run

    sys.exit(run(loaded.settings, loaded.bootstrap, loaded.origins))
