"""Owns what all MQTT connections of one server share: limits, the watch over time, and who serves which user name. It
must not know topics, nor what is beneath a connection."""

from __future__ import annotations

import asyncio

import msgspec

from idscope.frontends.deadlines import Deadlines, resolution_for
from idscope.frontends.mqtt.connection import MqttProtocol
from idscope.frontends.mqtt.provisioning import Provisioning
from idscope.frontends.mqtt.side import ConnectRefused, HubDoor, Outlet, Peer, SessionSide
from idscope.frontends.mqtt.user_name import HubName, ProvisioningName, parse_user_name
from idscope.protocols.mqtt import Connect, ConnectCode, SessionLimits


class MqttLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one connection beside those of its session; times in seconds.

    `write_seconds` is how long a client may refuse to read, `linger_seconds` how long a refused one may take to
    notice.
    """

    session: SessionLimits = SessionLimits()
    write_seconds: float = 30.0
    linger_seconds: float = 2.0


class MqttFrontEnd:
    """Makes the protocols of MQTT connections, on TLS and inside WebSockets alike.

    `hub` opens the sessions of hub devices. Without it their CONNECT gets CONNACK 3, as an unknown id scope does: what
    the client asks for is not here, and its credential is not to blame.
    """

    def __init__(
        self, provisioning: Provisioning, *, hub: HubDoor | None = None, limits: MqttLimits | None = None
    ) -> None:
        self.limits = limits = limits or MqttLimits()
        self.deadlines = Deadlines(
            resolution_for(
                limits.session.connect_seconds,
                limits.session.packet_seconds,
                limits.write_seconds,
                limits.linger_seconds,
            )
        )
        self.running: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly
        self._provisioning = provisioning
        self._hub = hub

    def protocol_factory(self) -> MqttProtocol:
        """A protocol for one connection."""
        return MqttProtocol(self)

    async def open(self, connect: Connect, peer: Peer, outlet: Outlet) -> SessionSide:
        """Raises ConnectRefused, and what the side raises."""
        match parse_user_name(connect.user_name):
            case ProvisioningName() as name:
                return await self._provisioning.open(connect, name, peer, outlet)
            case HubName() as name if self._hub is not None:
                return await self._hub(connect, name, peer, outlet)
            case HubName():
                raise ConnectRefused(ConnectCode.SERVER_UNAVAILABLE, "no hub serves MQTT here")
            case None:
                raise ConnectRefused(
                    ConnectCode.BAD_USER_NAME_OR_PASSWORD,
                    "the user name is neither of the provisioning service's form nor of a hub's",
                )
