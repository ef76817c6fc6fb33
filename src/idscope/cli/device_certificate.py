"""Owns `idscope device-certificate`: a device's certificate, key and chain in the files that SDKs load. It must not
know any server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from idscope.certificate_authority import (
    CannotIssue,
    IssuedFilesUnusable,
    KeyKind,
    issue_device_certificate,
    make_key,
    read_issuer,
    require_absent,
    write_pem,
    write_pfx,
)
from idscope.cli.ca import told_written, with_new_key
from idscope.clock import SystemClock
from idscope.errors import InvalidRegistrationId
from idscope.model.registration_id import check_registration_id
from idscope.secret import Secret
from idscope.security.certificates import sha256_thumbprint


@click.group("device-certificate")
def device_certificate() -> None:
    """Make certificates of devices."""


@device_certificate.command
@click.argument("registration_id")
@click.option(
    "--ca",
    "ca_file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="CA that signs (PEM; its key beside it as .key). Without it the certificate is self-signed.",
)
@click.option(
    "--ca-key",
    "ca_key_file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Its key, where that stands elsewhere.",
)
@click.option("--directory", type=click.Path(path_type=Path), default=Path(), metavar="PATH", help="Where to. [.]")
@click.option(
    "--pfx-password-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Password of the PFX; without it there is none.",
)
@with_new_key(365)
def create(
    *,
    registration_id: str,
    ca_file: Path | None,
    ca_key_file: Path | None,
    directory: Path,
    pfx_password_file: Path | None,
    days: int,
    key_kind: KeyKind,
) -> None:
    """Make REGISTRATION_ID.pem (certificate and chain, without the root), .key (PKCS#8) and .pfx (all of it)."""
    try:
        name = check_registration_id(registration_id)
        require_absent(*(directory / f"{name}.{kind}" for kind in ("pem", "key", "pfx")))
        issuer = None if ca_file is None else read_issuer(ca_file, ca_key_file)
        password = None if pfx_password_file is None else password_in(pfx_password_file)
        lifetime = timedelta(days=days)
        issued = issue_device_certificate(name, make_key(key_kind), lifetime, SystemClock().now(), issuer)
        told_written((*write_pem(directory, name, issued), write_pfx(directory, name, issued, password)))
    except InvalidRegistrationId:
        raise click.ClickException(f"{registration_id!r} is no registration id.") from None
    except (CannotIssue, IssuedFilesUnusable) as problem:
        raise click.ClickException(f"{problem}.") from None
    click.echo(f"SHA-256 thumbprint {sha256_thumbprint(issued.certificate)}")


def password_in(file: Path) -> Secret:
    """The first line of a file. Raises click.ClickException."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise click.ClickException(f"{file} cannot be read.") from None
    return Secret(text.partition("\n")[0].rstrip("\r"))
