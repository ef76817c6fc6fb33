"""Stores in SQL engines: statements made from the rows, and SQLite under them."""

from idscope.storage.sql.migration import CannotOpenStore, DatabaseTooNew
from idscope.storage.sql.sqlite_store import SqliteStore, open_store

__all__ = ["CannotOpenStore", "DatabaseTooNew", "SqliteStore", "open_store"]
