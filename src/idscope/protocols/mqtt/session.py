"""Owns the server's side of one MQTT 3.1.1 session: what may come when, and what is owed for it. It must not know who
the client is, what a topic means, or what time it is.

                        AWAITING_CONNECT   DECIDING             CONNECTED
    CONNECT             → DECIDING         waits                → CLOSED (error) [3.1.0-2]
    other CONNECT       CONNACK 1 → CLOSED waits                → CLOSED (error)
    PUBLISH QoS 0, 1    → CLOSED (error)   waits                event
    PUBLISH QoS 2       → CLOSED (error)   waits                → CLOSED (error)
    PUBACK              → CLOSED (error)   waits                event, where it is owed
    SUBSCRIBE           → CLOSED (error)   waits                event
    UNSUBSCRIBE         → CLOSED (error)   waits                UNSUBACK, event
    PINGREQ             → CLOSED (error)   waits                PINGRESP
    DISCONNECT          → CLOSED (error)   waits                → CLOSED
    anything else       → CLOSED (error)   waits                → CLOSED (error)

Rules: while the application decides about a CONNECT, what follows it waits. Of a session nothing outlives
its connection but what the application kept of its subscriptions, for a CONNECT with CleanSession 0; only then
session-present is 1. No QoS above 1 is granted, so PUBREC, PUBREL and PUBCOMP are errors, and
a PUBLISH with QoS 2 ends the session, as it does at an IoT hub (published). PUBACKs leave in the order of their
PUBLISHes [4.6.0-2], and before what the application publishes after acknowledging. A PUBACK that nobody waits for is
ignored. Nothing is ever sent twice in one session, so no packet leaves here with DUP; one that comes is an ordinary
PUBLISH. A will is handed on with the CONNECT and is otherwise the application's. Text without a NUL is asked of the
application for all it publishes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

import msgspec

from idscope.protocols.mqtt.encoding import encode
from idscope.protocols.mqtt.packets import (
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
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from idscope.protocols.mqtt.reader import MAX_HEADER, PacketReader
from idscope.protocols.mqtt.topics import matches

NEVER: Final = math.inf
_MAX_GRANTED_QOS: Final = 1
_PACKET_IDS: Final = 65_535


class State(Enum):
    """Where a session stands."""

    AWAITING_CONNECT = auto()
    DECIDING = auto()
    CONNECTED = auto()
    CLOSED = auto()


TRANSITIONS: Final[Mapping[State, Mapping[type, State]]] = {
    State.AWAITING_CONNECT: {Connect: State.DECIDING, OtherConnect: State.CLOSED},
    State.DECIDING: {},
    State.CONNECTED: {
        Publish: State.CONNECTED,
        Puback: State.CONNECTED,
        Subscribe: State.CONNECTED,
        Unsubscribe: State.CONNECTED,
        Pingreq: State.CONNECTED,
        Disconnect: State.CLOSED,
    },
    State.CLOSED: {},
}


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes (remaining length), times in seconds.

    `connect_seconds` from the opening to a whole CONNECT; `packet_seconds` from the first byte of a packet to its
    last; `unacknowledged` PUBLISHes of the client at once before more of them wait; `inflight` unanswered PUBLISHes to
    the client, and `queued` more.
    """

    connect_bytes: int = 16 * 1024
    packet_bytes: int = 128 * 1024
    connect_seconds: float = 10.0
    packet_seconds: float = 30.0
    unacknowledged: int = 64
    inflight: int = 16
    queued: int = 64
    subscriptions: int = 64


class Delivered(msgspec.Struct, frozen=True):
    """The client has taken what was published with this `delivery`."""

    delivery: Any


class Closed(msgspec.Struct, frozen=True):
    """The session is over: the connection is to be closed once the output is sent. `orderly`: by a DISCONNECT, so that
    a will is dropped; `reason` is for the operator."""

    reason: str
    orderly: bool = False


Event = Connect | Publish | Subscribe | Unsubscribe | Delivered | Closed


class Session:
    """Times are seconds of any clock that never goes back, `opened` and `now` of the same.

    `receive` takes bytes, `next_event` gives what they mean, one at a time: what is not asked for waits, unread, so the
    application sets the pace. Answers gather until `take_output`.
    """

    __slots__ = (
        "_begun",
        "_closed",
        "_heard",
        "_inflight",
        "_keep_alive",
        "_last_id",
        "_output",
        "_owed",
        "_queue",
        "_reader",
        "_subscriptions",
        "_told",
        "limits",
        "state",
    )

    def __init__(self, opened: float, limits: SessionLimits | None = None) -> None:
        self.limits = limits = limits or SessionLimits()
        self.state = State.AWAITING_CONNECT
        self._reader = PacketReader(limits.connect_bytes)
        self._output = bytearray()
        self._keep_alive = 0
        self._heard = opened
        self._begun = opened
        self._closed: Closed | None = None
        self._told = False
        self._subscriptions: dict[str, int] = {}
        # Lists, though taken from the front: they are short, and an empty deque costs an idle client 0.6 KB.
        self._owed: list[_Owed] = []
        self._inflight: dict[int, Any] = {}
        self._queue: list[tuple[str, bytes, Any]] = []
        self._last_id = 0

    # What comes in

    @property
    def buffered(self) -> int:
        """Bytes received that no event was made of yet."""
        return self._reader.buffered

    @property
    def full(self) -> bool:
        """Whether at least one whole packet waits, so that there is no use in receiving more yet."""
        return self._reader.buffered >= self._reader.limit + MAX_HEADER

    def receive(self, data: bytes, now: float) -> None:
        """Bytes from the client."""
        if self.state is State.CLOSED:
            return
        if not self._reader.buffered:
            self._begun = now
        self._reader.feed(data)

    def next_event(self, now: float) -> Event | None:
        """What comes next; None where nothing does until more is received, acknowledged or decided. The client counts
        as heard when its packet is taken: time that the application lets it wait is not held against it."""
        while self.state in _READING:
            if len(self._owed) >= self.limits.unacknowledged:
                return None
            try:
                packet = self._reader.take()
                if packet is None:
                    return None
                self._heard = self._begun = now
                event = self._handle(packet)
            except ProtocolError as error:
                self.close(str(error))
                break
            if event is not None:
                return event
        if self._told:
            return None
        self._told = self._closed is not None
        return self._closed

    def _handle(self, packet: Packet) -> Event | None:
        following = TRANSITIONS[self.state].get(type(packet))
        if following is None:
            raise ProtocolError(f"{type(packet).__name__.upper()} in the state {self.state.name}")
        self.state = following
        match packet:
            case Publish():
                return self._on_publish(packet)
            case Puback():
                return self._on_puback(packet)
            case Connect():
                return self._on_connect(packet)
            case OtherConnect():
                self.refuse(ConnectCode.UNACCEPTABLE_PROTOCOL_LEVEL, f"protocol level {packet.level}")  # [3.1.2-2]
            case Unsubscribe():
                return self._on_unsubscribe(packet)
            case Pingreq():
                self._output += encode(Pingresp())
            case Disconnect():
                self._end(Closed("the client disconnected", orderly=True))
            case Subscribe():
                return packet
        return None

    def _on_connect(self, packet: Connect) -> Event | None:
        if not packet.client_id and not packet.clean_session:
            self.refuse(ConnectCode.IDENTIFIER_REJECTED, "an empty client id with CleanSession 0")  # [3.1.3-8]
            return None
        self._keep_alive = packet.keep_alive
        return packet

    def _on_publish(self, packet: Publish) -> Publish:
        if packet.qos > _MAX_GRANTED_QOS:
            raise ProtocolError("a PUBLISH with QoS 2, which is not granted here")
        if packet.qos:
            self._owed.append(_Owed(packet.packet_id))
        return packet

    def _on_puback(self, packet: Puback) -> Delivered | None:
        if packet.packet_id not in self._inflight:
            return None
        delivery = self._inflight.pop(packet.packet_id)
        while self._queue and len(self._inflight) < self.limits.inflight:
            self._send_acknowledged(*self._queue.pop(0))
        return None if delivery is None else Delivered(delivery)

    def _on_unsubscribe(self, packet: Unsubscribe) -> Unsubscribe:
        for text in packet.filters:
            self._subscriptions.pop(text, None)
        self._output += encode(Unsuback(packet.packet_id))
        return packet

    # What goes out

    def accept(self, packet_bytes: int | None = None, restored: Mapping[str, int] | None = None) -> None:
        """The CONNECT that was handed on is good; packets after it may be as long as the limits say, or as this.

        `restored` are filters that the application kept of an earlier session, with the QoS that they were granted.
        """
        if self.state is State.DECIDING:
            self.state = State.CONNECTED
            self._subscriptions.update({text: min(qos, _MAX_GRANTED_QOS) for text, qos in (restored or {}).items()})
            self._reader.limit = self.limits.packet_bytes if packet_bytes is None else packet_bytes
            self._output += encode(Connack(ConnectCode.ACCEPTED, bool(self._subscriptions)))  # [3.2.2-2]

    def refuse(self, code: int, reason: str) -> None:
        """The CONNECT is refused with this CONNACK code; nothing of what followed it is read [3.1.4-5]."""
        if self._closed is None and self.state is not State.CONNECTED:
            self._output += encode(Connack(code))
            self.close(reason)

    def grant(self, packet: Subscribe, accepted: Sequence[bool]) -> None:
        """Answer a SUBSCRIBE: the accepted filters are granted what they ask for, at most QoS 1 [3.8.4-5, 3.8.4-6]."""
        if self.state is State.CONNECTED:
            codes = [
                self._code(text, qos, accepted=yes) for (text, qos), yes in zip(packet.filters, accepted, strict=True)
            ]
            self._output += encode(Suback(packet.packet_id, tuple(codes)))

    def _code(self, text: str, qos: int, *, accepted: bool) -> int:
        room = text in self._subscriptions or len(self._subscriptions) < self.limits.subscriptions
        if not accepted or not room:
            return REFUSED_FILTER
        granted = self._subscriptions[text] = min(qos, _MAX_GRANTED_QOS)
        return granted

    def acknowledge(self, packet: Publish) -> None:
        """The client's PUBLISH is safe here: PUBACK, now or when those before it are safe too. Nothing with QoS 0."""
        for owed in self._owed:
            if owed.packet_id == packet.packet_id and not owed.safe:
                owed.safe = True
                break
        while self._owed and self._owed[0].safe:
            self._output += encode(Puback(self._owed.pop(0).packet_id))

    def granted(self, topic: str) -> int | None:
        """The best QoS at which the client subscribed to what matches this topic, None where it did not."""
        return max((qos for text, qos in self._subscriptions.items() if matches(text, topic)), default=None)

    def publish(self, topic: str, payload: bytes, qos: int = 1, delivery: Any = None) -> bool:
        """Send to the client, at no better QoS than it was granted [3.8.4-6].

        False where it did not subscribe, the session is not open, or too much waits for its PUBACKs; then nothing was
        taken. `delivery` comes back in `Delivered`, with QoS 1 only.
        """
        granted = self.granted(topic) if self.state is State.CONNECTED else None
        if granted is None:
            return False
        if min(qos, granted) == 0:
            self._output += encode(Publish(topic, payload))
        elif len(self._inflight) < self.limits.inflight:
            self._send_acknowledged(topic, payload, delivery)
        elif len(self._queue) < self.limits.queued:
            self._queue.append((topic, payload, delivery))
        else:
            return False
        return True

    def _send_acknowledged(self, topic: str, payload: bytes, delivery: Any) -> None:
        packet_id = self._last_id % _PACKET_IDS + 1
        while packet_id in self._inflight:
            packet_id = packet_id % _PACKET_IDS + 1
        self._last_id = packet_id
        self._inflight[packet_id] = delivery
        self._output += encode(Publish(topic, payload, 1, packet_id))

    def close(self, reason: str) -> None:
        """End the session from this side; MQTT 3.1.1 has no words for it."""
        self._end(Closed(reason))

    def _end(self, closed: Closed) -> None:
        if self._closed is None:
            self._closed = closed
        self.state = State.CLOSED
        self._reader.clear()
        self._queue.clear()

    def take_output(self) -> bytes:
        """What is to be sent, since the last time."""
        output = bytes(self._output)
        self._output.clear()
        return output

    # Time

    def deadline(self) -> float:
        """When the session is to be closed if nothing whole comes before; NEVER with a keep alive of 0 and nothing
        begun."""
        if self.state is State.AWAITING_CONNECT:
            return self._heard + self.limits.connect_seconds
        if self.state is not State.CONNECTED:
            return NEVER
        begun = self._begun + self.limits.packet_seconds if self._reader.buffered else NEVER
        idle = self._heard + 1.5 * self._keep_alive if self._keep_alive else NEVER  # [3.1.2-24]
        return min(begun, idle)

    def expire(self, now: float) -> bool:
        """Close the session if its deadline has passed."""
        if now < self.deadline():
            return False
        self.close("no CONNECT in time" if self.state is State.AWAITING_CONNECT else "nothing whole came in time")
        return True


class _Owed:
    """A PUBACK that the client waits for; `safe` once the application has said so."""

    __slots__ = ("packet_id", "safe")

    def __init__(self, packet_id: int) -> None:
        self.packet_id = packet_id
        self.safe = False


_READING: Final = (State.AWAITING_CONNECT, State.CONNECTED)
