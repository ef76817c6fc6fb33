"""Owns the write as a value: operations that succeed or fail together, each with its expectation.
It must not know how a store carries it out."""

from __future__ import annotations

import msgspec

from idscope.model.etag import ANYTHING, Expectation
from idscope.storage.rows import Key, Row


class Put(msgspec.Struct, frozen=True):
    """Store the row, whole, if the expectation holds of what is stored under its key.

    `Matches(etag)` and `Present()` update, `Absent()` inserts, `Anything()` does either.
    """

    row: Row
    expect: Expectation = ANYTHING


class Delete(msgspec.Struct, frozen=True):
    """Remove the row if the expectation (`Matches`, `Present` or `Anything`) holds."""

    key: Key[Row]
    expect: Expectation = ANYTHING


class Trim(msgspec.Struct, frozen=True):
    """Of all rows whose key begins with `prefix`, keep only the `keep` last ones in key order."""

    kind: type[Row]
    prefix: tuple[str | int, ...]
    keep: int


Write = Put | Delete | Trim


class Unit(msgspec.Struct, frozen=True):
    """All of its writes happen, durably, or none."""

    writes: tuple[Write, ...]

    @classmethod
    def of(cls, *writes: Write) -> Unit:
        return cls(writes)
