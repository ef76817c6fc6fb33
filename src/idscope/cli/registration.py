"""Owns `idscope registration`: what became of the devices that registered at a running server. It must not know how a
registration comes about."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import click

from idscope.cli.completed_ids import ids_of
from idscope.cli.enrollment_flags import with_etag, with_id
from idscope.cli.enrollment_kinds import GROUP
from idscope.cli.output import Output, with_output
from idscope.cli.provisioning_service import ProvisioningService, with_query, with_service
from idscope.cli.running_server import NotThere, Refused

_COLUMNS: Final = {
    "registrationId": "registrationId",
    "status": "status",
    "hub": "assignedHub",
    "deviceId": "deviceId",
    "updated": "lastUpdatedDateTimeUtc",
    "error": "errorMessage",
}
_ID: Final = ("registration_id", ("--registration-id", "--rid"), "registration")


@click.group()
def registration() -> None:
    """List, show and delete the registrations of devices."""


@registration.command("list")
@with_id("enrollment_id", GROUP.id_flags, GROUP.words, complete=ids_of(GROUP))
@with_query
@with_output
@with_service
def list_all(*, service: ProvisioningService, output: Output, enrollment_id: str, query: str, top: int | None) -> None:
    """List the registrations of an enrollment group."""
    with _told(f"There is no enrollment group {enrollment_id}, and no device registered by one of that name."):
        output.listing(service.pages(f"{_path(enrollment_id)}/query", query, top), _COLUMNS)


@registration.command
@with_id(*_ID)
@with_output
@with_service
def show(*, service: ProvisioningService, output: Output, registration_id: str) -> None:
    """Show the registration of a device: where it was assigned, or why not."""
    with _told(_absent(registration_id)):
        output.document(service.ask("GET", _path(registration_id)).body)


@registration.command
@with_id(*_ID)
@with_etag
@with_output
@with_service
def delete(*, service: ProvisioningService, output: Output, registration_id: str, etag: str | None) -> None:
    """Delete the registration of a device: it registers anew. What stands at its hub stays there."""
    with _told(_absent(registration_id)):
        service.ask("DELETE", _path(registration_id), headers={} if etag is None else {"If-Match": etag})
    output.note(f"The registration {registration_id} is gone.")


@contextlib.contextmanager
def _told(absent: str) -> Iterator[None]:
    """Refusals in words that say what to do."""
    try:
        yield
    except NotThere as refused:
        raise refused.saying(absent) from None
    except Refused as refused:
        if refused.status == HTTPStatus.PRECONDITION_FAILED:
            raise refused.saying(
                "It has another etag by now: the device registered meanwhile. Nothing was done: look at it with "
                "`idscope registration show`, then name its present etag, or leave --etag out."
            ) from None
        raise


def _absent(registration_id: str) -> str:
    return (
        f"There is no registration {registration_id}: that device never registered, or it was deleted. "
        f"`idscope enrollment show {registration_id}` says whether it is enrolled by itself."
    )


def _path(registration_id: str) -> str:
    return f"/registrations/{quote(registration_id, safe='')}"
