"""Owns a request as it stands on the wire, and the coming in of its body. It must not know any route, nor a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from idscope.errors import BodyTooLarge

Headers = list[tuple[bytes, bytes]]


class ClientDisconnected(Exception):
    """The client went away before its request was complete, or nobody waits for the answer any more."""


class Peer(NamedTuple):
    """Who is at the other end: its address, whether it speaks TLS, and the certificates that it sent (DER, leaf
    first)."""

    address: str
    secure: bool
    chain: tuple[bytes, ...] = ()


class IncomingRequest:
    """A head whose limits are checked, and a body that may still be coming.

    `raw_path` and `query_string` are undecoded; `headers` have lower-case names and stand in the client's order.
    `on_wanted` is called when somebody waits for a body that is not complete, and then `is_wanted` is true.
    """

    __slots__ = (
        "_body",
        "_waiter",
        "headers",
        "http_version",
        "is_abandoned",
        "is_complete",
        "is_wanted",
        "method",
        "on_wanted",
        "peer",
        "query_string",
        "raw_path",
    )

    def __init__(
        self,
        method: str,
        raw_path: bytes,
        query_string: bytes,
        headers: Headers,
        peer: Peer,
        *,
        http_version: str = "1.1",
        body: bytes | None = None,
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.query_string = query_string
        self.headers = headers
        self.peer = peer
        self.http_version = http_version
        self.on_wanted: Callable[[], None] | None = None
        self.is_wanted = self.is_abandoned = False
        self.is_complete = body is not None
        self._body = bytearray(body or b"")
        self._waiter: asyncio.Future[None] | None = None

    @property
    def path(self) -> str:
        """Percent-decoded."""
        text = self.raw_path.decode("latin-1")
        return unquote(text) if "%" in text else text

    @property
    def received(self) -> int:
        """Bytes of the body so far."""
        return len(self._body)

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLarge, ClientDisconnected."""
        if not self.is_complete and self.on_wanted is not None:
            self.is_wanted = True
            self.on_wanted()
        while not self.is_complete and not self.is_abandoned and len(self._body) <= limit:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.is_abandoned:
            raise ClientDisconnected
        if len(self._body) > limit:
            raise BodyTooLarge(f"The request body is larger than {limit} bytes.")
        return bytes(self._body)

    # What the connection says

    def feed(self, data: bytes) -> None:
        self._body += data
        self._wake()

    def complete(self) -> None:
        self.is_complete = True
        self._wake()

    def abandon(self) -> None:
        """Nobody waits for this answer any more."""
        self.is_abandoned = True
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
