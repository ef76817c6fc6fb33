"""Owns how one packet is read from its first byte and its body, strictly. It must not know where the bytes come from,
nor which packets are welcome.

What the standard calls a MUST is an error here, whoever would have to close for it; only a CONNECT of another version
is no error, since it has an answer of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from idscope.protocols.mqtt.packets import (
    PROTOCOL_LEVEL,
    PROTOCOL_NAME,
    REFUSED_FILTER,
    Connack,
    Connect,
    ConnectCode,
    Disconnect,
    OtherConnect,
    Packet,
    Pingreq,
    Pingresp,
    ProtocolError,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from idscope.protocols.mqtt.topics import check_topic_filter, check_topic_name
from idscope.secret import Secret

_MAX_QOS: Final = 2
_NAMES: Final = frozenset((PROTOCOL_NAME, "MQIsdp"))  # the second is that of MQTT 3.1
_SUBACK_CODES: Final = frozenset((0, 1, 2, REFUSED_FILTER))

N = TypeVar("N", Puback, Pubrec, Pubrel, Pubcomp, Unsuback)
E = TypeVar("E", Pingreq, Pingresp, Disconnect)


def check_first_byte(first: int) -> None:
    """Raises ProtocolError where it names no packet, or has flags that its packet may not have [2.2.2-2]."""
    kind, flags = first >> 4, first & 0x0F
    if kind in (0, 15):
        raise ProtocolError(f"{kind} is no packet type")
    if kind != _PUBLISH and flags != _FLAGS.get(kind, 0):
        raise ProtocolError(f"a packet of type {kind} has the flags {flags:#x}")


def decode(first: int, body: bytes) -> Packet:
    """The packet with this first byte, which was checked, and this body. Raises ProtocolError."""
    kind = first >> 4
    if kind == _PUBLISH:
        return _publish(first, body)
    return _READERS[kind](body)


class _Fields:
    """Reads a body from left to right; what is not there is a ProtocolError."""

    __slots__ = ("at", "body", "end")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self.end = len(body)

    def byte(self) -> int:
        at = self.at
        if at >= self.end:
            raise ProtocolError("a packet ends before its fields do")
        self.at = at + 1
        return self.body[at]

    def number(self) -> int:
        at = self.at
        self.at = at + 2
        if self.at > self.end:
            raise ProtocolError("a packet ends before its fields do")
        return self.body[at] << 8 | self.body[at + 1]

    def packet_id(self) -> int:
        number = self.number()
        if not number:
            raise ProtocolError("a packet id is 0")  # [2.3.1-1]
        return number

    def binary(self) -> bytes:
        start = self.at + 2
        if start > self.end:
            raise ProtocolError("a packet ends before its fields do")
        self.at = end = start + (self.body[start - 2] << 8 | self.body[start - 1])
        if end > self.end:
            raise ProtocolError("a packet ends before its fields do")
        return self.body[start:end]

    def text(self) -> str:
        try:
            text = self.binary().decode("utf-8")  # refuses surrogates, keeps U+FEFF [1.5.3-1, 1.5.3-3]
        except UnicodeDecodeError:
            raise ProtocolError("a text is not UTF-8") from None
        if "\0" in text:
            raise ProtocolError("a text holds a NUL")  # [1.5.3-2]
        return text

    def finish(self) -> None:
        if self.at != self.end:
            raise ProtocolError("a packet goes on after its fields")


def _connect(body: bytes) -> Connect | OtherConnect:
    fields = _Fields(body)
    name, level = fields.text(), fields.byte()
    if name not in _NAMES:
        raise ProtocolError("a CONNECT names another protocol")  # [3.1.2-1]
    if name != PROTOCOL_NAME or level != PROTOCOL_LEVEL:
        return OtherConnect(name, level)
    flags, keep_alive = fields.byte(), fields.number()
    _check_connect_flags(flags)
    packet = Connect(
        client_id=fields.text(),
        clean_session=bool(flags & 0x02),
        keep_alive=keep_alive,
        will=_will(flags, fields) if flags & 0x04 else None,
        user_name=fields.text() if flags & 0x80 else None,
        password=Secret(fields.binary().decode("latin-1")) if flags & 0x40 else None,
    )
    fields.finish()
    return packet


def _check_connect_flags(flags: int) -> None:
    """Raises ProtocolError for what [3.1.2-3, -11, -13, -14, -15, -22] forbid."""
    if flags & 0x01:
        raise ProtocolError("a CONNECT has its reserved flag set")
    if not flags & 0x04 and flags & 0x38:
        raise ProtocolError("a CONNECT has flags of a will and no will")
    if flags & 0x18 == 0x18:
        raise ProtocolError("a will has a QoS of 3")
    if flags & 0xC0 == 0x40:
        raise ProtocolError("a CONNECT has a password and no user name")


def _will(flags: int, fields: _Fields) -> Will:
    topic = fields.text()
    check_topic_name(topic)
    return Will(topic, fields.binary(), flags >> 3 & 0x03, bool(flags & 0x20))


def _connack(body: bytes) -> Connack:
    fields = _Fields(body)
    flags, code = fields.byte(), fields.byte()
    fields.finish()
    if flags > 1 or code > max(ConnectCode) or (flags and code):
        raise ProtocolError(f"a CONNACK has the flags {flags:#x} and the code {code}")  # [3.2.2-4, 3.2.2-6]
    return Connack(code, bool(flags))


def _publish(first: int, body: bytes) -> Publish:
    qos = first >> 1 & 0x03
    if qos > _MAX_QOS:
        raise ProtocolError("a PUBLISH has a QoS of 3")  # [3.3.1-4]
    if first & 0x08 and not qos:
        raise ProtocolError("a PUBLISH with QoS 0 is said to be a duplicate")  # [3.3.1-2]
    fields = _Fields(body)
    topic = fields.text()
    check_topic_name(topic)
    packet_id = fields.packet_id() if qos else 0
    return Publish(topic, body[fields.at :], qos, packet_id, bool(first & 0x01), bool(first & 0x08))


def _numbered(kind: type[N]) -> Callable[[bytes], N]:
    def read(body: bytes) -> N:
        fields = _Fields(body)
        packet = kind(fields.packet_id())
        fields.finish()
        return packet

    return read


def _empty(packet: E) -> Callable[[bytes], E]:
    def read(body: bytes) -> E:
        if body:
            raise ProtocolError("a packet goes on after its fields")
        return packet

    return read


def _subscribe(body: bytes) -> Subscribe:
    fields = _Fields(body)
    packet_id = fields.packet_id()
    filters = []
    while fields.at < fields.end:
        text, qos = _filter(fields), fields.byte()
        if qos > _MAX_QOS:
            raise ProtocolError(f"a SUBSCRIBE asks for the QoS {qos}")  # [3.8.3-4]
        filters.append((text, qos))
    if not filters:
        raise ProtocolError("a SUBSCRIBE has no filter")  # [3.8.3-3]
    return Subscribe(packet_id, tuple(filters))


def _suback(body: bytes) -> Suback:
    fields = _Fields(body)
    packet_id = fields.packet_id()
    codes = tuple(body[fields.at :])
    if not codes or not _SUBACK_CODES.issuperset(codes):
        raise ProtocolError("a SUBACK has no code, or one that does not exist")  # [3.9.3-2]
    return Suback(packet_id, codes)


def _unsubscribe(body: bytes) -> Unsubscribe:
    fields = _Fields(body)
    packet_id = fields.packet_id()
    filters = []
    while fields.at < fields.end:
        filters.append(_filter(fields))
    if not filters:
        raise ProtocolError("an UNSUBSCRIBE has no filter")  # [3.10.3-2]
    return Unsubscribe(packet_id, tuple(filters))


def _filter(fields: _Fields) -> str:
    text = fields.text()
    check_topic_filter(text)
    return text


_PUBLISH: Final = 3
_FLAGS: Final = {6: 0x02, 8: 0x02, 10: 0x02}  # PUBREL, SUBSCRIBE, UNSUBSCRIBE; the others have none
_READERS: Final[dict[int, Callable[[bytes], Packet]]] = {
    1: _connect,
    2: _connack,
    4: _numbered(Puback),
    5: _numbered(Pubrec),
    6: _numbered(Pubrel),
    7: _numbered(Pubcomp),
    8: _subscribe,
    9: _suback,
    10: _unsubscribe,
    11: _numbered(Unsuback),
    12: _empty(Pingreq()),
    13: _empty(Pingresp()),
    14: _empty(Disconnect()),
}
