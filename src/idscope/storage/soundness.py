"""Owns what a unit must be before any store looks at it: writes that mean something. It must not know what is stored.

Every store calls `require_sound` first, so that a mistake in the code is the same ValueError on all of them.
"""

from __future__ import annotations

from idscope.model.etag import Absent, Matches
from idscope.storage.rows import Row
from idscope.storage.unit import Delete, Put, Trim, Unit, Write


def require_sound(unit: Unit) -> None:
    """Raises ValueError for a write that no store could carry out, whatever is stored."""
    for write in unit.writes:
        _require_sound(write)


def sound_order(kind: type[Row], order: tuple[str, ...] | None) -> tuple[str, ...]:
    """The columns by which a page goes; raises ValueError for an order that no index holds."""
    if order is None:
        return kind.KEY
    if order not in kind.ORDERS:
        raise ValueError(f"{kind.__name__} has no order {order}")
    return order


def _require_sound(write: Write) -> None:
    match write:
        case Put(row, Matches()):
            _require_etag(type(row))
        case Delete(key, Matches()):
            _require_etag(key.kind)
        case Delete(_, Absent()):
            raise ValueError("a delete cannot expect that nothing is there")
        case Trim(kind, prefix, keep):
            if len(prefix) >= len(kind.KEY) or keep < 0:
                raise ValueError("a trim names a part of the key, and keeps none or more")
            if kind.RAISES_REVISION:
                raise ValueError("a row that raises its service's revision is deleted by its key")


def _require_etag(kind: type[Row]) -> None:
    if "etag" not in kind.__struct_fields__:
        raise ValueError(f"{kind.__name__} has no etag to compare")
