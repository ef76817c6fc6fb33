"""Owns values that a person gives as text, as `@FILE`, or on standard input (`-`). It must not know what they are for.

Each function is the callback of a click option: None, which is "not given", stays None.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.certificate_authority import IssuedFilesUnusable, certificates_in
from idscope.errors import InvalidRegistrationId
from idscope.model.registration_id import check_registration_id

TEXT: Final = "TEXT|@FILE|-"
JSON: Final = "JSON|@FILE|-"
CERTIFICATE: Final = "FILE|-"

_READ: Final = "idscope.standard_input"


def given_text(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The text without white space around it. Raises click.BadParameter."""
    return None if value is None else _text(context, parameter, value).strip()


def given_object(context: click.Context, parameter: click.Parameter, value: str | None) -> msgspec.Raw | None:
    """A JSON object, carried byte for byte; an empty text is an empty object. Raises click.BadParameter."""
    if value is None:
        return None
    text = _text(context, parameter, value).strip() or "{}"
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise click.BadParameter(f"this is no JSON object: {error}.", context, parameter) from None
    return msgspec.Raw(text.encode())


def given_certificate(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The first certificate of a file in PEM or DER, as PEM. Raises click.BadParameter."""
    if value is None:
        return None
    try:
        first, *_ = certificates_in(_content(context, parameter, value), value)
    except IssuedFilesUnusable as problem:
        raise click.BadParameter(f"{problem}.", context, parameter) from None
    return first.public_bytes(Encoding.PEM).decode()


def given_etag(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An etag as it stands in a document. Raises click.BadParameter."""
    if value is not None and not (value.isascii() and value.isprintable() and value.strip()):
        raise click.BadParameter("an etag is what a document shows as `etag`, or '*'.", context, parameter)
    return value


def given_registration_id(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An id of a registration, an enrollment or a group. Raises click.BadParameter."""
    try:
        return None if value is None else check_registration_id(value)
    except InvalidRegistrationId:
        raise click.BadParameter(
            f"{value!r} is no id: 1 to 128 of A-Z a-z 0-9 - . _ : beginning with a letter or digit, and ending with "
            "one or with a hyphen.",
            context,
            parameter,
        ) from None


def _text(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if value != "-" and not value.startswith("@"):
        return value
    content = _content(context, parameter, value.removeprefix("@"))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value} holds no text.", context, parameter) from None


def _content(context: click.Context, parameter: click.Parameter, name: str) -> bytes:
    """What a file holds, or standard input where the name is `-`."""
    if context.resilient_parsing:  # a shell completes the line: it must not wait for standard input
        raise click.BadParameter("not read for completion", context, parameter)
    if name == "-":
        if context.meta.setdefault(_READ, parameter) is not parameter:
            raise click.BadParameter("standard input can be read for one value only.", context, parameter)
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{name} cannot be read: {error.strerror}.", context, parameter) from None
