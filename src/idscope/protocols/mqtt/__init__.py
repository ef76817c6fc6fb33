"""MQTT 3.1.1 as a server speaks it: packets, topics, and one session at a time."""

from __future__ import annotations

from idscope.protocols.mqtt.packets import (
    REFUSED_FILTER,
    Connect,
    ConnectCode,
    ProtocolError,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)
from idscope.protocols.mqtt.session import Closed, Delivered, Event, Session, SessionLimits, State
from idscope.protocols.mqtt.topics import matches

__all__ = [
    "REFUSED_FILTER",
    "Closed",
    "Connect",
    "ConnectCode",
    "Delivered",
    "Event",
    "ProtocolError",
    "Publish",
    "Session",
    "SessionLimits",
    "State",
    "Subscribe",
    "Unsubscribe",
    "Will",
    "matches",
]
