"""The session table: what may come when, what is owed for it, and what time does to it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_packets import cuts, packets, pieces

from idscope.protocols.mqtt import Closed, Connect, Delivered, Publish, Session, SessionLimits, State, Subscribe
from idscope.protocols.mqtt.encoding import encode
from idscope.protocols.mqtt.packets import (
    Connack,
    Disconnect,
    OtherConnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Suback,
    Unsuback,
    Unsubscribe,
)
from idscope.protocols.mqtt.reader import PacketReader

LIMITS = SessionLimits(inflight=2, queued=1, unacknowledged=3, subscriptions=3)


class Client:
    """A session, and what its client sends and sees."""

    def __init__(self, *, keep_alive: int = 0, connected: bool = True) -> None:
        self.session = Session(100.0, LIMITS)
        self.now = 100.0
        if connected:
            self.send(Connect(client_id="c", keep_alive=keep_alive))
            assert isinstance(self.event(), Connect)
            self.session.accept()
            assert self.seen() == [Connack(0)]

    def send(self, *sent: Packet) -> None:
        self.session.receive(b"".join(map(encode, sent)), self.now)

    def event(self) -> object:
        return self.session.next_event(self.now)

    def seen(self) -> list[Packet]:
        reader = PacketReader(1 << 20)
        reader.feed(self.session.take_output())
        found = []
        while (packet := reader.take()) is not None:
            found.append(packet)
        return found

    def subscribe(self, *filters: tuple[str, int]) -> None:
        packet = Subscribe(9, filters)
        self.send(packet)
        assert self.event() == packet
        self.session.grant(packet, [True] * len(filters))
        self.seen()


def test_what_follows_a_connect_waits_for_the_decision() -> None:
    client = Client(connected=False)
    client.send(Connect(client_id="c"), Pingreq(), Publish("t"))
    assert client.event() == Connect(client_id="c")
    assert client.event() is None
    assert client.seen() == []
    client.session.accept()
    assert client.event() == Publish("t")
    assert client.seen() == [Connack(0), Pingresp()]


def test_session_present_is_0_for_a_client_that_wants_its_session_back() -> None:
    client = Client(connected=False)
    client.send(Connect(client_id="c", clean_session=False))
    client.event()
    client.session.accept()
    assert client.session.take_output() == b"\x20\x02\x00\x00"


def test_a_refused_connect_is_answered_and_nothing_after_it_is_read() -> None:
    client = Client(connected=False)
    client.send(Connect(client_id="c"), Pingreq())
    client.event()
    client.session.refuse(5, "not this one")
    assert client.event() == Closed("not this one")
    assert client.event() is None
    client.send(Pingreq())
    assert client.event() is None
    assert client.seen() == [Connack(5)]


def test_another_protocol_level_is_connack_1() -> None:
    client = Client(connected=False)
    client.send(OtherConnect("MQTT", 5))
    assert client.event() == Closed("protocol level 5")
    assert client.seen() == [Connack(1)]


def test_an_empty_client_id_that_wants_its_session_back_is_connack_2() -> None:
    client = Client(connected=False)
    client.send(Connect(client_id="", clean_session=False))
    assert isinstance(client.event(), Closed)
    assert client.seen() == [Connack(2)]


@pytest.mark.parametrize(
    "packet",
    [Pingreq(), Disconnect(), Publish("t"), Puback(1), Subscribe(1, (("t", 0),)), Unsubscribe(1, ("t",)), Connack(0)],
    ids=lambda packet: type(packet).__name__,
)
def test_nothing_comes_before_connect(packet: Packet) -> None:
    client = Client(connected=False)
    client.send(packet)
    event = client.event()
    assert isinstance(event, Closed)
    assert not event.orderly
    assert client.seen() == []


@pytest.mark.parametrize(
    "packet",
    [
        Connect(client_id="c"),
        OtherConnect("MQTT", 5),
        Publish("t", b"", 2, 1),
        Pubrec(1),
        Pubrel(1),
        Pubcomp(1),
        Connack(0),
        Suback(1, (0,)),
        Unsuback(1),
        Pingresp(),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_what_a_connected_client_may_not_send_ends_the_session(packet: Packet) -> None:
    client = Client()
    client.send(packet)
    assert isinstance(client.event(), Closed)
    assert client.session.state is State.CLOSED
    assert client.seen() == []


def test_a_disconnect_is_orderly() -> None:
    client = Client()
    client.send(Disconnect(), Pingreq())
    event = client.event()
    assert isinstance(event, Closed)
    assert event.orderly
    assert client.event() is None
    assert client.seen() == []


def test_qos_2_is_granted_as_1_and_the_rest_as_asked_or_refused() -> None:
    client = Client()
    packet = Subscribe(7, (("a", 2), ("b", 1), ("c", 0), ("d", 1)))
    client.send(packet)
    assert client.event() == packet
    client.session.grant(packet, [True, False, True, True])
    assert client.seen() == [Suback(7, (1, 0x80, 0, 1))]
    more = Subscribe(8, (("e", 1), ("a", 0)))
    client.send(more)
    client.event()
    client.session.grant(more, [True, True])
    assert client.seen() == [Suback(8, (0x80, 0))], "no room for a fourth; a known filter takes its new QoS"


def test_unsubscribe_is_answered_and_ends_what_comes_of_it() -> None:
    client = Client()
    client.subscribe(("a", 1))
    assert client.session.publish("a", b"1")
    packet = Unsubscribe(8, ("a", "never asked for"))
    client.send(packet)
    assert client.event() == packet
    assert client.seen() == [Publish("a", b"1", 1, 1), Unsuback(8)]
    assert not client.session.publish("a", b"2")
    assert client.seen() == []


def test_pubacks_keep_the_order_of_their_publishes_and_qos_0_gets_none() -> None:
    client = Client()
    first, second, third = Publish("t", b"", 1, 5), Publish("t", b"", 1, 6), Publish("t")
    client.send(first, second, third)
    assert [client.event() for _ in range(3)] == [first, second, third]
    client.session.acknowledge(third)
    client.session.acknowledge(second)
    assert client.seen() == []
    client.session.acknowledge(first)
    assert client.seen() == [Puback(5), Puback(6)]


def test_more_unacknowledged_publishes_than_the_limit_wait() -> None:
    client = Client()
    sent = [Publish("t", b"", 1, number) for number in range(1, 6)]
    client.send(*sent)
    assert [client.event() for _ in range(4)] == [*sent[:3], None]
    assert client.session.buffered
    client.session.acknowledge(sent[0])
    assert client.event() == sent[3]


def test_what_is_published_waits_for_pubacks_in_bounds() -> None:
    client = Client()
    client.subscribe(("a/#", 1))
    assert [client.session.publish("a/b", b"x", 1, number) for number in range(4)] == [True, True, True, False]
    assert client.seen() == [Publish("a/b", b"x", 1, 1), Publish("a/b", b"x", 1, 2)]
    client.send(Puback(77), Puback(2))
    assert client.event() == Delivered(1)
    assert client.seen() == [Publish("a/b", b"x", 1, 3)]
    client.send(Puback(2), Puback(1), Puback(3))
    assert [client.event() for _ in range(3)] == [Delivered(0), Delivered(2), None]


def test_packet_ids_begin_again_and_leave_out_what_is_under_way() -> None:
    client = Client()
    client.subscribe(("a", 1))
    for number in range(65_535):
        client.session.publish("a", b"")
        if number:
            client.session.receive(encode(Puback(number + 1)), 100.0)
            client.session.next_event(100.0)
    client.seen()
    client.session.publish("a", b"")
    assert client.seen() == [Publish("a", b"", 1, 2)], "1 is not answered yet"


def test_nothing_is_published_better_than_granted() -> None:
    client = Client()
    client.subscribe(("a", 0))
    assert client.session.publish("a", b"", 1)
    assert client.session.granted("a") == 0
    assert client.seen() == [Publish("a")]


def test_keep_alive_is_enforced_at_one_and_a_half() -> None:
    client = Client(keep_alive=60)
    assert client.session.deadline() == 190.0
    client.now = 150.0
    client.send(Pingreq())
    assert client.event() is None
    assert client.session.deadline() == 240.0
    assert not client.session.expire(239.9)
    assert client.session.expire(240.0)
    assert isinstance(client.event(), Closed)


def test_keep_alive_0_is_never_reaped_for_idleness() -> None:
    client = Client()
    assert client.session.deadline() == math.inf
    assert not client.session.expire(1e12)


def test_a_packet_that_is_begun_must_end() -> None:
    client = Client()
    client.now = 500.0
    client.session.receive(b"\x30\x10", client.now)
    assert client.event() is None
    assert client.session.deadline() == 530.0
    client.session.receive(b"\0", 520.0)
    assert client.event() is None
    assert client.session.deadline() == 530.0, "more of it gains no time"
    client.session.receive(b"\1a" + bytes(13), 521.0)
    assert isinstance(client.event(), Publish)
    assert client.session.deadline() == math.inf


def test_a_connection_without_connect_ends_in_time() -> None:
    session = Session(100.0, LIMITS)
    session.receive(b"\x10", 109.0)
    assert session.next_event(109.0) is None
    assert session.deadline() == 110.0
    assert session.expire(110.0)
    assert session.next_event(110.0) == Closed("no CONNECT in time")
    assert session.take_output() == b""


def test_a_connect_may_be_smaller_only_than_the_packets_after_it() -> None:
    session = Session(0.0, SessionLimits(connect_bytes=20, packet_bytes=200))
    session.receive(encode(Connect(client_id="c" * 50)), 0.0)
    assert isinstance(session.next_event(0.0), Closed)
    session = Session(0.0, SessionLimits(connect_bytes=20, packet_bytes=200))
    session.receive(encode(Connect(client_id="c")) + encode(Publish("t", bytes(100))), 0.0)
    assert isinstance(session.next_event(0.0), Connect)
    session.accept()
    assert isinstance(session.next_event(0.0), Publish)


def run(session: Session, stream: list[bytes]) -> tuple[list[object], bytes]:
    """Every event, answered as a server would, and all that was said."""
    events: list[object] = []
    output = b""
    for piece in stream:
        session.receive(piece, 1.0)
        while (event := session.next_event(1.0)) is not None:
            events.append(event)
            match event:
                case Connect():
                    session.accept()
                case Subscribe():
                    session.grant(event, [True] * len(event.filters))
                case Publish():
                    session.acknowledge(event)
                    session.publish(event.topic, event.payload)
        output += session.take_output()
        if session.state is not State.CLOSED:
            assert session.buffered <= session.limits.packet_bytes + 4
    return events, output


@given(st.data(), st.lists(packets, max_size=8), st.booleans())
def test_a_session_says_the_same_however_its_bytes_are_cut(
    data: st.DataObject, sent: list[Packet], begun: bool
) -> None:
    stream = b"".join(map(encode, [Connect(client_id="c"), *sent] if begun else sent))
    whole = run(Session(0.0, LIMITS), [stream])
    cut = run(Session(0.0, LIMITS), pieces(stream, data.draw(cuts(len(stream)))))
    assert cut == whole
    events, output = whole
    closed = [event for event in events if isinstance(event, Closed)]
    assert len(closed) <= 1
    assert not closed or events[-1] is closed[0], "nothing happens after the end"
    reader = PacketReader(1 << 20)
    reader.feed(output)
    said = []
    while (packet := reader.take()) is not None:
        said.append(packet)
    assert not reader.buffered
    assert [type(packet) for packet in said].count(Connack) <= 1
    assert not said or isinstance(said[0], Connack)
    owed = [event.packet_id for event in events if isinstance(event, Publish) and event.qos]
    assert [packet.packet_id for packet in said if isinstance(packet, Puback)] == owed
