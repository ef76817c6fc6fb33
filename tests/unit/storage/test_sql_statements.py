"""The SQL that is made from the rows fits the schema that was written by hand, and uses its indexes."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from idscope.model.etag import ABSENT, ANYTHING, PRESENT, Matches
from idscope.storage import (
    AttemptRow,
    Delete,
    EnrollmentRow,
    HubDeviceRow,
    OperationRow,
    Put,
    RegistrationRow,
    Row,
    Search,
    Trim,
    key_of,
)
from idscope.storage.condition import And, Column, Compare, Defined, Not, OneOf, Or
from idscope.storage.rows import EVERY_ROW
from idscope.storage.search import Walk, walk_of
from idscope.storage.sql.migration import bring_up_to_date, landed_migrations
from idscope.storage.sql.search_statements import select_end_of_stretch, select_found
from idscope.storage.sql.sqlite_store import HealthRow
from idscope.storage.sql.statements import SELECT_EXPIRED_OPERATIONS, select_by_key, select_page, statement_of
from idscope.testing.sample_rows import ONE_OF_EACH, device, enrollment, registration


@pytest.fixture
def schema(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to an empty database of the present schema."""
    bring_up_to_date(tmp_path / "store.db", landed_migrations())
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        yield connection


def plan_of(schema: sqlite3.Connection, sql: str) -> str:
    marks = ["0"] * sql.count("?")
    return "\n".join(row[3] for row in schema.execute(f"EXPLAIN QUERY PLAN {sql}", marks))


@pytest.mark.parametrize("kind", [*EVERY_ROW, HealthRow], ids=lambda kind: kind.TABLE)
def test_each_table_has_the_columns_and_the_key_of_its_row(schema: sqlite3.Connection, kind: type[Row]) -> None:
    columns = schema.execute(f"PRAGMA table_info({kind.TABLE})").fetchall()
    assert tuple(name for _, name, *_ in columns) == kind.__struct_fields__
    key = sorted((position, name) for _, name, _, _, _, position in columns if position)
    assert tuple(name for _, name in key) == kind.KEY
    nullable = {name for _, name, _, not_null, _, _ in columns if not not_null}
    assert nullable == {name for name, type_ in kind.__annotations__.items() if "None" in str(type_)}


def test_there_is_no_table_without_a_row(schema: sqlite3.Connection) -> None:
    tables = {name for (name,) in schema.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {kind.TABLE for kind in EVERY_ROW} | {"health", "schema_version"}


@pytest.mark.parametrize("kind", EVERY_ROW, ids=lambda kind: kind.TABLE)
def test_no_read_searches_a_whole_table_or_sorts(schema: sqlite3.Connection, kind: type[Row]) -> None:
    plans = [plan_of(schema, select_by_key(kind))]
    for order, first in ((kind.KEY, 0), *((order, len(order) - 1) for order in kind.ORDERS)):
        plans += [
            plan_of(schema, select_page(kind, order, length, behind=True, backwards=backwards))
            for length in range(first, len(order))
            for backwards in (False, True)
        ]
    if kind is OperationRow:
        plans.append(plan_of(schema, SELECT_EXPIRED_OPERATIONS))
    for plan in plans:
        assert plan.startswith("SEARCH"), plan
    for plan in plans[:-1]:
        assert "TEMP B-TREE" not in plan, plan


def test_writes_find_their_rows_by_the_key(schema: sqlite3.Connection) -> None:
    for row in ONE_OF_EACH:
        for write in (Put(row, PRESENT), Delete(key_of(row), ANYTHING)):
            assert "SCAN" not in plan_of(schema, statement_of(write).sql)
    assert "SCAN" not in plan_of(schema, statement_of(Trim(AttemptRow, ("s", "b"), 3)).sql)


def test_what_is_searched_has_an_index(schema: sqlite3.Connection) -> None:
    for table, column, value in (
        ("enrollment", "endorsement_key_hash", "'AB'"),
        ("registration", "enrollment_group_key", "'g'"),
        ("attempt", "registration_key", "'r'"),
    ):
        plan = plan_of(schema, f"SELECT * FROM {table} WHERE service_id = 's' AND {column} = {value}")
        assert f"{table}_" in plan
        assert f"{column}=?" in plan


TEXT_OR_NUMBER: dict[str, str | int] = {"str": "a", "int": 1}


def searches(row: type[Row], *, beside: bool) -> Iterator[Search[Row]]:
    """One for each index: by a value, from one on, and up to one."""
    kind, other = (EnrollmentRow, row) if beside else (row, None)
    for index in row.SEARCHED:
        column = Column(index.column, beside)
        value = TEXT_OR_NUMBER[held_in(row, index.column)]
        for operator in ("=", ">", "<="):
            leaves_out = [] if index.but is None else [Compare(column, "!=", index.but)]
            condition = And((Compare(column, operator, value), *leaves_out, Compare(Column("created"), ">", 0)))
            yield Search(kind=kind, service_id="s", condition=condition, beside=other)


@pytest.fixture(params=["empty", "filled, analyzed"])
def planned(request: pytest.FixtureRequest, schema: sqlite3.Connection) -> sqlite3.Connection:
    """A database whose planner knows nothing, and one whose planner knows what an operator's ANALYZE found."""
    if request.param != "empty":
        for number in range(400):
            searched: dict[str, Any] = {"device_id": f"d{number}", "client_primary_not_after": number}
            searched["allocation_policy"] = "static"
            rows = [
                enrollment(f"{number}", provisioning_status="disabled", **searched),
                registration(f"{number}", status="failed", error_code=number, enrollment_group_key="g"),
            ]
            for row in rows:
                schema.execute(*statement_of(Put(row))[:2])
        schema.execute("ANALYZE")
    return schema


@pytest.mark.parametrize(("row", "beside"), [(EnrollmentRow, False), (RegistrationRow, False), (RegistrationRow, True)])
def test_a_search_walks_the_index_of_its_column(planned: sqlite3.Connection, row: type[Row], beside: bool) -> None:
    """On its first stretch and on those behind, up to the end of one or not: it neither scans nor sorts, and begins
    and ends at the very positions."""
    found = list(searches(row, beside=beside))
    assert found
    for search in found:
        walk = walk_of(search)
        assert walk.kind is row
        position = tuple(TEXT_OR_NUMBER[held_in(row, name)] for name in walk.tail)
        for behind, upto in itertools.product((None, position), repeat=2):
            first, *others = plan_of(planned, select_found(search, walk, behind, upto, 9).sql).splitlines()
            assert_walked(first, walk, behind, upto)
            assert len(others) == beside
            for line in others:
                assert line.startswith("SEARCH f USING INDEX sqlite_autoindex_enrollment_1 (service_id=? AND regis")
        for behind in (None, position):
            (only,) = plan_of(planned, select_end_of_stretch(walk, "s", behind, 9).sql).splitlines()
            assert_walked(only, walk, behind, None)


def held_in(row: type[Row], column: str) -> str:
    return "str" if "str" in str(row.__annotations__[column]) else "int"


def assert_walked(plan: str, walk: Walk, behind: object, upto: object) -> None:
    assert plan.startswith("SEARCH w USING ")
    assert f"INDEX {walk.kind.TABLE}_{walk.column.replace('_key', '')} (service_id=?" in plan
    both = f"({walk.column},registration_key)"
    assert (f"{both}>(?,?)" in plan) is (behind is not None)
    assert (f"{both}<(?,?)" in plan) is (upto is not None)


def test_each_searched_column_has_an_index_that_holds_the_key_too(schema: sqlite3.Connection) -> None:
    for kind in EVERY_ROW:
        for index in kind.SEARCHED:
            name = f"{kind.TABLE}_{index.column.replace('_key', '')}"
            columns = [column for *_, column in schema.execute(f"PRAGMA index_info({name})")]
            assert columns == [kind.KEY[0], index.column, *kind.KEY[1:]]
            (sql,) = schema.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            nullable = "None" in str(kind.__annotations__[index.column])
            only = (
                f"{index.column} <> '{index.but}'" if index.but else f"{index.column} IS NOT NULL" if nullable else ""
            )
            assert " ".join(sql.split()).partition(" WHERE ")[2] == only


def test_a_search_that_no_index_serves_walks_the_key(schema: sqlite3.Connection) -> None:
    for condition in (None, Compare(Column("iot_edge"), "=", 1), Not(Compare(Column("device_id"), "=", "a"))):
        search = Search(kind=EnrollmentRow, service_id="s", condition=condition, beside=RegistrationRow)
        walk = walk_of(search)
        for query in (select_found(search, walk, ("a",), ("b",), 9), select_end_of_stretch(walk, "s", ("a",), 9)):
            plan = plan_of(schema, query.sql)
            assert "INDEX sqlite_autoindex_enrollment_1 (service_id=? AND registration_key>?" in plan
            assert len(plan.splitlines()) == 1


def test_the_row_beside_is_found_by_its_key(schema: sqlite3.Connection) -> None:
    condition = Not(Defined(Column("status", beside=True)))
    search = Search(kind=EnrollmentRow, service_id="s", condition=condition, beside=RegistrationRow)
    first, second = plan_of(schema, select_found(search, walk_of(search), None, None, 9).sql).splitlines()
    assert first.startswith("SEARCH w USING INDEX sqlite_autoindex_enrollment_1 (service_id=?")
    assert second.startswith(
        "SEARCH b USING INDEX sqlite_autoindex_registration_1 (service_id=? AND registration_key=?)"
    )


def test_a_value_never_stands_in_the_text_of_a_search() -> None:
    condition = Or((Compare(Column("device_id"), "=", "x'; DROP"), OneOf(Column("created"), (77, 78))))
    search = Search(kind=EnrollmentRow, service_id="s", condition=condition)
    sql, values = select_found(search, walk_of(search), None, None, 9)
    assert sql.endswith(
        "WHERE w.service_id = ? AND w.registration_key IS NOT NULL AND ((w.device_id = ?) OR (w.created IN (?, ?)))"
        " IS TRUE ORDER BY w.registration_key LIMIT ?"
    )
    assert values == ("s", "x'; DROP", 77, 78, 9)


def test_each_expectation_is_one_statement() -> None:
    row = device("d", etag="new")
    assert statement_of(Put(row, Matches("old"))) == (
        "UPDATE hub_device SET etag = ?, document = ?, sealed = ? WHERE hub_id = ? AND device_id = ? AND etag = ?",
        ("new", b"{}", "", "h", "d", "old"),
        True,
        None,
    )
    assert statement_of(Put(row, ABSENT)).sql == (
        "INSERT INTO hub_device (hub_id, device_id, etag, document, sealed) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (hub_id, device_id) DO NOTHING"
    )
    assert statement_of(Put(row, ANYTHING)).sql == (
        "INSERT INTO hub_device (hub_id, device_id, etag, document, sealed) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (hub_id, device_id) DO UPDATE SET"
        " etag = excluded.etag, document = excluded.document, sealed = excluded.sealed"
    )
    assert statement_of(Delete(key_of(row), Matches("old"))).sql == (
        "DELETE FROM hub_device WHERE hub_id = ? AND device_id = ? AND etag = ?"
    )
    assert HubDeviceRow.RAISES_REVISION is False
