"""Owns a walk over elements in DER, by their lengths alone. It must not know what the elements mean."""

from __future__ import annotations

from collections.abc import Iterator


def element(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at this place begins, and where it ends. Raises ValueError where it does not fit
    into what there is."""
    try:
        size, begin = der[at + 1], at + 2
    except IndexError:
        raise ValueError("the DER is cut short") from None
    if size & 0x80:
        width = size & 0x7F
        size, begin = int.from_bytes(der[begin : begin + width], "big"), begin + width
    if begin + size > len(der):
        raise ValueError("an element is longer than what there is of it")
    return begin, begin + size


def elements(der: bytes, begin: int, end: int) -> Iterator[int]:
    """Where each element begins of those that stand there one after the other. Raises ValueError."""
    while begin < end:
        yield begin
        _, begin = element(der, begin)
