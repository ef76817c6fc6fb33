"""Owns queries over enrollments: what may be asked, and how a page is continued. It must not know any SQL."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, Generic, TypeVar

import msgspec

from idscope.errors import InvalidArgument

DEFAULT_PAGE: Final = 100  # observed
LARGEST_PAGE: Final = 1000  # not published; larger requests get pages of this size
_MAX_TOKEN: Final = 1024
_EVERYTHING: Final = re.compile(r"\s*(?:select\s+\*(?:\s+from\s+(\w+))?\s*;?\s*)?\Z", re.IGNORECASE)

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """`continuation` is None on the last page."""

    records: list[T]
    continuation: str | None


class _Continuation(msgspec.Struct, frozen=True):
    after: str


def check_query(query: str, name: str) -> None:
    """`SELECT *`, with or without `FROM {name}`, in any case, or nothing. Raises InvalidArgument."""
    match = _EVERYTHING.match(query)
    if match is None or (match[1] or name).lower() != name.lower():
        raise InvalidArgument(f"Of queries, SELECT * is possible, and SELECT * FROM {name}.")  # noqa: S608 - words for a person


def page_size(header: str | None) -> int:
    """The number of items asked for by `x-ms-max-item-count`, 0 or none for the default. Raises InvalidArgument."""
    if not header:
        return DEFAULT_PAGE
    text = header.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise InvalidArgument("x-ms-max-item-count must be a non-negative integer.")
    return min(int(text), LARGEST_PAGE) or DEFAULT_PAGE


def write_continuation(after: str) -> str:
    """An opaque token: where the next page begins, stable under inserts and deletes."""
    return base64.b64encode(msgspec.json.encode(_Continuation(after))).decode()


def read_continuation(token: str | None) -> str | None:
    """Raises InvalidArgument for a token that this server did not write."""
    if not token:
        return None
    try:
        if len(token) > _MAX_TOKEN:
            raise InvalidArgument("x-ms-continuation is not a continuation token of this service.")
        return msgspec.json.decode(base64.b64decode(token, validate=True), type=_Continuation).after
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidArgument("x-ms-continuation is not a continuation token of this service.") from None
