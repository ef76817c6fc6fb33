"""Owns `idscope certificate`: a running server's CA certificates, and the whole proof of possession in one go.
It must not know what a verified certificate lets in.

It speaks the published control plane, as any client of it does; subscription and resource group mean nothing here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.certificate_authority import (
    IssuedFilesUnusable,
    issue_verification_certificate,
    read_certificates,
    with_key,
)
from idscope.cli.device_certificate import password_in
from idscope.cli.printable import printable
from idscope.cli.running_server import RunningServer, running_server, with_server
from idscope.clock import SystemClock

F = TypeVar("F", bound=Callable[..., Any])
Document = dict[str, Any]

_VERSION: Final = "2022-12-12"
_SERVICES: Final = "/subscriptions/idscope/resourceGroups/idscope/providers/Microsoft.Devices/provisioningServices"
_COLUMNS: Final = ("name", "subject", "verified", "expiry", "thumbprint")


class _Certificates:
    """The certificates of one provisioning service of a running server."""

    def __init__(self, server: RunningServer, service: str | None) -> None:
        self._server = server
        name = service or server.ask("GET", "/admin/status")["services"][0]
        self._path = f"{_SERVICES}/{quote(name, safe='')}/certificates"

    def ask(self, method: str, name: str = "", operation: str = "", body: Any = None, etag: str | None = None) -> Any:
        """Raises NoServer, click.ClickException."""
        parts = [self._path, *(quote(part, safe="") for part in (name, operation) if part)]
        headers = {} if etag is None else {"If-Match": etag}
        return self._server.ask(method, f"{'/'.join(parts)}?api-version={_VERSION}", body, headers)


def _with_certificates(function: F) -> F:
    """The flags that say which server and which service; they arrive as arguments of `_certificates`."""
    service = click.option("--service", metavar="NAME", help="Name of the provisioning service; without it the first.")
    return with_server(service(function))


def _certificates(service: str | None, **which: str | None) -> _Certificates:
    return _Certificates(running_server(**which), service)


@click.group()
def certificate() -> None:
    """Upload, verify and list the CA certificates that a provisioning service trusts."""


@certificate.command
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--verified", is_flag=True, help="Trust it at once, without a proof of possession.")
@click.option("--replace", is_flag=True, help="Take the place of a certificate of that name.")
@_with_certificates
def create(*, name: str, file: Path, verified: bool, replace: bool, **which: str | None) -> None:
    """Upload the certificate in FILE (PEM or DER; of several the first) under NAME."""
    content = {"certificate": _pem(_read(file)), **({"isVerified": True} if verified else {})}
    etag = "*" if replace else None
    _told(_certificates(**which).ask("PUT", name, body={"properties": content}, etag=etag))


@certificate.command("list")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
@_with_certificates
def list_all(*, json_wanted: bool, **which: str | None) -> None:
    """List the certificates."""
    documents = _certificates(**which).ask("GET")["value"]
    if json_wanted:
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    rows = [_COLUMNS, *(_row(one) for one in documents)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@certificate.command
@click.argument("name")
@_with_certificates
def show(*, name: str, **which: str | None) -> None:
    """Show one certificate as JSON."""
    click.echo(json.dumps(_certificates(**which).ask("GET", name), indent=2, ensure_ascii=False))


@certificate.command
@click.argument("name")
@_with_certificates
def delete(*, name: str, **which: str | None) -> None:
    """Delete a certificate. Devices that enter by it are refused from then on."""
    _certificates(**which).ask("DELETE", name, etag="*")
    click.echo(f"{name} is gone.")


@certificate.command("generate-verification-code")
@click.argument("name")
@_with_certificates
def generate_verification_code(*, name: str, **which: str | None) -> None:
    """Print a code for a verification certificate that is signed elsewhere; `verify --proof` takes that."""
    answer = _certificates(**which).ask("POST", name, "generateVerificationCode", etag="*")
    click.echo(answer["properties"]["verificationCode"])


@certificate.command
@click.argument("name")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The CA's private key (PEM): the proof is made here, and the key stays here.",
)
@click.option("--key-password-file", type=click.Path(path_type=Path), metavar="PATH", help="The key's password.")
@click.option(
    "--proof",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A verification certificate that was signed elsewhere.",
)
@_with_certificates
def verify(
    *, name: str, key_file: Path | None, key_password_file: Path | None, proof: Path | None, **which: str | None
) -> None:
    """Prove that you hold the key of the certificate NAME: code, verification certificate, verification in one go."""
    if (key_file is None) == (proof is None):
        raise click.UsageError("Name the CA's key with --key, or a verification certificate with --proof.")
    certificates = _certificates(**which)
    etag = "*"
    if proof is not None:
        proving = _read(proof)
    else:
        assert key_file is not None  # noqa: S101 - one of the two is there
        asked = certificates.ask("POST", name, "generateVerificationCode", etag="*")
        proving, etag = _proof(asked["properties"], key_file, key_password_file), asked["etag"]
    _told(certificates.ask("POST", name, "verify", {"certificate": _pem(proving)}, etag))


def _proof(properties: Document, key_file: Path, password_file: Path | None) -> x509.Certificate:
    authority = x509.load_der_x509_certificate(base64.b64decode(properties["certificate"]))
    try:
        issuer = with_key(authority, key_file, None if password_file is None else password_in(password_file))
    except IssuedFilesUnusable as problem:
        raise click.ClickException(f"{problem}.") from None
    return issue_verification_certificate(issuer, properties["verificationCode"], SystemClock().now())


def _read(file: Path) -> x509.Certificate:
    try:
        return read_certificates(file)[0]
    except IssuedFilesUnusable as problem:
        raise click.ClickException(f"{problem}.") from None


def _pem(one: x509.Certificate) -> str:
    return one.public_bytes(Encoding.PEM).decode()


def _row(document: Document) -> tuple[str, ...]:
    properties = document["properties"]
    verified = "yes" if properties["isVerified"] else "no"
    return document["name"], printable(properties["subject"]), verified, properties["expiry"], properties["thumbprint"]


def _told(document: Document) -> None:
    verified = "verified" if document["properties"]["isVerified"] else "not verified yet"
    click.echo(f"{document['name']} ({printable(document['properties']['subject'])}) is {verified}.")
