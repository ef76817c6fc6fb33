"""Owns what may be asked of a row: comparisons with its columns, joined by and, or, not; and what they mean.
It must not know who asks, nor any SQL.

Three values, as in SQL: a comparison with a column that holds nothing is neither true nor false, and neither is its
negation. A row is found where the whole is true.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec

Value = str | int
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_COMPARISONS: Final[dict[Operator, Callable[..., bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LAST_BEFORE_SURROGATES: Final = 0xD7FF
_FIRST_BEHIND_SURROGATES: Final = 0xE000
_LAST_CHARACTER: Final = 0x10FFFF


class Column(msgspec.Struct, frozen=True):
    """A column of the row, or of the row `beside` it."""

    name: str
    beside: bool = False


class Compare(msgspec.Struct, frozen=True, tag="compare"):
    """Text compares by code points, as its UTF-8 bytes do."""

    column: Column
    operator: Operator
    value: Value


class OneOf(msgspec.Struct, frozen=True, tag="one-of"):
    """`values` is never empty."""

    column: Column
    values: tuple[Value, ...]


class Defined(msgspec.Struct, frozen=True, tag="defined"):
    """The column holds something; true or false, always."""

    column: Column


class Not(msgspec.Struct, frozen=True, tag="not"):
    condition: Condition


class And(msgspec.Struct, frozen=True, tag="and"):
    conditions: tuple[Condition, ...]


class Or(msgspec.Struct, frozen=True, tag="or"):
    conditions: tuple[Condition, ...]


Condition = Compare | OneOf | Defined | Not | And | Or


def truth(condition: Condition, value_of: Callable[[Column], Value | None]) -> bool | None:
    """Whether the condition holds of a row, None where that is neither true nor false."""
    match condition:
        case Defined(column):
            return value_of(column) is not None
        case Compare(column, sign, value):
            found = value_of(column)
            return None if found is None else _COMPARISONS[sign](found, value)
        case OneOf(column, values):
            found = value_of(column)
            return None if found is None else found in values
        case Not(inner):
            held = truth(inner, value_of)
            return None if held is None else not held
        case And(conditions):
            return _joined(all, (truth(each, value_of) for each in conditions))
        case Or(conditions):
            return _joined(any, (truth(each, value_of) for each in conditions))


def starting_with(column: Column, text: str) -> Condition:
    """The column's text begins with `text`: a range, so that an index serves it."""
    behind = _behind_all_that_begin_with(text)
    begins = Compare(column, ">=", text)
    return begins if behind is None else And((begins, Compare(column, "<", behind)))


def conjuncts(condition: Condition | None) -> tuple[Condition, ...]:
    """The conditions that must all hold."""
    if isinstance(condition, And):
        return tuple(part for each in condition.conditions for part in conjuncts(each))
    return () if condition is None else (condition,)


def columns_in(condition: Condition | None) -> frozenset[Column]:
    match condition:
        case None:
            return frozenset()
        case Not(inner):
            return columns_in(inner)
        case And(conditions) | Or(conditions):
            return frozenset(column for each in conditions for column in columns_in(each))
        case Compare(column) | OneOf(column) | Defined(column):
            return frozenset({column})


def _joined(join: Callable[[list[bool]], bool], held: Iterable[bool | None]) -> bool | None:
    """What `all` or `any` says, unless that hangs on what is unknown."""
    found = list(held)
    least, most = ([default if each is None else each for each in found] for default in (False, True))
    return join(least) if join(least) == join(most) else None


def _behind_all_that_begin_with(text: str) -> str | None:
    """The least text that is greater than all those; None where there is none."""
    shorter = text.rstrip(chr(_LAST_CHARACTER))
    if not shorter:
        return None
    last = ord(shorter[-1])
    return shorter[:-1] + chr(_FIRST_BEHIND_SURROGATES if last == _LAST_BEFORE_SURROGATES else last + 1)
