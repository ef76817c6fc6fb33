"""Owns the limits of one HTTP connection. It must not know what is done where one is met."""

from __future__ import annotations

from typing import Final

import msgspec

KIBIBYTE: Final = 1024

# So much of a body, and of what comes behind a refusal, is taken in before anybody asks for it.
READ_AHEAD: Final = 64 * KIBIBYTE


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds.

    `header_bytes` counts names, values and four bytes for each; `body_bytes` counts a chunked body with its framing.
    `first_byte_seconds` and `keep_alive_seconds` end in silence, `head_seconds` and `body_seconds` (the whole of it)
    in a 408; `write_seconds` is how long a client may refuse to read, `linger_seconds` how long a connection that is
    given up waits for its client to notice. `pipelined_requests` wait behind the one that is being answered.
    """

    target_bytes: int = 8 * KIBIBYTE
    header_bytes: int = 16 * KIBIBYTE
    header_count: int = 100
    body_bytes: int = 1024 * KIBIBYTE
    pipelined_requests: int = 32
    first_byte_seconds: float = 30.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    keep_alive_seconds: float = 60.0
    write_seconds: float = 30.0
    linger_seconds: float = 2.0

    @property
    def shortest_seconds(self) -> float:
        """The limit that asks for the finest watch."""
        return min(
            self.first_byte_seconds,
            self.head_seconds,
            self.body_seconds,
            self.keep_alive_seconds,
            self.write_seconds,
            self.linger_seconds,
        )
