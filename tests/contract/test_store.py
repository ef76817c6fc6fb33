"""The stores that idscope brings, each held to the contract of all stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from idscope.storage import Store
from idscope.storage.sql import open_store
from idscope.testing import MemoryStore
from idscope.testing.search_contract import StoreSearchContract


class TestSqliteStore(StoreSearchContract):
    @asynccontextmanager
    async def new_store(self, folder: Path) -> AsyncIterator[Store]:
        store = open_store(folder / "idscope.db")
        try:
            yield store
        finally:
            await store.close()


class TestMemoryStore(StoreSearchContract):
    @asynccontextmanager
    async def new_store(self, folder: Path) -> AsyncIterator[Store]:
        store = MemoryStore()
        yield store
        await store.close()
