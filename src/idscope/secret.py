"""Owns the one type that carries a secret through memory. It must not know what the secret opens."""

from __future__ import annotations

import hmac
from typing import Final

STARS: Final = "***"


class Secret:
    """A secret text that prints as stars; `reveal()` is the only way to its value, and greppable.

    msgspec cannot encode it unless the caller passes an encoder that reveals on purpose.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __eq__(self, other: object) -> bool:
        """Constant time, so that comparing two secrets leaks nothing."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return STARS

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return STARS

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled")
