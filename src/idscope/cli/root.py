"""Owns the command `idscope` and its list of subcommands. It must not know what any of them does."""

from __future__ import annotations

import click

from idscope import __version__
from idscope.cli.ca import ca
from idscope.cli.certificate import certificate
from idscope.cli.completion import completion
from idscope.cli.device_certificate import device_certificate
from idscope.cli.device_key import device_key
from idscope.cli.enrollment import enrollment
from idscope.cli.enrollment_group import enrollment_group
from idscope.cli.explain import explain
from idscope.cli.hub import hub
from idscope.cli.registration import registration
from idscope.cli.serve import serve
from idscope.cli.settings import settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="idscope")
def main() -> None:
    """A self-hosted Device Provisioning Service, wire-compatible with Azure IoT Hub DPS."""


for command in (
    serve,
    settings,
    enrollment,
    enrollment_group,
    registration,
    explain,
    certificate,
    hub,
    ca,
    device_certificate,
    device_key,
    completion,
):
    main.add_command(command)
