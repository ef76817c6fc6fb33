"""Owns the limits of one AMQP connection. It must not know who keeps to them."""

from __future__ import annotations

from typing import Final

import msgspec

from idscope.frontends.http.operations import DEVICE_BODY_LIMIT

KIBIBYTE: Final = 1024


class AmqpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds.

    `open_seconds` from the connection to its OPEN and to a device that is known; a client with a TPM may take a
    minute (observed). `idle_seconds` without a frame end a connection (told as idle-time-out); `write_seconds` is how
    long a client may refuse to read, `linger_seconds` how long one that was refused has to notice.
    `links` and `sessions` count all that a connection ever asked for; `requests` are under way or unanswered at once,
    `unsettled` answers are remembered until the client settles them.
    """

    frame_bytes: int = 64 * KIBIBYTE  # observed
    message_bytes: int = DEVICE_BODY_LIMIT + 8 * KIBIBYTE  # a body, and what is around it
    sessions: int = 8
    links: int = 32
    requests: int = 10
    unsettled: int = 32
    open_seconds: float = 75.0
    idle_seconds: float = 240.0  # observed
    write_seconds: float = 30.0
    linger_seconds: float = 2.0

    @property
    def shortest_seconds(self) -> float:
        """The limit that asks for the finest watch."""
        return min(self.open_seconds, self.idle_seconds, self.write_seconds, self.linger_seconds)
