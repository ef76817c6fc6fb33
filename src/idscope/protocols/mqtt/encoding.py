"""Owns how packets are written. It must not know what was read.

Whoever makes a packet answers for it: a packet that has no place on the wire (a QoS of 3, a text of 70,000 bytes, a
packet id of 0) is a ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from idscope.protocols.mqtt.packets import (
    PROTOCOL_LEVEL,
    PROTOCOL_NAME,
    Connack,
    Connect,
    Disconnect,
    OtherConnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)

MAX_REMAINING_LENGTH: Final = 268_435_455
_MAX_TEXT: Final = 65_535
_MAX_PACKET_ID: Final = 65_535


def encode(packet: Packet) -> bytes:
    """The packet's bytes. Raises ValueError."""
    return _WRITERS[type(packet)](packet)


def _framed(first: int, body: bytes) -> bytes:
    length = len(body)
    if length < 0x80:
        return bytes((first, length)) + body
    if length > MAX_REMAINING_LENGTH:
        raise ValueError(f"a packet of {length} bytes is too long for MQTT")
    header = bytearray((first,))
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header) + body


def _text(text: str) -> bytes:
    if "\0" in text:
        raise ValueError("a text with a NUL has no place in MQTT")
    return _binary(text.encode("utf-8"))


def _binary(data: bytes) -> bytes:
    if len(data) > _MAX_TEXT:
        raise ValueError(f"a text of {len(data)} bytes is too long for MQTT")
    return len(data).to_bytes(2, "big") + data


def _packet_id(number: int) -> bytes:
    if not 0 < number <= _MAX_PACKET_ID:
        raise ValueError(f"{number} is no packet id")
    return number.to_bytes(2, "big")


def _qos(number: int) -> int:
    if number not in (0, 1, 2):
        raise ValueError(f"{number} is no QoS")
    return number


def _connect(packet: Connect) -> bytes:
    will = packet.will
    flags = packet.clean_session << 1
    parts = [_text(packet.client_id)]
    if will is not None:
        flags |= 0x04 | _qos(will.qos) << 3 | will.retain << 5
        parts += (_text(will.topic), _binary(will.payload))
    if packet.user_name is not None:
        flags |= 0x80
        parts.append(_text(packet.user_name))
    elif packet.password is not None:
        raise ValueError("a password stands only beside a user name")
    if packet.password is not None:
        flags |= 0x40
        parts.append(_binary(packet.password.reveal().encode("latin-1")))
    head = _text(PROTOCOL_NAME) + bytes((PROTOCOL_LEVEL, flags)) + packet.keep_alive.to_bytes(2, "big")
    return _framed(0x10, head + b"".join(parts))


def _other_connect(packet: OtherConnect) -> bytes:
    return _framed(0x10, _text(packet.name) + bytes((packet.level,)))


def _connack(packet: Connack) -> bytes:
    return bytes((0x20, 2, packet.session_present, packet.code))


def _publish(packet: Publish) -> bytes:
    first = 0x30 | packet.dup << 3 | _qos(packet.qos) << 1 | packet.retain
    number = _packet_id(packet.packet_id) if packet.qos else b""
    return _framed(first, _text(packet.topic) + number + packet.payload)


def _numbered(first: int) -> Callable[[Any], bytes]:
    return lambda packet: bytes((first, 2)) + _packet_id(packet.packet_id)


def _subscribe(packet: Subscribe) -> bytes:
    filters = b"".join(_text(text) + bytes((_qos(qos),)) for text, qos in packet.filters)
    return _framed(0x82, _packet_id(packet.packet_id) + filters)


def _suback(packet: Suback) -> bytes:
    return _framed(0x90, _packet_id(packet.packet_id) + bytes(packet.codes))


def _unsubscribe(packet: Unsubscribe) -> bytes:
    return _framed(0xA2, _packet_id(packet.packet_id) + b"".join(map(_text, packet.filters)))


_WRITERS: Final[dict[type, Callable[[Any], bytes]]] = {
    Connect: _connect,
    OtherConnect: _other_connect,
    Connack: _connack,
    Publish: _publish,
    Puback: _numbered(0x40),
    Pubrec: _numbered(0x50),
    Pubrel: _numbered(0x62),
    Pubcomp: _numbered(0x70),
    Subscribe: _subscribe,
    Suback: _suback,
    Unsubscribe: _unsubscribe,
    Unsuback: _numbered(0xB0),
    Pingreq: lambda _: b"\xc0\x00",
    Pingresp: lambda _: b"\xd0\x00",
    Disconnect: lambda _: b"\xe0\x00",
}
