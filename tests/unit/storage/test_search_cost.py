"""What a search costs, counted in the engine's own instructions: no clock, and the same on every machine.

A stretch costs what its rows cost, and by an index a page costs what its items cost, however much else there is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from idscope.enrollments.query import ENROLLMENTS, parse_query
from idscope.storage import Put
from idscope.storage.sql import SqliteStore, open_store
from idscope.storage.sql.statements import statement_of
from idscope.testing.sample_rows import SERVICE, enrollment, registration

FEW, MANY = 1_000, 8_000
STRETCH = 100
INSTRUCTIONS_FOR_A_ROW = 50  # twice what the dearest condition below takes


def filled(folder: Path, count: int) -> SqliteStore:
    """One in a hundred is disabled, failed, in a hub of its own; all have a certificate."""
    database = folder / f"{count}.db"
    store = open_store(database)
    with closing(sqlite3.connect(database)) as connection:
        for number in range(count):
            key, rare = f"{number * 7919 % count:05}", number % 100 == 0
            rows = [
                enrollment(
                    key,
                    device_id=f"d{number}" if rare else None,
                    provisioning_status="disabled" if rare else "enabled",
                    client_primary_not_after=number * 1_000_000,
                ),
                registration(key, status="failed" if rare else "assigned", error_code=400209 if rare else None),
            ]
            for row in rows:
                connection.execute(*statement_of(Put(row))[:2])
        connection.commit()
    return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqliteStore, SqliteStore]]:
    """A small and a large one."""
    folder = tmp_path_factory.mktemp("stores")
    made = filled(folder, FEW), filled(folder, MANY)
    yield made
    for store in made:
        asyncio.run(store.close())


def cost_of(store: SqliteStore, query: str, behind: Any = None, limit: int = 10) -> tuple[int, Any]:
    """Instructions of SQLite's machine for one stretch, and where it ended."""
    search = ENROLLMENTS.search(SERVICE, parse_query(query, ENROLLMENTS))
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 1

    store._reader.set_progress_handler(count, 1)
    try:
        found = asyncio.run(store.search(search, behind, limit, STRETCH))
    finally:
        store._reader.set_progress_handler(None, 1)
    return counted, found.behind


INDEXED = [
    "SELECT *",
    "SELECT * WHERE registrationId = '00007'",
    "SELECT * WHERE STARTSWITH(registrationId, '000')",
    "SELECT * WHERE deviceId = 'd100'",
    "SELECT * WHERE provisioningStatus = 'disabled'",
    "SELECT * WHERE registrationState.status = 'failed'",
    "SELECT * WHERE registrationState.errorCode > 400000 AND attestation.type = 'symmetricKey'",
    "SELECT * WHERE attestation.x509.clientCertificates.primary.info.notAfterUtc < '1970-01-01T00:00:20Z'",
]


@pytest.mark.parametrize("query", INDEXED)
def test_by_an_index_a_page_costs_the_same_in_a_large_store(
    stores: tuple[SqliteStore, SqliteStore], query: str
) -> None:
    (small, behind_small), (large, behind_large) = (cost_of(store, query) for store in stores)
    assert large < small * 1.1 + 50
    assert small < 3_000
    if behind_small and behind_large:
        (next_small, _), (next_large, _) = (
            cost_of(store, query, behind) for store, behind in zip(stores, (behind_small, behind_large), strict=True)
        )
        assert next_large < next_small * 1.1 + 50


@pytest.mark.parametrize(
    "condition",
    [
        "capabilities.iotEdge = true",
        "NOT deviceId = 'none' AND provisioningStatus = 'enabled'",
        "registrationState.deviceId = 'none'",
        "registrationState.status = 'unassigned'",
        "attestation.type = 'symmetricKey' AND registrationState.assignedHub = 'none'",
        "attestation.x509.clientCertificates.primary.info.notAfterUtc > '1970-01-01' AND capabilities.iotEdge = true",
        "deviceId = 'none' OR attestation.x509.caReferences.primary IN ('a', 'b', 'c')",
    ],
)
def test_without_an_index_a_stretch_costs_what_its_rows_cost(
    stores: tuple[SqliteStore, SqliteStore], condition: str
) -> None:
    """On the first stretch and in the midst of the rows."""
    for store in stores:
        behind = None
        for _ in range(4):
            cost, behind = cost_of(store, f"SELECT * WHERE {condition}", behind)
            assert behind is not None
            assert cost < STRETCH * INSTRUCTIONS_FOR_A_ROW
