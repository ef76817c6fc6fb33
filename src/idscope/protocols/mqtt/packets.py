"""Owns the control packets of MQTT 3.1.1 as values, and the one error of whoever breaks its rules. It must not know how
they look on the wire, nor in which order they may come.

Source of everything here: MQTT 3.1.1, OASIS Standard, 29 October 2014; numbers in brackets are its requirements.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from idscope.secret import Secret

PROTOCOL_NAME: Final = "MQTT"
PROTOCOL_LEVEL: Final = 4
REFUSED_FILTER: Final = 0x80  # in a SUBACK


class ProtocolError(Exception):
    """The peer broke the protocol and is to be closed; the text is for the operator and holds nothing of what it sent
    but numbers."""


class ConnectCode(IntEnum):
    """The return codes of CONNACK (table 3.1)."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_LEVEL = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


class Will(msgspec.Struct, frozen=True):
    """What the server is asked to publish for a client that goes without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """`keep_alive` in seconds, 0: none. `password` is binary: it has one character a byte (latin-1), so that a SAS
    token reads as it is; None where none was sent, which is not the same as an empty one."""

    client_id: str
    clean_session: bool = True
    keep_alive: int = 0
    user_name: str | None = None
    password: Secret | None = None
    will: Will | None = None


class OtherConnect(msgspec.Struct, frozen=True):
    """A CONNECT of another version of MQTT, of which nothing more can be read."""

    name: str
    level: int


class Connack(msgspec.Struct, frozen=True):
    code: int
    session_present: bool = False


class Publish(msgspec.Struct, frozen=True):
    """`packet_id` is 0 with QoS 0."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    packet_id: int = 0
    retain: bool = False
    dup: bool = False


class Puback(msgspec.Struct, frozen=True):
    packet_id: int


class Pubrec(msgspec.Struct, frozen=True):
    packet_id: int


class Pubrel(msgspec.Struct, frozen=True):
    packet_id: int


class Pubcomp(msgspec.Struct, frozen=True):
    packet_id: int


class Subscribe(msgspec.Struct, frozen=True):
    """Filters, each with the QoS that is asked for."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


class Suback(msgspec.Struct, frozen=True):
    """A code for each filter: the granted QoS, or REFUSED_FILTER."""

    packet_id: int
    codes: tuple[int, ...]


class Unsubscribe(msgspec.Struct, frozen=True):
    packet_id: int
    filters: tuple[str, ...]


class Unsuback(msgspec.Struct, frozen=True):
    packet_id: int


class Pingreq(msgspec.Struct, frozen=True):
    pass


class Pingresp(msgspec.Struct, frozen=True):
    pass


class Disconnect(msgspec.Struct, frozen=True):
    pass


Packet = (
    Connect
    | OtherConnect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
)
