"""Owns what this worker remembers of TPMs between a challenge and the token that answers it: the storage root key.
It must not know whether either is good.

One client sends its keys with the first request only, and the answer to the second is wrapped for them. What is
remembered is of use to nobody but the TPM that shows it, so the latest wins; it is bounded, and lost with the worker.
"""

from __future__ import annotations

from typing import Final

_CAPACITY: Final = 10_000  # about 400 bytes each


class ChallengedRootKeys:
    """The storage root key that was challenged last, by service and registration key; the oldest is forgotten first."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._keys: dict[tuple[str, str], str] = {}

    def remember(self, key: tuple[str, str], storage_root_key: str) -> None:
        self._keys.pop(key, None)
        self._keys[key] = storage_root_key
        if len(self._keys) > self._capacity:
            del self._keys[next(iter(self._keys))]

    def last(self, key: tuple[str, str]) -> str | None:
        return self._keys.get(key)
