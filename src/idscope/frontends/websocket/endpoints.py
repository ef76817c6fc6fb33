"""Owns what all WebSockets of one server share: which sub-protocols there are, the limits, the watch over time. It must
not know what a sub-protocol does with its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from idscope.frontends.deadlines import Deadlines, resolution_for
from idscope.frontends.websocket import handshake
from idscope.frontends.websocket.bridge import WebSocketProtocol

KIBIBYTE: Final = 1024


class WebSocketLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one WebSocket; sizes in bytes of payload, times in seconds.

    `frame_bytes` and `message_bytes` (a frame with its continuations) limit what a client sends; the packets inside
    have limits of their own. `sent_frame_bytes` is the longest frame that is sent. `close_seconds` is how long the
    client may take to answer a close frame, `write_seconds` how long it may refuse to read.
    """

    frame_bytes: int = 256 * KIBIBYTE
    message_bytes: int = 1024 * KIBIBYTE
    sent_frame_bytes: int = 64 * KIBIBYTE
    close_seconds: float = 5.0
    write_seconds: float = 30.0


class WebSocketEndpoints:
    """The sub-protocols by name, each with the factory of its `asyncio.Protocol`s; names compare without case."""

    def __init__(
        self, factories: Mapping[str, Callable[[], asyncio.Protocol]], *, limits: WebSocketLimits | None = None
    ) -> None:
        self.limits = limits or WebSocketLimits()
        self.deadlines = Deadlines(resolution_for(self.limits.close_seconds, self.limits.write_seconds))
        self._factories = {name.lower(): factory for name, factory in factories.items()}

    def serve(self, path: str, headers: handshake.Headers) -> bool:
        """Whether an upgrade request to this path, percent-decoded, is meant for these; header names in lower case."""
        return handshake.asks_for_websocket(path, headers)

    def accept(
        self, method: str, http_version: str, headers: handshake.Headers, answer_headers: handshake.Headers
    ) -> WebSocketProtocol:
        """The protocol that answers this request with a 101, which has `answer_headers` too, and goes on from there.

        Raises InvalidArgument, UnsupportedWebSocketVersion.
        """
        headers = tuple(headers)
        accept = handshake.check_request(method, http_version, headers)
        subprotocol = handshake.choose_subprotocol(headers, self._factories)
        head = handshake.switching(accept, subprotocol, answer_headers)
        return WebSocketProtocol(self._factories[subprotocol.lower()](), head, self.limits, self.deadlines)
