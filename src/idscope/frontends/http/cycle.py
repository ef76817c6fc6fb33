"""Owns one request's way through the app: uvicorn's cycle, with an answer in the catalogue's JSON where the app fails.
It must not know how the request was read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from idscope.errors import IdscopeError, InternalError
from idscope.frontends.http.answers import complete_headers, error_answer, new_tracking_id

if TYPE_CHECKING:
    from idscope.frontends.http.protocol import HttpProtocol

_log = logging.getLogger(__name__)

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]  # scope, receive, send
Send = Callable[[Any], Awaitable[None]]


class Cycle(RequestResponseCycle):
    """One request and its answer; writes through the protocol, which decides how a connection ends."""

    def __init__(self, protocol: HttpProtocol, *, keep_alive: bool, expect_100_continue: bool = False) -> None:
        self._protocol = protocol
        super().__init__(
            scope=protocol.scope,
            transport=cast("asyncio.Transport", protocol),  # as far as a cycle uses one
            flow=protocol.flow,
            logger=_log,
            access_logger=_log,
            access_log=False,
            default_headers=protocol.front_end.default_headers(),
            message_event=asyncio.Event(),
            expect_100_continue=expect_100_continue,
            keep_alive=keep_alive,
            on_response=protocol.on_response_complete,
        )

    def disconnect(self) -> None:
        """Nobody waits for this answer any more: what the app still sends is dropped."""
        self.disconnected = True
        self.message_event.set()

    async def run_asgi(self, app: AsgiApp) -> None:
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                await self._fail(None)
        except Exception as error:  # noqa: BLE001  the catch-all beneath the one place that turns errors into answers
            await self._fail(error)
        finally:
            self.on_response = _nothing

    async def send(self, message: Any) -> None:
        if self.waiting_for_100_continue:
            # Answered before the body was asked for: whether it comes, nobody can know (RFC 9110, 10.1.1).
            self.keep_alive = False
        await super().send(message)

    async def _fail(self, error: Exception | None) -> None:
        tracking_id = new_tracking_id()
        _log.error("the application failed to answer, trackingId %s", tracking_id, exc_info=error)
        if self.disconnected:
            return
        if self.response_started:
            self.transport.abort()
        else:
            self.keep_alive = False
            await send_error(self.send, InternalError(), tracking_id, self._protocol.front_end.clock.now())


def answering(error: IdscopeError, now: int) -> AsgiApp:
    """An app that answers with this error, whatever is asked."""

    async def answer(_scope: Any, _receive: Any, send: Send) -> None:
        await send_error(send, error, new_tracking_id(), now)

    return answer


async def send_error(send: Send, error: IdscopeError, tracking_id: str, now: int) -> None:
    """The whole answer to an error."""
    answer = error_answer(error, tracking_id, now)
    headers = complete_headers(answer, tracking_id)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _nothing() -> None:
    """Takes the place of `on_response`, so that a finished cycle does not hold on to its connection."""
