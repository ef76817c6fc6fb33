"""Owns time: what a clock is, and the one way in which a time is written. It must not know who asks.

Times are integers: microseconds since 1970-01-01T00:00:00Z. Only this module turns them into text.
"""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final, Protocol

MICROSECONDS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WITHOUT_ZONE: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # `isoformat` would write the zone its own way
_DOTNET_TICKS_AT_EPOCH: Final = 621_355_968_000_000_000
_WRITTEN_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:\.(\d{1,6})0*)?)?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))?)?",
    re.ASCII,
)


class Clock(Protocol):
    """The present, and waiting; tests pass one of their own (`idscope.testing.ManualClock`)."""

    def now(self) -> int:
        """Microseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    async def wait(self, until: float) -> None:
        """Return once `monotonic()` has reached `until` seconds."""
        ...


class SystemClock:
    """The machine's clock, moved by a fixed shift (`--test-clock`)."""

    def __init__(self, shift_seconds: float = 0.0) -> None:
        self._shift = round(shift_seconds * MICROSECONDS)

    def now(self) -> int:
        return time.time_ns() // 1000 + self._shift

    def monotonic(self) -> float:
        return time.monotonic()

    async def wait(self, until: float) -> None:
        await asyncio.sleep(max(0.0, until - time.monotonic()))


def format_time(moment: int) -> str:
    """`2023-05-19T23:10:45.477793Z`: fraction digits as needed, trailing zeros cut (observed)."""
    text = (_EPOCH_WITHOUT_ZONE + timedelta(microseconds=moment)).isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".") + "Z"


def format_duration(seconds: int) -> str:
    """`6 min 1 s`, `2 d 3 h`: the two largest units that are not nothing."""
    parts, rest = [], seconds
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def parse_time(text: str) -> int:
    """A time of ISO 8601, or a date (its first moment); UTC where no zone is given. Raises ValueError."""
    match = _WRITTEN_TIME.fullmatch(text)
    if match is None:
        raise ValueError("a time is written like 2023-05-19T23:10:45.477793Z")
    date, minute, second, fraction, sign, hours, minutes = match.groups()
    moment = datetime.fromisoformat(f"{date}T{minute or '00:00'}{(second or ':00')[:3]}")
    zone = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    since = moment - _EPOCH_WITHOUT_ZONE + (zone if sign == "-" else -zone)
    return since // timedelta(microseconds=1) + int((fraction or "0").ljust(6, "0"))


def format_http_date(moment: int) -> str:
    """`Fri, 06 May 2022 17:50:01 GMT`: whole seconds, in the form of RFC 9110, 5.6.7 (rfc1123 in ARM's words)."""
    return format_datetime(_EPOCH + timedelta(seconds=moment // MICROSECONDS), usegmt=True)


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def ticks(moment: int) -> int:
    """The moment in .NET ticks of 100 ns since year 1, 18 digits (the form of a hub's generationId)."""
    return moment * 10 + _DOTNET_TICKS_AT_EPOCH


def next_time(now: int, previous: int | None) -> int:
    """A stored time never runs backwards in a row: `now`, or just after `previous` when the clock went back."""
    return now if previous is None or now > previous else previous + 1
