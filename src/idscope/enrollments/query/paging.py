"""Owns the pages of an answer: how large they are, how much is looked at for one, and how the next one is found.
It must not know the language."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, Generic, TypeVar

import msgspec

from idscope.errors import InvalidArgument
from idscope.storage import Row, Search, Store
from idscope.storage.search import Position, fits, walk_of

DEFAULT_PAGE: Final = 100  # observed
LARGEST_PAGE: Final = 1000  # not published; larger requests get pages of this size

# Rows that are looked at: without pause; in vain, for a page that has some items; and for one that has none yet. The
# last is large because the older Python SDK takes an empty page for the end.
STRETCH: Final = 500
ENOUGH: Final = 10_000
MOST: Final = 100_000

_MAX_TOKEN: Final = 8192
_DIGEST: Final = 16  # hex digits: tells queries apart, and is no secret

T = TypeVar("T")
R = TypeVar("R", bound=Row)


class Page(msgspec.Struct, Generic[T], frozen=True):
    """`continuation` is None on the last page."""

    records: list[T]
    continuation: str | None


class _Continuation(msgspec.Struct, frozen=True):
    """Where the next page begins, and the query that it is a page of."""

    query: str
    behind: tuple[str | int, ...]


def page_size(header: str | None) -> int:
    """The number of items asked for by `x-ms-max-item-count`, 0 or none for the default. Raises InvalidArgument."""
    if not header:
        return DEFAULT_PAGE
    text = header.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise InvalidArgument("x-ms-max-item-count must be a non-negative integer.")
    return min(int(text), LARGEST_PAGE) or DEFAULT_PAGE


async def find_page(store: Store, search: Search[R], continuation: str | None, size: int) -> Page[R]:
    """Up to `size` rows behind the end of the page before: fewer, and more to come, where few are found for long.

    Raises InvalidArgument for a continuation that is none of this search.
    """
    behind = _read(continuation, search)
    rows: list[R] = []
    looked_at = 0
    while True:
        wanted = min(size - len(rows), STRETCH)
        found = await store.search(search, behind, wanted, STRETCH)
        rows += found.rows
        behind = found.behind
        looked_at += 0 if len(found.rows) == wanted else STRETCH
        if behind is None:
            return Page(rows, None)
        if len(rows) == size or looked_at >= (ENOUGH if rows else MOST):
            return Page(rows, _written(search, behind))


def _written(search: Search[R], behind: Position) -> str:
    """An opaque token, stable while rows come and go."""
    return base64.b64encode(msgspec.json.encode(_Continuation(_digest(search), behind))).decode()


def _read(token: str | None, search: Search[R]) -> Position | None:
    if not token:
        return None
    found = _decoded(token)
    if found is None:
        raise InvalidArgument("x-ms-continuation is not a continuation token of this service.")
    if found.query != _digest(search) or not fits(walk_of(search), found.behind):
        raise InvalidArgument("x-ms-continuation is a continuation token of another query.")
    return found.behind


def _decoded(token: str) -> _Continuation | None:
    if len(token) > _MAX_TOKEN:
        return None
    try:
        return msgspec.json.decode(base64.b64decode(token, validate=True), type=_Continuation)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


def _digest(search: Search[R]) -> str:
    asked = msgspec.json.encode((search.kind.TABLE, search.service_id, search.condition))
    return hashlib.sha256(asked).hexdigest()[:_DIGEST]
