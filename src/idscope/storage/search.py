"""Owns the search as a value, and the way it goes: which index is walked, and from where to where.
It must not know any SQL, nor what is in the rows.

Every store goes the same way, so that a position in it means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from idscope.storage.condition import Column, Compare, Condition, Defined, OneOf, Value, conjuncts
from idscope.storage.rows import Row, Searched

R = TypeVar("R", bound=Row)
Position = tuple[Value, ...]


class Search(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """The rows of a service of which the condition is true.

    `beside` is another kind with keys of the same form: the condition may also ask of the row that has the same key.
    """

    kind: type[R]
    service_id: str
    condition: Condition | None = None
    beside: type[Row] | None = None


class Found(msgspec.Struct, Generic[R], frozen=True):
    """`behind` is where to go on, None where nothing is left."""

    rows: list[R]
    behind: Position | None


class Edge(msgspec.Struct, frozen=True):
    value: Value
    included: bool = True


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """A way through one index of `kind`, in the order of the columns `tail`, within one service.

    Only rows are met whose first of these columns lies between `low` and `high`, is not `but`, and holds something.
    `whole` means that all of them are found: what is between the edges is what the condition asks for.
    """

    kind: type[Row]
    tail: tuple[str, ...]
    low: Edge | None = None
    high: Edge | None = None
    but: str | None = None
    whole: bool = False

    @property
    def column(self) -> str:
        return self.tail[0]

    def position_of(self, row: Row) -> Position:
        return tuple(getattr(row, name) for name in self.tail)

    def meets(self, row: Row) -> bool:
        value = getattr(row, self.column)
        if value is None or value == self.but:
            return False
        above = self.low is None or value > self.low.value or (self.low.included and value == self.low.value)
        below = self.high is None or value < self.high.value or (self.high.included and value == self.high.value)
        return above and below


# How good a way is: few rows are met; a good part of them; those on one side of a value; all there are.
_FEW: Final = 0
_MANY: Final = 1
_ONE_SIDE: Final = 2
_ALL: Final = 3


def walk_of(search: Search[Any]) -> Walk:
    """The best way there is; of equally good ones the key, then the one named first in the row's `SEARCHED`."""
    parts = conjuncts(search.condition)
    found = [_along(search.kind, Searched(search.kind.KEY[1]), parts, beside=False)]
    found += [_along(search.kind, index, parts, beside=False) for index in search.kind.SEARCHED]
    if search.beside is not None:
        found += [_along(search.beside, index, parts, beside=True) for index in search.beside.SEARCHED]
    ways = [way for way in found if way is not None]
    everything = Walk(kind=search.kind, tail=search.kind.KEY[1:], whole=search.condition is None)
    return min([*ways, (_ALL, everything)], key=lambda way: way[0])[1]


def fits(walk: Walk, position: Sequence[object]) -> bool:
    """Whether the position can be one in this walk: text or a number for each column, as it holds."""
    if len(walk.tail) != len(position):
        return False
    return all(
        _is_text(walk.kind, name) if isinstance(value, str) else not _is_text(walk.kind, name) and _is_stored(value)
        for name, value in zip(walk.tail, position, strict=True)
    )


def _along(kind: type[Row], index: Searched, parts: Sequence[Condition], *, beside: bool) -> tuple[int, Walk] | None:
    """The way along one index with its goodness, if it meets every row of which the parts are true."""
    column = Column(index.column, beside)
    on_it = [part for part in parts if isinstance(part, Compare | OneOf | Defined) and part.column == column]
    if not on_it or not (index.but is None or any(_leaves_out(part, index.but) for part in on_it)):
        return None
    low, high = _edges(on_it)
    few = _MANY if index.coarse else _FEW
    goodness = few if (low and high) or index.but else _ONE_SIDE
    walk = Walk(
        kind=kind,
        tail=(index.column, *(name for name in kind.KEY[1:] if name != index.column)),
        low=low,
        high=high,
        but=index.but,
        whole=len(on_it) == len(parts) and all(_is_between_edges(part, index.but) for part in on_it),
    )
    return goodness, walk


def _is_text(kind: type[Row], column: str) -> bool:
    return "str" in str(kind.__annotations__[column])


def _is_stored(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _leaves_out(part: Condition, value: str) -> bool:
    match part:
        case Compare(_, "=", other):
            return other != value
        case Compare(_, "!=", other):
            return other == value
        case OneOf(_, values):
            return value not in values
    return False


def _edges(parts: Sequence[Condition]) -> tuple[Edge | None, Edge | None]:
    """The narrowest edges that the parts give."""
    lows: list[Edge] = []
    highs: list[Edge] = []
    for part in parts:
        match part:
            case Compare(_, "=", value):
                lows.append(Edge(value))
                highs.append(Edge(value))
            case Compare(_, ">" | ">=" as sign, value):
                lows.append(Edge(value, sign == ">="))
            case Compare(_, "<" | "<=" as sign, value):
                highs.append(Edge(value, sign == "<="))
            case OneOf(_, values):
                lows.append(Edge(min(values)))
                highs.append(Edge(max(values)))
    low = max(lows, key=lambda edge: (edge.value, not edge.included), default=None)
    high = min(highs, key=lambda edge: (edge.value, edge.included), default=None)
    return low, high


def _is_between_edges(part: Condition, but: str | None) -> bool:
    """Whether the edges, and what the index leaves out, say all that the part says."""
    match part:
        case Compare(_, "!=", value):
            return value == but
        case OneOf(_, values):
            return len(values) == 1
    return True
