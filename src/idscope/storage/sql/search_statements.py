"""Owns the SQL of a search: where a stretch of its walk ends, and what is found on it. It must not know which engine
runs it, nor choose the walk.

As in `statements`, only what SQLite and PostgreSQL share. A value never stands in the text. The condition stands within
`IS TRUE`, where no planner looks for a better way: the index is the one that the walk names.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from idscope.storage.condition import (
    And,
    Column,
    Compare,
    Condition,
    Defined,
    Not,
    OneOf,
    Operator,
    Or,
    Value,
    columns_in,
)
from idscope.storage.rows import Row
from idscope.storage.search import Position, Search, Walk
from idscope.storage.sql.statements import columns_of

# The tables' names within a statement: what is walked, what is found, what stands beside it.
_WALKED: Final = "w"
_FOUND: Final = "f"
_BESIDE: Final = "b"
_SIGNS: Final[dict[Operator, str]] = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Query(NamedTuple):
    sql: str
    values: tuple[Value, ...]


def select_end_of_stretch(walk: Walk, service_id: str, behind: Position | None, rows: int) -> Query:
    """The position of the last of `rows` rows, followed by the next one; fewer than two where the walk ends first."""
    way = _way(walk, service_id, behind, None)
    sql = (
        f"SELECT {_columns(walk)} FROM {walk.kind.TABLE} {_WALKED}"  # noqa: S608  # our own names
        f" WHERE {way.sql} ORDER BY {_columns(walk)} LIMIT 2 OFFSET ?"
    )
    return Query(sql, (*way.values, rows - 1))


def select_found(search: Search[Any], walk: Walk, behind: Position | None, upto: Position | None, limit: int) -> Query:
    """Each row that is found behind one position, up to the other, as its position and its columns."""
    way = _way(walk, search.service_id, behind, upto)
    found = _FOUND if walk.kind is not search.kind else _WALKED
    where, values = way
    if walk.kind is not search.kind:
        where = f"{_same_key(search.kind, _FOUND, _WALKED)} AND {where}"
    if search.condition is not None:
        asked = _condition(search.condition, {False: found, True: _BESIDE if found == _WALKED else _WALKED})
        where, values = f"{where} AND ({asked.sql}) IS TRUE", values + asked.values
    columns = ", ".join(f"{found}.{name}" for name in columns_of(search.kind))
    sql = (
        f"SELECT {_columns(walk)}, {columns} FROM {_tables(search, walk)}"  # noqa: S608  # our own names
        f" WHERE {where} ORDER BY {_columns(walk)} LIMIT ?"
    )
    return Query(sql, (*values, limit))


def _tables(search: Search[Any], walk: Walk) -> str:
    """CROSS JOIN: the walked table leads."""
    walked = f"{walk.kind.TABLE} {_WALKED}"
    if walk.kind is not search.kind:
        return f"{walked} CROSS JOIN {search.kind.TABLE} {_FOUND}"
    if search.beside is None or not any(column.beside for column in columns_in(search.condition)):
        return walked
    return f"{walked} LEFT JOIN {search.beside.TABLE} {_BESIDE} ON {_same_key(search.kind, _BESIDE, _WALKED)}"


def _same_key(kind: type[Row], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in kind.KEY)


def _way(walk: Walk, service_id: str, behind: Position | None, upto: Position | None) -> Query:
    """The part of the index that is walked. Each side has one bound only: given two, an engine may take the wider."""
    column = f"{_WALKED}.{walk.column}"
    terms = [f"{_WALKED}.{walk.kind.KEY[0]} = ?", f"{column} IS NOT NULL"]
    values: list[Value] = [service_id]
    if walk.but is not None:
        terms.append(f"{column} <> '{walk.but}'")  # a word of ours, as the index has it
    for sign, equal, position, edge in ((">", "", behind, walk.low), ("<", "=", upto, walk.high)):
        if position is not None:
            terms.append(f"({_columns(walk)}) {sign}{equal} ({_marks(position)})")
            values += position
        elif edge is not None:
            terms.append(f"{column} {sign}{'=' if edge.included else ''} ?")
            values.append(edge.value)
    return Query(" AND ".join(terms), tuple(values))


def _columns(walk: Walk) -> str:
    return ", ".join(f"{_WALKED}.{name}" for name in walk.tail)


def _condition(condition: Condition, tables: dict[bool, str]) -> Query:
    """`tables` names the table of a column by whether it is one of the row beside."""
    match condition:
        case Compare(column, sign, value):
            return Query(f"{_column(column, tables)} {_SIGNS[sign]} ?", (value,))
        case OneOf(column, values):
            return Query(f"{_column(column, tables)} IN ({_marks(values)})", values)
        case Defined(column):
            return Query(f"{_column(column, tables)} IS NOT NULL", ())
        case Not(inner):
            sql, inside = _condition(inner, tables)
            return Query(f"NOT ({sql})", inside)
        case And(conditions):
            return _joined(" AND ", conditions, tables)
        case Or(conditions):
            return _joined(" OR ", conditions, tables)


def _joined(word: str, conditions: tuple[Condition, ...], tables: dict[bool, str]) -> Query:
    parts = [_condition(each, tables) for each in conditions]
    return Query(word.join(f"({part.sql})" for part in parts), tuple(value for part in parts for value in part.values))


def _column(column: Column, tables: dict[bool, str]) -> str:
    return f"{tables[column.beside]}.{column.name}"


def _marks(values: tuple[Value, ...]) -> str:
    return ", ".join("?" for _ in values)
