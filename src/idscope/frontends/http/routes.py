"""Owns the finding of a row by method and path. It must not know what a row does.

Fixed segments compare without case, one trailing slash is ignored (quirk: Node's service SDK posts to
`/enrollments/`), the others are percent-decoded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from idscope.errors import InvalidArgument, MethodNotAllowed, RouteNotFound
from idscope.frontends.http.operations import Api, Operation

_ANY: Final = "*"
_ID_MISSING: Final = "Method not allowed: the path misses an id."


class Match(msgspec.Struct, frozen=True):
    operation: Operation
    path: dict[str, str]


class _Route(msgspec.Struct, frozen=True):
    """`segments` holds the lower-cased fixed text, or None for a parameter, whose names stand in `names`."""

    segments: tuple[str | None, ...]
    names: tuple[str, ...]
    by_method: dict[str, Operation]

    def fits(self, segments: list[str]) -> bool:
        return all(want is None or want == have.lower() for want, have in zip(self.segments, segments, strict=True))


class Routes:
    """All rows, found by their first segment and their number of segments."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._routes: dict[tuple[str, int], list[_Route]] = {}
        self._api_by_first_segment: dict[str, Api] = {}
        for operation in operations:
            self._add(operation)

    def find(self, method: str, path: str) -> Match:
        """Raises RouteNotFound, MethodNotAllowed (also where an id is missing), InvalidArgument."""
        segments = path.removeprefix("/").removesuffix("/").split("/")
        fitting = self._fitting(segments)
        for route in fitting:
            operation = route.by_method.get(method)
            if operation is not None:
                return Match(operation, _parameters(route, segments))
        if not fitting:
            raise MethodNotAllowed(message=_ID_MISSING) if self._fitting([*segments, ""]) else RouteNotFound
        raise MethodNotAllowed(tuple(sorted({name for route in fitting for name in route.by_method})))

    def api_of(self, path: str) -> Api:
        """The API whose words an error on this path is told in."""
        first = path.removeprefix("/").partition("/")[0].lower()
        return self._api_by_first_segment.get(first, self._api_by_first_segment.get(_ANY, Api.OPERATOR))

    def _fitting(self, segments: list[str]) -> list[_Route]:
        first = segments[0].lower()
        if first not in self._api_by_first_segment:
            first = _ANY
        return [route for route in self._routes.get((first, len(segments)), ()) if route.fits(segments)]

    def _add(self, operation: Operation) -> None:
        parts = operation.path.removeprefix("/").split("/")
        segments = tuple(None if part.startswith("{") else part.lower() for part in parts)
        names = tuple(part.strip("{}") for part in parts if part.startswith("{"))
        first = segments[0] or _ANY
        if self._api_by_first_segment.setdefault(first, operation.api) is not operation.api:
            raise ValueError(f"two APIs share the first segment of {operation.path}")
        bucket = self._routes.setdefault((first, len(segments)), [])
        for route in bucket:
            if route.segments == segments:
                route.by_method[operation.method] = operation
                return
        bucket.append(_Route(segments, names, {operation.method: operation}))
        bucket.sort(key=lambda route: sum(segment is None for segment in route.segments))


def _parameters(route: _Route, segments: list[str]) -> dict[str, str]:
    values = [segment for want, segment in zip(route.segments, segments, strict=True) if want is None]
    if not all(values):
        raise MethodNotAllowed(message=_ID_MISSING)
    return dict(zip(route.names, map(_decoded, values), strict=True))


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidArgument("The path is not valid UTF-8.") from None
