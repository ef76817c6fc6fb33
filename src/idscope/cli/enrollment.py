"""Owns `idscope enrollment`: individual enrollments of a running server. It must not know what its commands do: they
are those of any enrollment."""

from __future__ import annotations

import click

from idscope.cli.enrollment_commands import add_commands
from idscope.cli.enrollment_kinds import INDIVIDUAL
from idscope.cli.registration import delete, show


@click.group()
def enrollment() -> None:
    """Manage individual enrollments: one device each."""


@enrollment.group()
def registration() -> None:
    """Show and delete the registration of an individual enrollment."""


add_commands(enrollment, INDIVIDUAL)
registration.add_command(show)
registration.add_command(delete)
