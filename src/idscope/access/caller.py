"""Owns the caller: who it is and which rights it has. It must not know how it proved that."""

from __future__ import annotations

import msgspec

from idscope.directory import Right


class Caller(msgspec.Struct, frozen=True):
    """`name` is the shared access policy (or "admin") and is safe to log."""

    name: str
    rights: frozenset[Right]
