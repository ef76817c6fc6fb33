"""Owns what all HTTP connections of one app share: limits, clock, uvicorn's configuration, the Date header. It must not
know TLS, nor any route."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import Any, Final

import msgspec
from uvicorn.config import Config
from uvicorn.server import ServerState

from idscope.clock import MICROSECONDS, Clock
from idscope.errors import InvalidArgument
from idscope.frontends.deadlines import Deadlines, resolution_for
from idscope.frontends.http.answers import STRICT_TRANSPORT_SECURITY, new_tracking_id
from idscope.frontends.http.cycle import AsgiApp
from idscope.frontends.http.protocol import HttpProtocol
from idscope.frontends.websocket import WebSocketEndpoints

KIBIBYTE: Final = 1024


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one HTTP connection; sizes in bytes, times in seconds.

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


class HttpFrontEnd:
    """Makes the protocols of one ASGI app's connections, over TLS or not.

    Beside the ASGI HTTP scope the app gets `scope["extensions"]["tls"]["client_certificate_chain"]`: a tuple of DER
    certificates, leaf first, empty where the client sent none; on a connection without TLS there is no `tls`.

    Upgrade requests that are meant for `websocket` are answered by it, over TLS only; without it, and on every other
    path, an upgrade request is an ordinary one.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        clock: Clock,
        limits: HttpLimits | None = None,
        websocket: WebSocketEndpoints | None = None,
    ) -> None:
        self.limits = limits or HttpLimits()
        self.clock = clock
        self.websocket = websocket
        self.deadlines = Deadlines(resolution_for(self.limits.shortest_seconds))
        self.config = Config(
            app,
            http=HttpProtocol,
            ws=None,  # type: ignore[arg-type]  # uvicorn's own way to say "none", where a class may stand later
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # uvicorn.Server writes it, and there is none here
        )
        self.config.load()
        self.server_state = ServerState()
        self._date_second = -1
        self._default_headers: list[tuple[bytes, bytes]] = []

    def protocol_factory(self) -> HttpProtocol:
        """A protocol for one connection."""
        return HttpProtocol(self)

    def upgrade(self, scope: Any, *, in_turn: bool) -> asyncio.Protocol | None:
        """What takes over the connection of this upgrade request; None where it is an ordinary one.

        `in_turn` says that no request before it waits for its answer. Raises InvalidArgument,
        UnsupportedWebSocketVersion.
        """
        websocket, headers = self.websocket, scope["headers"]
        if websocket is None or not websocket.serve(scope["path"], headers):
            return None
        if scope["scheme"] != "https":
            raise InvalidArgument("A WebSocket is opened over TLS only.")
        if not in_turn:
            raise InvalidArgument("A WebSocket is opened when the requests before it are answered.")
        tracking_id = (b"x-ms-request-id", new_tracking_id().encode())
        answer_headers = (*self.default_headers(), STRICT_TRANSPORT_SECURITY, tracking_id)
        return websocket.accept(scope["method"], scope["http_version"], headers, answer_headers)

    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What every answer begins with: the Date."""
        second = self.clock.now() // MICROSECONDS
        if second != self._date_second:
            self._date_second = second
            self._default_headers = [(b"date", formatdate(second, usegmt=True).encode())]
        return self._default_headers
