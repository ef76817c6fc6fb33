"""Owns one request with its answer: the app's run, the catalogue's JSON where the app fails, and the answer's bytes. It
must not know how the request was read, nor when the answer's turn comes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from idscope.clock import Clock
from idscope.errors import IdscopeError, InternalError
from idscope.frontends.http.answers import Answer, completed, error_answer, new_tracking_id
from idscope.frontends.http.incoming import ClientDisconnected, IncomingRequest

_log = logging.getLogger(__name__)

App = Callable[[IncomingRequest], Awaitable[Answer]]
"""Answers a request with all of its headers; raises ClientDisconnected where nobody waits for that."""

_STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}".encode() for status in HTTPStatus}


class Exchange:
    """`keep_alive` says that the connection goes on afterwards; `awaits_continue`, that the client holds its body back
    until it is asked for."""

    __slots__ = ("answered", "awaits_continue", "keep_alive", "request")

    def __init__(self, request: IncomingRequest, *, keep_alive: bool, awaits_continue: bool = False) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.awaits_continue = awaits_continue
        self.answered = False

    async def answer(self, app: App, clock: Clock, date_line: Callable[[], bytes]) -> bytes | None:
        """The bytes of the whole answer, None where nobody waits for it."""
        try:
            return self._written(await app(self.request), date_line())
        except ClientDisconnected:
            return None
        except Exception as error:  # noqa: BLE001  the catch-all beneath the one place that turns errors into answers
            tracking_id = new_tracking_id()
            _log.error("the application failed to answer, trackingId %s", tracking_id, exc_info=error)
            self.keep_alive = False
            failure = error_answer(InternalError(), tracking_id, clock.now())
            return self._written(completed(failure, tracking_id), date_line())

    def _written(self, answer: Answer, date_line: bytes) -> bytes:
        if self.awaits_continue:
            # Answered before the body was asked for: whether it comes, nobody can know (RFC 9110, 10.1.1).
            self.keep_alive = False
        lines = [_STATUS_LINES[answer.status], date_line, *(name + b": " + value for name, value in answer.headers)]
        if not self.keep_alive:
            lines.append(b"connection: close")
        head = b"\r\n".join(lines)
        if not head.count(b"\r") == head.count(b"\n") == len(lines) - 1:
            raise ValueError("a header of an answer holds a line break")
        return head + b"\r\n\r\n" + (b"" if self.request.method == "HEAD" else answer.body)


def refusing(error: IdscopeError, clock: Clock) -> App:
    """An app that answers with this error, whatever is asked."""

    async def answer(_: IncomingRequest) -> Answer:
        tracking_id = new_tracking_id()
        return completed(error_answer(error, tracking_id, clock.now()), tracking_id)

    return answer
