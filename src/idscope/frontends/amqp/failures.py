"""Owns the one place where an error becomes an AMQP condition. It must not know where it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from idscope.errors import IdscopeError
from idscope.frontends.http.answers import error_body

# Conditions as clients map them back (observed), by the status of the error.
_CONDITIONS: Final[Mapping[int, str]] = {
    400: "com.microsoft:argument-error",
    401: "amqp:unauthorized-access",
    404: "amqp:not-found",
    405: "amqp:not-allowed",
    409: "amqp:resource-locked",
    412: "com.microsoft:precondition-failed",
    413: "amqp:link:message-size-exceeded",
    429: "com.microsoft:device-container-throttled",
}
_INTERNAL: Final = "amqp:internal-error"
_WORTH_ANOTHER_TRY: Final = frozenset((409, 429, 503))


class Failure(msgspec.Struct, frozen=True):
    """An AMQP error: `info` has symbols for keys and ints for values."""

    condition: str
    description: str
    info: Mapping[str, int] = {}


def failure_of(error: IdscopeError, tracking_id: str, now: int, retry_after: int) -> Failure:
    """The error with its JSON body as description: a client reads the code there."""
    info = retry_hint(error.retry_after or retry_after) if error.status in _WORTH_ANOTHER_TRY else {}
    condition = _CONDITIONS.get(error.status, _INTERNAL)
    return Failure(condition, error_body(error, tracking_id, now).decode(), info)


def retry_hint(seconds: int) -> dict[str, int]:
    """quirk: one client reads the capitalised name, the others the other one; each looks at its own only."""
    return {"retry-after": seconds, "Retry-After": seconds}
