"""Owns a store in dictionaries, for tests that need a store but no disk. It must not know any business rule.

It passes the same contract suite as the real stores, and can be told to fail as they do.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from idscope.model.etag import Absent, Anything, Expectation, Matches
from idscope.storage import (
    Delete,
    ExpectationFailed,
    Key,
    OperationRow,
    ProvisioningServiceRow,
    Put,
    Row,
    StoreUnavailable,
    Trim,
    Unit,
    Write,
    key_of,
)
from idscope.storage.condition import Column, Value, truth
from idscope.storage.search import Found, Position, Search, walk_of
from idscope.storage.soundness import require_sound, sound_order

R = TypeVar("R", bound=Row)
KeyValues = tuple[str | int, ...]


class MemoryStore:
    """A `Store` that keeps nothing after the test.

    While `unavailable` holds a text, every call raises StoreUnavailable with it as the reason.
    """

    def __init__(self) -> None:
        self.unavailable = ""
        self._tables: dict[type[Row], dict[KeyValues, Row]] = {}
        self._undo: list[Callable[[], None]] = []

    async def commit(self, unit: Unit) -> None:
        require_sound(unit)
        self._require_available()
        self._apply_or_undo(unit)
        await asyncio.sleep(0)  # a real store lets others run before it answers; so must its fake

    async def fetch(self, keys: Sequence[Key[Any]]) -> list[Any]:
        self._require_available()
        return [self._table(key.kind).get(key.values) for key in keys]

    async def page(
        self,
        kind: type[R],
        prefix: KeyValues,
        after: KeyValues | None,
        limit: int,
        *,
        order: tuple[str, ...] | None = None,
        backwards: bool = False,
    ) -> list[R]:
        self._require_available()
        columns = sound_order(kind, order)
        size = len(prefix)
        keyed = [(tuple(getattr(row, name) for name in columns), row) for row in self._table(kind).values()]
        found = [one for one in keyed if one[0][:size] == prefix]
        found.sort(key=lambda one: one[0], reverse=backwards)
        is_behind = operator.lt if backwards else operator.gt
        behind = [row for key, row in found if after is None or is_behind(key[size:], after)]
        return behind[: max(0, limit)]

    async def search(self, search: Search[R], behind: Position | None, limit: int, stretch: int) -> Found[R]:
        self._require_available()
        walk = walk_of(search)
        of_service = (row for row in self._table(walk.kind).values() if row.service_id == search.service_id)  # type: ignore[attr-defined]  # all that are searched have one
        ahead = sorted(((walk.position_of(row), row) for row in of_service if walk.meets(row)), key=itemgetter(0))
        if behind is not None:
            ahead = [each for each in ahead if each[0] > behind]
        looked_at = ahead if walk.whole else ahead[:stretch]
        found = [(position, row) for position, met in looked_at if (row := self._found(search, met)) is not None]
        if len(found) > limit:
            return Found([row for _, row in found[:limit]], found[limit - 1][0])
        return Found([row for _, row in found], looked_at[-1][0] if len(looked_at) < len(ahead) else None)

    async def expired_operations(self, now: int, limit: int) -> list[OperationRow]:
        self._require_available()
        expired = [row for row in self._table(OperationRow).values() if row.lease_until < now]
        return sorted(expired, key=lambda row: (row.lease_until, key_of(row).values))[:limit]

    async def check(self) -> None:
        self._require_available()

    async def close(self) -> None:
        self.unavailable = "the store is closed"

    def _require_available(self) -> None:
        if self.unavailable:
            raise StoreUnavailable(reason=self.unavailable)

    def _table(self, kind: type[R]) -> dict[KeyValues, R]:
        return self._tables.setdefault(kind, {})  # type: ignore[return-value]  # a table holds rows of its kind only

    def _found(self, search: Search[R], met: Row) -> R | None:
        """The row of the searched kind with the key of the one met, if the condition is true of it."""
        key = key_of(met).values
        row = self._table(search.kind).get(key)
        if row is None or search.condition is None:
            return row
        beside = None if search.beside is None else self._table(search.beside).get(key)

        def value_of(column: Column) -> Value | None:
            return getattr(beside if column.beside else row, column.name, None)

        return row if truth(search.condition, value_of) else None

    def _apply_or_undo(self, unit: Unit) -> None:
        self._undo.clear()
        for index, write in enumerate(unit.writes):
            if not self._apply(write):
                for undo in reversed(self._undo):
                    undo()
                raise ExpectationFailed(index)

    def _apply(self, write: Write) -> bool:
        match write:
            case Put(row, expect):
                return self._put(row, expect)
            case Delete(key, expect):
                return self._delete(key, expect)
            case Trim():
                self._trim(write)
        return True

    def _put(self, row: Row, expect: Expectation) -> bool:
        key = key_of(row)
        stored = self._table(key.kind).get(key.values)
        if not _holds(expect, stored):
            return False
        if isinstance(row, ProvisioningServiceRow):
            revision = stored.revision if isinstance(stored, ProvisioningServiceRow) else 0
            row = msgspec.structs.replace(row, revision=revision)
        self._set(key, row)
        self._raise_revision(row)
        return True

    def _delete(self, key: Key[Row], expect: Expectation) -> bool:
        stored = self._table(key.kind).get(key.values)
        if not _holds(expect, stored):
            return False
        if stored is not None:
            self._set(key, None)
            self._raise_revision(stored)
        return True

    def _trim(self, trim: Trim) -> None:
        found = sorted(key for key in self._table(trim.kind) if key[: len(trim.prefix)] == trim.prefix)
        for values in found[: max(0, len(found) - trim.keep)]:
            self._set(Key(trim.kind, values), None)

    def _raise_revision(self, row: Row) -> None:
        if not row.RAISES_REVISION:
            return
        key = Key(ProvisioningServiceRow, (row.service_id,))  # type: ignore[attr-defined]  # all such rows have one
        service = self._table(ProvisioningServiceRow).get(key.values)
        if service is not None:
            self._set(key, msgspec.structs.replace(service, revision=service.revision + 1))

    def _set(self, key: Key[R], row: R | None) -> None:
        """Store or remove a row, and remember how to take it back."""
        table: dict[KeyValues, Row] = self._tables.setdefault(key.kind, {})
        previous = table.get(key.values)
        self._undo.append(lambda: _replace(table, key.values, previous))
        _replace(table, key.values, row)


def _replace(table: dict[KeyValues, Row], values: KeyValues, row: Row | None) -> None:
    if row is None:
        table.pop(values, None)
    else:
        table[values] = row


def _holds(expect: Expectation, stored: Row | None) -> bool:
    match expect:
        case Anything():
            return True
        case Absent():
            return stored is None
        case Matches(etag):
            return getattr(stored, "etag", None) == etag
    return stored is not None
