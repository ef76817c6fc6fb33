"""Owns etags: how a new one is made, and how clients may write one. It must not know what it guards."""

from __future__ import annotations

import base64
import random
from typing import Final

import msgspec

from idscope.clock import MICROSECONDS
from idscope.errors import InvalidETag

_MAX_LENGTH: Final = 1024


class Matches(msgspec.Struct, frozen=True):
    """The expectation that what is stored has this etag."""

    etag: str


class Absent(msgspec.Struct, frozen=True):
    """The expectation that nothing is stored."""


class Present(msgspec.Struct, frozen=True):
    """The expectation that something is stored, whatever its etag."""


class Anything(msgspec.Struct, frozen=True):
    """No expectation."""


Expectation = Matches | Absent | Present | Anything
ABSENT: Final = Absent()
PRESENT: Final = Present()
ANYTHING: Final = Anything()


def new_etag(now: int) -> str:
    """Base64 of a quoted store etag whose last group holds the second of the write in hex (observed)."""
    number = random.getrandbits(40)  # unique, not secret
    quoted = f'"{number >> 8:08x}-0000-{number & 0xFF:02x}00-0000-{now // MICROSECONDS:08x}0000"'
    return base64.b64encode(quoted.encode()).decode()


def parse_if_match(header: str | None) -> Expectation | None:
    """What an If-Match header asks for; None where it asks nothing (absent or empty, also quoted).

    Seen from real clients: raw Base64, the same in quotes, `*`, `"*"`, with and without `W/`.
    """
    if header is None:
        return None
    text = header.strip().removeprefix("W/")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not text:
        return None
    if len(text) > _MAX_LENGTH:
        raise InvalidETag
    return PRESENT if text == "*" else Matches(text)


def check_body_etag(etag: str | None) -> None:
    """Raises InvalidETag for an etag member with embedded quotes (observed; a bare one and `*` are accepted)."""
    if etag is not None and ('"' in etag or len(etag) > _MAX_LENGTH):
        raise InvalidETag
