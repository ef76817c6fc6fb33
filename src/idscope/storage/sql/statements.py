"""Owns the SQL of every write and read, made from the rows' classes. It must not know which engine runs it.

Only SQL that SQLite and PostgreSQL share stands here (positional marks are `?`; text compares bytewise). Each write is
one statement that compares and swaps: how many rows it changed says whether its expectation held.
"""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from idscope.model.etag import Absent, Anything, Expectation, Matches
from idscope.storage.rows import OperationRow, ProvisioningServiceRow, Row
from idscope.storage.unit import Delete, Put, Trim, Write

Values = tuple[Any, ...]

# Counted by the store itself: a put neither sets nor resets it.
REVISION: Final = "revision"
RAISE_REVISION: Final = f"UPDATE {ProvisioningServiceRow.TABLE} SET {REVISION} = {REVISION} + 1 WHERE service_id = ?"  # noqa: S608  # our own names


class Statement(NamedTuple):
    """One write. `conditional`: no row changed means that its expectation failed.

    `raises_revision` holds the service whose revision rises if a row changed.
    """

    sql: str
    values: Values
    conditional: bool
    raises_revision: tuple[str | int] | None


def statement_of(write: Write) -> Statement:
    """The statement of a sound write (`idscope.storage.soundness`)."""
    match write:
        case Put(row, expect):
            return _put(row, expect)
        case Delete(key, expect):
            return Statement(
                _delete_sql(key.kind, type(expect)),
                key.values + _etag_of(expect),
                not isinstance(expect, Anything),
                key.values[:1] if key.kind.RAISES_REVISION else None,  # type: ignore[arg-type]  # a key is never empty
            )
        case Trim(kind, prefix, keep):
            return Statement(_trim_sql(kind, len(prefix)), (*prefix, *prefix, keep), False, None)


def columns_of(kind: type[Row]) -> tuple[str, ...]:
    """All columns, in the order in which the row's class takes them."""
    return kind.__struct_fields__


@cache
def select_by_key(kind: type[Row]) -> str:
    return f"SELECT {_list(columns_of(kind))} FROM {kind.TABLE} WHERE {_all_equal(kind.KEY)}"  # noqa: S608


@cache
def select_page(
    kind: type[Row], order: tuple[str, ...], prefix_length: int, *, behind: bool, backwards: bool = False
) -> str:
    """Rows under a prefix of the order, behind a tail of it if `behind`; the last mark is the limit."""
    tail = order[prefix_length:]
    conditions = [f"{name} = ?" for name in order[:prefix_length]]
    if behind and tail:
        conditions.append(f"({_list(tail)}) {'<' if backwards else '>'} ({_marks(tail)})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    by = ", ".join(f"{name} DESC" for name in order) if backwards else _list(order)
    return f"SELECT {_list(columns_of(kind))} FROM {kind.TABLE}{where} ORDER BY {by} LIMIT ?"  # noqa: S608


SELECT_EXPIRED_OPERATIONS: Final = (
    f"SELECT {', '.join(columns_of(OperationRow))} FROM {OperationRow.TABLE} WHERE lease_until < ?"  # noqa: S608
    f" ORDER BY lease_until, {', '.join(OperationRow.KEY)} LIMIT ?"
)


def _put(row: Row, expect: Expectation) -> Statement:
    sql, values_of = _put_form(type(row), type(expect))
    return Statement(
        sql,
        values_of(row) + _etag_of(expect),
        not isinstance(expect, Anything),
        (getattr(row, row.KEY[0]),) if row.RAISES_REVISION else None,
    )


@cache
def _put_form(kind: type[Row], expectation: type[Expectation]) -> tuple[str, attrgetter[Values]]:
    """The SQL of a put, and what takes a row's values in the order of its marks."""
    columns = _put_columns(kind)
    if expectation in {Absent, Anything}:
        return _insert_sql(kind, columns, replace=expectation is Anything), attrgetter(*columns)
    rest = _rest(kind)
    sets = ", ".join(f"{name} = ?" for name in rest)
    sql = f"UPDATE {kind.TABLE} SET {sets} WHERE {_all_equal(kind.KEY)}{_and_etag(expectation)}"  # noqa: S608
    return sql, attrgetter(*rest, *kind.KEY)


def _insert_sql(kind: type[Row], columns: tuple[str, ...], *, replace: bool) -> str:
    update = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _rest(kind))}"
    return (
        f"INSERT INTO {kind.TABLE} ({_list(columns)}) VALUES ({_marks(columns)})"  # noqa: S608
        f" ON CONFLICT ({_list(kind.KEY)}) DO {update if replace else 'NOTHING'}"
    )


@cache
def _delete_sql(kind: type[Row], expectation: type[Expectation]) -> str:
    return f"DELETE FROM {kind.TABLE} WHERE {_all_equal(kind.KEY)}{_and_etag(expectation)}"  # noqa: S608


@cache
def _trim_sql(kind: type[Row], prefix_length: int) -> str:
    """Deletes up to the first row, counted from the end, that is one too many; nothing when there is none."""
    prefix, tail = kind.KEY[:prefix_length], kind.KEY[prefix_length:]
    where = f"{_all_equal(prefix)} AND " if prefix else ""
    where_again = f" WHERE {_all_equal(prefix)}" if prefix else ""
    backwards = ", ".join(f"{name} DESC" for name in tail)
    return (
        f"DELETE FROM {kind.TABLE} WHERE {where}({_list(tail)}) <= (SELECT {_list(tail)} FROM {kind.TABLE}"  # noqa: S608
        f"{where_again} ORDER BY {backwards} LIMIT 1 OFFSET ?)"
    )


def _etag_of(expect: Expectation) -> tuple[str, ...]:
    return (expect.etag,) if isinstance(expect, Matches) else ()


def _and_etag(expectation: type[Expectation]) -> str:
    return " AND etag = ?" if expectation is Matches else ""


def _put_columns(kind: type[Row]) -> tuple[str, ...]:
    return tuple(name for name in columns_of(kind) if name != REVISION)


def _rest(kind: type[Row]) -> tuple[str, ...]:
    """The columns that a put of an existing row sets."""
    return tuple(name for name in _put_columns(kind) if name not in kind.KEY)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _marks(names: tuple[str, ...]) -> str:
    return ", ".join("?" for _ in names)


def _all_equal(names: tuple[str, ...]) -> str:
    return " AND ".join(f"{name} = ?" for name in names)
