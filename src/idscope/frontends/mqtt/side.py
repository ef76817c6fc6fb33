"""Owns what stands between a connection and whoever serves its session, provisioning or a hub. It must not know either
of them.

A side is opened by a CONNECT, before it is accepted, then gets event by event, each once the one before is handled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from idscope.events import Wire
from idscope.frontends.mqtt.user_name import HubName
from idscope.protocols.mqtt import Connect, Delivered, Publish, Subscribe, Unsubscribe


class ConnectRefused(Exception):
    """The CONNECT gets this CONNACK code and is closed; `reason` is for the operator."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end: address, certificate chain (DER, leaf first), and on which wire."""

    address: str
    chain: tuple[bytes, ...]
    wire: Wire


class Outlet(Protocol):
    """What a side may do to its session. All of it does nothing once the session is closed."""

    def acknowledge(self, packet: Publish) -> None:
        """The client's PUBLISH is safe; to be said before anything is published in answer."""
        ...

    def grant(self, packet: Subscribe, accepted: Sequence[bool]) -> None:
        """Answer a SUBSCRIBE, filter by filter."""
        ...

    def publish(self, topic: str, payload: bytes, qos: int = 1, delivery: Any = None) -> bool:
        """Send to the client; False, and nothing taken, where it did not subscribe or does not keep up."""
        ...

    def close(self, reason: str) -> None:
        """End the session and the connection."""
        ...


class SessionSide(Protocol):
    """Serves one session.

    `packet_bytes` is the longest packet it takes, `seconds` how long the session may last at most (`math.inf`),
    `restored` what it kept of an earlier session's subscriptions: filters with their QoS.
    """

    packet_bytes: int
    seconds: float
    restored: Mapping[str, int]

    async def handle(self, event: Publish | Subscribe | Unsubscribe | Delivered) -> None:
        """What the client did. Whatever is raised is logged and ends the session."""
        ...

    def closed(self, *, orderly: bool) -> None:
        """The session is over; called once, last, and also where the connection was lost while the side opened."""
        ...


# Raises ConnectRefused; any other error is logged, and the client told that the server is unavailable.
HubDoor = Callable[[Connect, HubName, Peer, Outlet], Awaitable[SessionSide]]
