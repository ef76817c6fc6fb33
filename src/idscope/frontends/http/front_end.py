"""Owns what all HTTP connections of one app share: limits, clock, the Date header, the requests under way. It must not
know TLS, nor any route."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from email.utils import formatdate
from typing import Any

from idscope.clock import MICROSECONDS, Clock
from idscope.errors import InvalidArgument
from idscope.frontends.deadlines import Deadlines, resolution_for
from idscope.frontends.http.answers import STRICT_TRANSPORT_SECURITY, new_tracking_id
from idscope.frontends.http.exchange import App
from idscope.frontends.http.incoming import IncomingRequest
from idscope.frontends.http.limits import HttpLimits
from idscope.frontends.http.protocol import HttpProtocol
from idscope.frontends.websocket import WebSocketEndpoints


class HttpFrontEnd:
    """Makes the protocols of one app's connections, over TLS or not.

    Upgrade requests that are meant for `websocket` are answered by it, over TLS only; without it, and on every other
    path, an upgrade request is an ordinary one.
    """

    def __init__(
        self,
        app: App,
        *,
        clock: Clock,
        limits: HttpLimits | None = None,
        websocket: WebSocketEndpoints | None = None,
    ) -> None:
        self.app = app
        self.limits = limits or HttpLimits()
        self.clock = clock
        self.websocket = websocket
        self.deadlines = Deadlines(resolution_for(self.limits.shortest_seconds))
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds on to none
        self._date_second = -1
        self._date = b""

    def protocol_factory(self) -> HttpProtocol:
        """A protocol for one connection."""
        return HttpProtocol(self)

    def run(self, exchange: Coroutine[Any, Any, None]) -> None:
        """A request goes its way, whatever becomes of its connection."""
        task = asyncio.get_running_loop().create_task(exchange)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def upgrade(self, request: IncomingRequest, *, in_turn: bool) -> asyncio.Protocol | None:
        """What takes over the connection of this upgrade request; None where it is an ordinary one.

        `in_turn` says that no request before it waits for its answer. Raises InvalidArgument,
        UnsupportedWebSocketVersion.
        """
        websocket, headers = self.websocket, request.headers
        if websocket is None or not websocket.serve(request.path, headers):
            return None
        if not request.peer.secure:
            raise InvalidArgument("A WebSocket is opened over TLS only.")
        if not in_turn:
            raise InvalidArgument("A WebSocket is opened when the requests before it are answered.")
        tracking_id = (b"x-ms-request-id", new_tracking_id().encode())
        answer_headers = ((b"date", self._date_now()), STRICT_TRANSPORT_SECURITY, tracking_id)
        return websocket.accept(request.method, request.http_version, headers, answer_headers)

    def date_line(self) -> bytes:
        """What every answer's headers begin with."""
        return b"date: " + self._date_now()

    def _date_now(self) -> bytes:
        second = self.clock.now() // MICROSECONDS
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode()
        return self._date
