"""Owns what `create`, `list`, `show`, `update` and `delete` do with an enrollment of either kind, and what they say. It
must not know what flags make of a document, nor how the server is found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import click
import msgspec
from msgspec import Raw

from idscope.cli.completed_ids import ids_of
from idscope.cli.enrollment_content import Members, changed_enrollment, new_enrollment
from idscope.cli.enrollment_flags import (
    Decorator,
    with_attestation_type,
    with_content,
    with_etag,
    with_id,
    with_removals,
    with_show_keys,
)
from idscope.cli.enrollment_kinds import EnrollmentKind
from idscope.cli.next_steps import next_steps
from idscope.cli.output import Output, with_output
from idscope.cli.provisioning_service import ProvisioningService, with_query, with_service
from idscope.cli.running_server import NotThere, Refused

_SYMMETRIC_KEY: Final = "symmetricKey"


def add_commands(group: click.Group, kind: EnrollmentKind) -> None:
    """Put the five commands into the group of a kind."""
    content, new = with_content(kind), with_id("enrollment_id", kind.id_flags, kind.words)
    named = with_id("enrollment_id", kind.id_flags, kind.words, complete=ids_of(kind))
    rows: tuple[tuple[str, Callable[..., None], str, tuple[Decorator, ...]], ...] = (
        ("create", _create, f"Create an {kind.words}.", (new, with_attestation_type(kind), content, with_show_keys)),
        ("list", _list, f"List the {kind.words}s.", (with_query,)),
        ("show", _show, f"Show an {kind.words}.", (named, with_show_keys)),
        (
            "update",
            _update,
            f"Change an {kind.words}: what no flag names stays as it is.",
            (named, content, with_removals, with_etag, with_show_keys),
        ),
        ("delete", _delete, f"Delete an {kind.words}.", (named, with_etag)),
    )
    for name, does, about, flags in rows:
        command: Callable[..., Any] = with_service(partial(does, kind))
        for flag in reversed((*flags, with_output)):
            command = flag(command)
        group.command(name, help=about)(command)


def _create(
    kind: EnrollmentKind,
    *,
    service: ProvisioningService,
    output: Output,
    enrollment_id: str,
    show_keys: bool,
    **flags: Any,
) -> None:
    document = new_enrollment(kind, enrollment_id, flags)
    with _told(kind, enrollment_id):
        made = _members(service.ask("PUT", _path(kind, enrollment_id), msgspec.json.encode(document)).body)
    shown = made if show_keys else _without_keys(made)
    output.document(msgspec.json.encode(shown))
    output.next_steps(partial(next_steps, kind, service, made, keys_are_shown=show_keys))


def _list(kind: EnrollmentKind, *, service: ProvisioningService, output: Output, query: str, top: int | None) -> None:
    output.listing(service.pages(f"{kind.path}/query", query, top), kind.columns)


def _show(
    kind: EnrollmentKind, *, service: ProvisioningService, output: Output, enrollment_id: str, show_keys: bool
) -> None:
    path = _path(kind, enrollment_id)
    with _told(kind, enrollment_id):
        document = _members(service.ask("GET", path).body)
        if show_keys and _attestation_type(document) == _SYMMETRIC_KEY:
            document["attestation"] = Raw(service.ask("POST", f"{path}/attestationmechanism").body)
        elif show_keys:
            click.echo(f"--show-keys: {enrollment_id} has no symmetric keys.", err=True)
    output.document(msgspec.json.encode(document))


def _update(
    kind: EnrollmentKind,
    *,
    service: ProvisioningService,
    output: Output,
    enrollment_id: str,
    show_keys: bool,
    etag: str | None,
    **flags: Any,
) -> None:
    """Without an etag of the caller's the one that was read guards against whoever writes at the same time."""
    if not any(value is not None and value != () for value in flags.values()):
        raise click.UsageError("Say what to change: `--help` lists the flags.")
    path = _path(kind, enrollment_id)
    with _told(kind, enrollment_id, etag=etag):
        present = _members(service.ask("GET", path).body)
        document = changed_enrollment(kind, present, flags)
        if_match = etag or msgspec.json.decode(present["etag"])
        updated = _members(service.ask("PUT", path, msgspec.json.encode(document), {"If-Match": if_match}).body)
    output.document(msgspec.json.encode(updated if show_keys else _without_keys(updated)))


def _delete(
    kind: EnrollmentKind, *, service: ProvisioningService, output: Output, enrollment_id: str, etag: str | None
) -> None:
    with _told(kind, enrollment_id, etag=etag):
        service.ask("DELETE", _path(kind, enrollment_id), headers={} if etag is None else {"If-Match": etag})
    output.note(f"{enrollment_id} is gone.")


def group_key(kind: EnrollmentKind, service: ProvisioningService, enrollment_id: str) -> str:
    """The primary symmetric key. Raises NoServer, Refused, click.ClickException where there is none."""
    with _told(kind, enrollment_id):
        answer = msgspec.json.decode(service.ask("POST", f"{_path(kind, enrollment_id)}/attestationmechanism").body)
    if answer["type"] != _SYMMETRIC_KEY:
        raise click.ClickException(f"{enrollment_id} attests by {answer['type']}: it has no key to derive from.")
    key: str = answer["symmetricKey"]["primaryKey"]
    return key


@contextlib.contextmanager
def _told(kind: EnrollmentKind, enrollment_id: str, *, etag: str | None = None) -> Iterator[None]:
    """Refusals in words that say what to do."""
    try:
        yield
    except NotThere as refused:
        text = f"There is no {kind.words} {enrollment_id}: `idscope {kind.command} list` shows those that there are."
        raise refused.saying(text) from None
    except Refused as refused:
        if refused.status == HTTPStatus.CONFLICT:
            change = f"change it with `idscope {kind.command} update`, or delete it first"
            raise refused.saying(f"The {kind.words} {enrollment_id} exists already: {change}.") from None
        if refused.status == HTTPStatus.PRECONDITION_FAILED:
            raise refused.saying(_changed_meanwhile(kind, enrollment_id, etag)) from None
        raise


def _changed_meanwhile(kind: EnrollmentKind, enrollment_id: str, etag: str | None) -> str:
    if etag is None:
        return f"Somebody changed {enrollment_id} at the same time. Nothing was done: try again."
    return (
        f"{enrollment_id} has another etag by now, so it was changed. Nothing was done: look at it with "
        f"`idscope {kind.command} show {enrollment_id}`, then name its present etag, or leave --etag out."
    )


def _path(kind: EnrollmentKind, enrollment_id: str) -> str:
    return f"{kind.path}/{quote(enrollment_id, safe='')}"


def _members(body: bytes) -> Members:
    return msgspec.json.decode(body, type=dict[str, Raw])


def _attestation_type(document: Members) -> str:
    kind: str = msgspec.json.decode(document["attestation"])["type"]
    return kind


def _without_keys(document: Members) -> Members:
    attestation = _members(bytes(document["attestation"]))
    attestation.pop(_SYMMETRIC_KEY, None)
    return document | {"attestation": Raw(msgspec.json.encode(attestation))}
