"""The SQL that is made from the rows fits the schema that was written by hand, and uses its indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from idscope.model.etag import ABSENT, ANYTHING, PRESENT, Matches
from idscope.storage import AttemptRow, Delete, HubDeviceRow, OperationRow, Put, Row, Trim, key_of
from idscope.storage.rows import EVERY_ROW
from idscope.storage.sql.migration import bring_up_to_date, landed_migrations
from idscope.storage.sql.sqlite_store import HealthRow
from idscope.storage.sql.statements import SELECT_EXPIRED_OPERATIONS, select_by_key, select_page, statement_of
from idscope.testing.sample_rows import ONE_OF_EACH, device


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
