"""Owns `idscope ca`: a test CA in files, and what certificates in a file say. It must not know any server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from cryptography import x509

from idscope.certificate_authority import (
    CannotIssue,
    IssuedFilesUnusable,
    KeyKind,
    issue_authority,
    make_key,
    read_certificates,
    require_absent,
    write_pem,
)
from idscope.cli.printable import printable
from idscope.clock import SystemClock
from idscope.model.attestation import X509CertificateInfo
from idscope.security.certificates import certificate_info

F = TypeVar("F", bound=Callable[..., Any])


def with_new_key(days: int) -> Callable[[F], F]:
    """Give a command the flags of a certificate that it makes: how long it is valid, and which kind of key it has."""

    def decorate(function: F) -> F:
        for option in (
            click.option("--days", type=click.IntRange(min=1, max=36500), default=days, help=f"Validity. [{days}]"),
            click.option("--key-kind", type=click.Choice(["ecdsa", "rsa"]), default="ecdsa", help="P-256 or RSA-2048."),
        ):
            function = option(function)
        return function

    return decorate


@click.group()
def ca() -> None:
    """Make a test CA in files, and look at certificates."""


@ca.command
@click.option("--directory", type=click.Path(path_type=Path), default=Path(), metavar="PATH", help="Where to. [.]")
@click.option("--common-name", metavar="NAME", default="idscope test root", help="The root's name.")
@click.option("--intermediate", is_flag=True, help="Make an intermediate below it too.")
@with_new_key(3650)
def create(*, directory: Path, common_name: str, intermediate: bool, days: int, key_kind: KeyKind) -> None:
    """Make root.pem and root.key, and intermediate.pem and intermediate.key if asked for."""
    now, lifetime = SystemClock().now(), timedelta(days=days)
    names = ("root", "intermediate") if intermediate else ("root",)
    try:
        require_absent(*(directory / f"{name}.{kind}" for name in names for kind in ("pem", "key")))
        issued = issue_authority(common_name, make_key(key_kind), lifetime, now)
        told_written(write_pem(directory, "root", issued))
        if intermediate:
            below = issue_authority(f"{common_name} intermediate", make_key(key_kind), lifetime, now, issued)
            told_written(write_pem(directory, "intermediate", below))
    except (CannotIssue, IssuedFilesUnusable) as problem:
        raise click.ClickException(f"{problem}.") from None


@ca.command
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
def show(*, file: Path, json_wanted: bool) -> None:
    """Show the certificates in FILE."""
    try:
        shown = [_facts(one) for one in read_certificates(file)]
    except IssuedFilesUnusable as problem:
        raise click.ClickException(f"{problem}.") from None
    if json_wanted:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    width = max(len(name) for name in shown[0])
    click.echo(
        "\n\n".join(
            "\n".join(f"{name.ljust(width)}  {printable(str(value))}" for name, value in one.items()) for one in shown
        )
    )


def told_written(paths: tuple[Path, ...]) -> None:
    for path in paths:
        click.echo(f"wrote {path}")


def _facts(certificate: x509.Certificate) -> dict[str, Any]:
    info: X509CertificateInfo = certificate_info(certificate)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        authority = "yes" if constraints.ca else "no"
    except (x509.ExtensionNotFound, ValueError):
        authority = "not said"
    return {**msgspec.to_builtins(info), "certificateAuthority": authority}
