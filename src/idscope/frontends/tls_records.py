"""Owns the framing of TLS records: how many of them a piece of the stream completes. It must not know what is in them.

Knowing the number saves OpenSSL the read that would only find that there is nothing more.
"""

from __future__ import annotations

from typing import Final

HEADER: Final = 5  # type, version, length (RFC 8446, 5.1)
RECORD: Final = 16_384  # the most plaintext that one record holds


class RecordCounter:
    """Counts the records of one direction of one connection, from its first byte."""

    __slots__ = ("_owed",)

    def __init__(self) -> None:
        self._owed: int | None = 0  # bytes still to come of the record under way

    def feed(self, data: bytes) -> int:
        """How many records `data` completes where it ends together with the last one; else 0.

        A header cut in two loses count for good: rare, and all that is lost is the saving.
        """
        if self._owed is None:
            return 0
        position, end = self._owed, len(data)
        records = 1 if 0 < position <= end else 0
        while position + HEADER <= end:
            position += HEADER + (data[position + 3] << 8 | data[position + 4])
            records += position <= end
        self._owed = position - end if position >= end else None
        return records if position == end else 0
