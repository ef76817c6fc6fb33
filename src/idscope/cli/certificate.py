"""Owns `idscope certificate`: a running server's CA certificates, and the whole proof of possession in one go.
It must not know what a verified certificate lets in.

It speaks the published control plane, as any client of it does; subscription and resource group mean nothing here.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.certificate_authority import (
    IssuedFilesUnusable,
    issue_verification_certificate,
    read_certificates,
    with_key,
)
from idscope.cli.device_certificate import password_in
from idscope.cli.output import Output, with_output
from idscope.cli.printable import printable
from idscope.cli.provisioning_service import ProvisioningService, with_service
from idscope.cli.running_server import NotThere, Refused, Reply
from idscope.clock import SystemClock

Document = dict[str, Any]

_VERSION: Final = "2022-12-12"
_SERVICES: Final = "/subscriptions/idscope/resourceGroups/idscope/providers/Microsoft.Devices/provisioningServices"
_COLUMNS: Final = {
    "name": "name",
    "subject": "properties.subject",
    "verified": "properties.isVerified",
    "expiry": "properties.expiry",
    "thumbprint": "properties.thumbprint",
}


class _Listed(msgspec.Struct, frozen=True):
    value: list[msgspec.Raw]


class _Certificates:
    """The certificates of one provisioning service of a running server."""

    def __init__(self, service: ProvisioningService) -> None:
        self._service = service

    def ask(self, method: str, name: str = "", operation: str = "", body: Any = None, etag: str | None = None) -> Reply:
        """Raises NoServer, NotThere, Refused."""
        steps = (self._service.facts.name, "certificates", name, operation)
        path = "/".join(quote(step, safe="") for step in steps if step)
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if etag is None else {"If-Match": etag}
        try:
            return self._service.server.exchange(method, f"{_SERVICES}/{path}?api-version={_VERSION}", content, headers)
        except NotThere as refused:
            raise refused.saying(_absent(name)) from None


def _absent(name: str) -> str:
    return f"There is no certificate {name}: `idscope certificate list` shows those that there are."


@click.group()
def certificate() -> None:
    """Upload, verify and list the CAs that are trusted."""


@certificate.command
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--verified", is_flag=True, help="Trust it at once, without a proof of possession.")
@click.option("--replace", is_flag=True, help="Take the place of a certificate of that name.")
@with_output
@with_service
def create(
    *, service: ProvisioningService, output: Output, name: str, file: Path, verified: bool, replace: bool
) -> None:
    """Upload the certificate in FILE (PEM or DER; of several the first) under NAME."""
    content = {"certificate": _pem(_read(file)), **({"isVerified": True} if verified else {})}
    etag = "*" if replace else None
    try:
        reply = _Certificates(service).ask("PUT", name, body={"properties": content}, etag=etag)
    except Refused as refused:
        if refused.status == HTTPStatus.PRECONDITION_FAILED:
            raise refused.saying(f"There is a certificate {name} already: --replace takes its place.") from None
        raise
    _tell(output, reply)
    if not verified:
        output.next_steps(lambda: f"Prove it: idscope certificate verify {name} --key FILE{service.flags}")


@certificate.command("list")
@with_output
@with_service
def list_all(*, service: ProvisioningService, output: Output) -> None:
    """List the certificates."""
    answer = msgspec.json.decode(_Certificates(service).ask("GET").body, type=_Listed)
    output.listing(iter([answer.value]), _COLUMNS)


@certificate.command
@click.argument("name")
@with_output
@with_service
def show(*, service: ProvisioningService, output: Output, name: str) -> None:
    """Show one certificate."""
    output.document(_Certificates(service).ask("GET", name).body)


@certificate.command
@click.argument("name")
@with_output
@with_service
def delete(*, service: ProvisioningService, output: Output, name: str) -> None:
    """Delete a certificate. Devices that enter by it are refused from then on."""
    if _Certificates(service).ask("DELETE", name, etag="*").status == HTTPStatus.NO_CONTENT:
        raise NotThere(_absent(name), HTTPStatus.NOT_FOUND)
    output.note(f"{name} is gone.")


@certificate.command("generate-verification-code")
@click.argument("name")
@with_output
@with_service
def generate_verification_code(*, service: ProvisioningService, output: Output, name: str) -> None:
    """Print a code for a verification certificate that is signed elsewhere; `verify --proof` takes that."""
    answer = _decoded(_Certificates(service).ask("POST", name, "generateVerificationCode", etag="*"))
    output.text(answer["properties"]["verificationCode"])


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
@with_output
@with_service
def verify(
    *,
    service: ProvisioningService,
    output: Output,
    name: str,
    key_file: Path | None,
    key_password_file: Path | None,
    proof: Path | None,
) -> None:
    """Prove that you hold the key of the certificate NAME: code, verification certificate, verification in one go."""
    if (key_file is None) == (proof is None):
        raise click.UsageError("Name the CA's key with --key, or a verification certificate with --proof.")
    certificates = _Certificates(service)
    etag = "*"
    if proof is not None:
        proving = _read(proof)
    else:
        assert key_file is not None  # noqa: S101 - one of the two is there
        asked = _decoded(certificates.ask("POST", name, "generateVerificationCode", etag="*"))
        proving, etag = _proof(asked["properties"], key_file, key_password_file), asked["etag"]
    _tell(output, certificates.ask("POST", name, "verify", body={"certificate": _pem(proving)}, etag=etag))


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


def _decoded(reply: Reply) -> Document:
    document: Document = msgspec.json.decode(reply.body)
    return document


def _tell(output: Output, reply: Reply) -> None:
    """A sentence for people, the document for programs."""
    document = _decoded(reply)
    verified = "verified" if document["properties"]["isVerified"] else "not verified yet"
    output.note(f"{document['name']} ({printable(document['properties']['subject'])}) is {verified}.", reply.body)
