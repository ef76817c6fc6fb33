"""Owns the interface of a store, and its two failures. It must not know any engine, nor any business rule.

Every implementation passes the contract suite `idscope.testing.store_contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from idscope.errors import ServiceUnavailable
from idscope.storage.rows import Key, OperationRow, Row
from idscope.storage.search import Found, Position, Search
from idscope.storage.unit import Unit

R = TypeVar("R", bound=Row)


class ExpectationFailed(Exception):
    """One write of a unit found something else than it expected; nothing of the unit was written.

    `index` is the position of that write in the unit.
    """

    def __init__(self, index: int) -> None:
        super().__init__(f"the expectation of write {index} does not hold")
        self.index = index


class StoreUnavailable(ServiceUnavailable):
    """The engine failed (disk full, file gone, connection lost); nothing of the unit was written, or it is unknown
    and the caller must read again."""


class Store(Protocol):
    async def commit(self, unit: Unit) -> None:
        """Return once the unit is durable. Units of many callers share one fsync; one unit's failure never touches
        another. Raises ExpectationFailed, StoreUnavailable."""
        ...

    async def fetch(self, keys: Sequence[Key[Any]]) -> list[Any]:
        """The rows under the keys, None for what is not there, all as of one instant, in the order of the keys."""
        ...

    async def page(
        self,
        kind: type[R],
        prefix: tuple[str | int, ...],
        after: tuple[str | int, ...] | None,
        limit: int,
        *,
        order: tuple[str, ...] | None = None,
        backwards: bool = False,
    ) -> list[R]:
        """Up to `limit` rows whose key begins with `prefix`, in key order, behind the key tail `after` (the key's
        values following the prefix). `order` is another one of the kind's `ORDERS` to go by instead of its key.
        `backwards`: the last ones first, and `after` is what they come before."""
        ...

    async def search(self, search: Search[R], behind: Position | None, limit: int, stretch: int) -> Found[R]:
        """Up to `limit` (one or more) rows of which the search's condition is true, behind a position, in the order of
        its walk (`walk_of`). At most `stretch` rows are looked at, so there may be fewer, or none, and more to come."""
        ...

    async def expired_operations(self, now: int, limit: int) -> list[OperationRow]:
        """Unfinished registrations whose lease ended before `now`, oldest first."""
        ...

    async def check(self) -> None:
        """Return if the store can be read and written now; raises StoreUnavailable with the reason."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then release everything."""
        ...
