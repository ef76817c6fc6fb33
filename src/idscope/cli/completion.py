"""Owns `idscope completion`. It must not know which commands there are."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Use it so: eval "$(idscope completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows the three shells
    click.echo(kind(context.find_root().command, {}, "idscope", "_IDSCOPE_COMPLETE").source())
