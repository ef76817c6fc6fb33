"""Owns `idscope enrollment-group`: enrollment groups of a running server, and keys that are derived from theirs. It
must not know what its other commands do: they are those of any enrollment."""

from __future__ import annotations

import click

from idscope.cli.completed_ids import ids_of
from idscope.cli.device_key import derived_key
from idscope.cli.enrollment_commands import add_commands, group_key
from idscope.cli.enrollment_flags import with_id
from idscope.cli.enrollment_kinds import GROUP
from idscope.cli.given_values import TEXT, given_registration_id, given_text
from idscope.cli.output import Output, with_output
from idscope.cli.provisioning_service import ProvisioningService, with_service
from idscope.cli.registration import registration


@click.group("enrollment-group")
def enrollment_group() -> None:
    """Manage enrollment groups: many devices each."""


add_commands(enrollment_group, GROUP)
enrollment_group.add_command(registration)


@enrollment_group.command("compute-device-key")
@with_id("enrollment_id", GROUP.id_flags, GROUP.words, required=False, complete=ids_of(GROUP))
@click.option(
    "--registration-id",
    "--rid",
    required=True,
    metavar="ID",
    callback=given_registration_id,
    help="Whose key; spelled as the device will send it.",
)
@click.option(
    "--symmetric-key",
    "--key",
    metavar=TEXT,
    callback=given_text,
    help="The group's key; without it the server is asked.",
)
@with_output
@with_service
def compute_device_key(
    *,
    service: ProvisioningService,
    output: Output,
    enrollment_id: str | None,
    registration_id: str,
    symmetric_key: str | None,
) -> None:
    """Print the key of a device, derived from the group's primary key."""
    if (enrollment_id is None) == (symmetric_key is None):
        raise click.UsageError("Name the enrollment group, or its key with --symmetric-key.")
    if symmetric_key is None:
        assert enrollment_id is not None  # noqa: S101 - one of the two is there
        symmetric_key = group_key(GROUP, service, enrollment_id)
    output.text(derived_key(symmetric_key, registration_id))
