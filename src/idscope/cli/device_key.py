"""Owns `idscope device-key`. It must not know how a key is derived."""

from __future__ import annotations

import sys

import click

from idscope.errors import InvalidArgument
from idscope.model.registration_id import check_registration_id
from idscope.secret import Secret
from idscope.security.keys import check_symmetric_key, derive_device_key


@click.command("device-key")
@click.argument("group_key")
@click.argument("registration_id")
def device_key(*, group_key: str, registration_id: str) -> None:
    """Derive a device's key from its group's key.

    GROUP_KEY is the key of a symmetric-key enrollment group; `-` takes it from standard input.
    """
    text = sys.stdin.readline().strip() if group_key == "-" else group_key
    click.echo(derived_key(text, registration_id))


def derived_key(group_key: str, registration_id: str) -> str:
    """The device's key. Raises click.ClickException."""
    try:
        key = check_symmetric_key(Secret(group_key), "The group's key")
        return derive_device_key(key, check_registration_id(registration_id)).reveal()
    except InvalidArgument as problem:
        raise click.ClickException(problem.message) from None
