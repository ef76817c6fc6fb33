"""The codec against the standard: bytes are those of MQTT 3.1.1 (OASIS, 2014), cited by requirement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_packets import cuts, packets, pieces

from idscope.protocols.mqtt import ProtocolError
from idscope.protocols.mqtt.encoding import encode
from idscope.protocols.mqtt.packets import Connack, Connect, OtherConnect, Packet, Puback, Publish, Suback, Subscribe
from idscope.protocols.mqtt.reader import PacketReader
from idscope.protocols.mqtt.topics import matches
from idscope.secret import Secret

LIMIT = 4096


def read(stream: bytes, limit: int = LIMIT) -> list[Packet]:
    reader = PacketReader(limit)
    reader.feed(stream)
    found = []
    while (packet := reader.take()) is not None:
        found.append(packet)
    assert not reader.buffered, "bytes are left over"
    return found


def connect(flags: int, payload: bytes, *, name: bytes = b"\0\4MQTT", level: int = 4) -> bytes:
    body = name + bytes((level, flags, 0, 60)) + payload
    return bytes((0x10, len(body))) + body


GOOD = {
    # Figure 3.6 and its payload of 3.1.3, as written by hand.
    "connect": (
        b"\x10\x1a\x00\x04MQTT\x04\xc2\x00\x0a\x00\x01c\x00\x04user\x00\x05p\xff=&q",
        Connect(client_id="c", keep_alive=10, user_name="user", password=Secret("p\xff=&q")),
    ),
    "an empty password": (
        connect(0xC0, b"\0\1c\0\1u\0\0"),
        Connect(client_id="c", clean_session=False, keep_alive=60, user_name="u", password=Secret("")),
    ),
    "an empty client id": (connect(2, b"\0\0"), Connect(client_id="", keep_alive=60)),
    "another level": (b"\x10\x07\0\4MQTT\x05", OtherConnect("MQTT", 5)),
    "mqtt 3.1": (b"\x10\x0e\0\6MQIsdp\x03\x02\0\x0a\0\0", OtherConnect("MQIsdp", 3)),
    "connack": (b"\x20\x02\x00\x03", Connack(3)),
    "publish": (b"\x30\x05\0\3a/b", Publish("a/b")),
    "publish, figure 3.11": (b"\x32\x07\0\3a/b\0\x0a", Publish("a/b", b"", 1, 10)),
    "puback": (b"\x40\x02\x29\x8e", Puback(0x298E)),
    "subscribe, figure 3.23": (b"\x82\x0e\0\x0a\0\3a/b\1\0\3c/d\2", Subscribe(10, (("a/b", 1), ("c/d", 2)))),
    "suback, figure 3.26": (b"\x90\x05\0\x0a\0\2\x80", Suback(10, (0, 2, 0x80))),
    "a text keeps its byte order mark [1.5.3-3]": (b"\x30\x05\0\3\xef\xbb\xbf", Publish("\ufeff")),
}

BAD = {
    "packet type 0": b"\x00\x00",
    "packet type 15": b"\xf0\x00",
    "flags of SUBSCRIBE [3.8.1-1]": b"\x80\x06\0\1\0\1a\0",
    "flags of UNSUBSCRIBE [3.10.1-1]": b"\xa0\x05\0\1\0\1a",
    "flags of PUBREL [3.6.1-1]": b"\x60\x02\0\1",
    "flags of PINGREQ [2.2.2-2]": b"\xc1\x00",
    "flags of CONNECT": b"\x11\x00",
    "a fifth byte of length": b"\x30\x80\x80\x80\x80\x01",
    "a length longer than needed": b"\x30\x80\x00",
    "beyond the limit": b"\x30\x81\x20",
    "PUBLISH with QoS 3 [3.3.1-4]": b"\x36\x05\0\1a\0\1",
    "PUBLISH with DUP and QoS 0 [3.3.1-2]": b"\x38\x03\0\1a",
    "PUBLISH without topic": b"\x30\x00",
    "PUBLISH with an empty topic [4.7.3-1]": b"\x30\x02\0\0",
    "PUBLISH with # [3.3.2-2]": b"\x30\x03\0\1#",
    "PUBLISH with + [3.3.2-2]": b"\x30\x05\0\3a/+",
    "PUBLISH with packet id 0 [2.3.1-1]": b"\x32\x05\0\1a\0\0",
    "PUBLISH without packet id": b"\x32\x04\0\1a\0",
    "PUBLISH whose topic goes on": b"\x30\x03\0\5a",
    "a surrogate [1.5.3-1]": b"\x30\x05\0\3\xed\xa0\x80",
    "an overlong form": b"\x30\x04\0\2\xc0\xaf",
    "a NUL [1.5.3-2]": b"\x30\x05\0\3a\0b",
    "PUBACK with packet id 0": b"\x40\x02\0\0",
    "PUBACK that goes on": b"\x40\x03\0\1\0",
    "PUBACK cut": b"\x40\x01\0",
    "SUBSCRIBE without filter [3.8.3-3]": b"\x82\x02\0\1",
    "SUBSCRIBE with QoS 3 [3.8.3-4]": b"\x82\x06\0\1\0\1a\3",
    "SUBSCRIBE with an upper bit [3.8.3-4]": b"\x82\x06\0\1\0\1a\x81",
    "SUBSCRIBE without QoS": b"\x82\x05\0\1\0\1a",
    "SUBSCRIBE with packet id 0": b"\x82\x06\0\0\0\1a\0",
    "SUBSCRIBE with an empty filter": b"\x82\x05\0\1\0\0\0",
    "SUBSCRIBE to a# [4.7.1-2]": b"\x82\x07\0\1\0\2a#\0",
    "SUBSCRIBE to #/a [4.7.1-2]": b"\x82\x08\0\1\0\3#/a\0",
    "SUBSCRIBE to a+ [4.7.1-3]": b"\x82\x07\0\1\0\2a+\0",
    "UNSUBSCRIBE without filter [3.10.3-2]": b"\xa2\x02\0\1",
    "PINGREQ with a body": b"\xc0\x01\0",
    "DISCONNECT with a body": b"\xe0\x01\0",
    "SUBACK with another code [3.9.3-2]": b"\x90\x03\0\1\3",
    "CONNACK with session present and a code [3.2.2-4]": b"\x20\x02\1\5",
    "CONNECT of another protocol": connect(2, b"\0\1c", name=b"\0\4AMQP"),
    "CONNECT cut": b"\x10\x04\0\4MQ",
    "CONNECT's reserved flag [3.1.2-3]": connect(3, b"\0\1c"),
    "a will's QoS without will [3.1.2-13]": connect(0x0A, b"\0\1c"),
    "a will's retain without will [3.1.2-15]": connect(0x22, b"\0\1c"),
    "a will with QoS 3 [3.1.2-14]": connect(0x1E, b"\0\1c\0\1t\0\0"),
    "a will whose topic has a wildcard": connect(0x06, b"\0\1c\0\1#\0\0"),
    "a password without user name [3.1.2-22]": connect(0x42, b"\0\1c\0\1p"),
    "a user name that is announced and absent [3.1.2-19]": connect(0x82, b"\0\1c"),
    "a CONNECT that goes on [3.1.3]": connect(2, b"\0\1cx"),
}


@pytest.mark.parametrize(("stream", "packet"), GOOD.values(), ids=GOOD)
def test_bytes_of_the_standard_are_read(stream: bytes, packet: Packet) -> None:
    assert read(stream) == [packet]
    if not isinstance(packet, OtherConnect):
        assert encode(packet) == stream


@pytest.mark.parametrize("stream", BAD.values(), ids=BAD)
def test_what_the_standard_forbids_is_an_error(stream: bytes) -> None:
    reader = PacketReader(LIMIT)
    reader.feed(stream)
    with pytest.raises(ProtocolError) as first:
        reader.take()
    reader.feed(b"\xc0\x00")
    with pytest.raises(ProtocolError) as again:
        reader.take()
    assert str(again.value) == str(first.value), "what is broken stays broken"
    assert reader.buffered == 2, "what broke it is not kept"


@given(packets)
def test_every_packet_comes_back_as_it_was(packet: Packet) -> None:
    assert read(encode(packet)) == [packet]


@given(st.data(), st.lists(packets, min_size=1, max_size=5))
def test_a_stream_means_the_same_wherever_it_is_cut(data: st.DataObject, sent: list[Packet]) -> None:
    stream = b"".join(map(encode, sent))
    reader = PacketReader(LIMIT)
    found = []
    for piece in pieces(stream, data.draw(cuts(len(stream)))):
        reader.feed(piece)
        while (packet := reader.take()) is not None:
            found.append(packet)
    assert found == sent


@given(st.data(), st.binary(max_size=400) | st.lists(packets, max_size=3).map(lambda sent: b"".join(map(encode, sent))))
def test_any_bytes_raise_nothing_else_and_are_not_kept_beyond_the_limit(data: st.DataObject, stream: bytes) -> None:
    limit = data.draw(st.integers(0, 100))
    if stream and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream = stream[:at] + bytes((data.draw(st.integers(0, 255)),)) + stream[at + 1 :]
    reader = PacketReader(limit)
    try:
        for piece in pieces(stream, data.draw(cuts(len(stream)))):
            reader.feed(piece)
            while reader.take() is not None:
                pass
            assert reader.buffered <= limit + 4
    except ProtocolError:
        assert not reader.buffered


def test_a_packet_beyond_the_limit_is_refused_before_its_body_comes() -> None:
    reader = PacketReader(127)
    reader.feed(b"\x30\x80")
    assert reader.take() is None
    reader.feed(b"\x01")
    with pytest.raises(ProtocolError, match="128 bytes"):
        reader.take()


def test_a_large_packet_may_come_byte_by_byte() -> None:
    packet = Publish("a", b"x" * 100_000)
    reader = PacketReader(200_000)
    for byte in encode(packet)[:-1]:
        reader.feed(bytes((byte,)))
    assert reader.take() is None
    reader.feed(b"x")
    assert reader.take() == packet


def test_a_password_prints_as_stars() -> None:
    assert "token" not in repr(Connect(client_id="c", user_name="u", password=Secret("token")))


# Examples of 4.7.1 and 4.7.2, literally.
@pytest.mark.parametrize(
    ("text", "name", "matched"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/tennis/player1/#", "sport/tennis/player10", False),
        ("sport/#", "sport", True),
        ("#", "sport/tennis", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("+/tennis/#", "sport/tennis", True),
        ("+/tennis/#", "sport/tennis/player1", True),
        ("+/tennis/#", "sport/golf", False),
        ("+/a/#", "sport", False),
        ("#", "$SYS/a", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/monitor", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("ACCOUNTS", "Accounts", False),
        ("/finance", "finance", False),
        ("a/b", "a/b", True),
    ],
)
def test_a_filter_matches_as_the_standard_says(text: str, name: str, matched: bool) -> None:
    assert matches(text, name) is matched


@pytest.mark.parametrize(
    "packet",
    [
        Publish("a", b"", 3, 1),
        Publish("a", b"", 1, 0),
        Puback(65_536),
        Publish("a\0b"),
        Publish("a" * 65_536),
        Connect(client_id="c", password=Secret("p")),
    ],
)
def test_a_packet_that_has_no_bytes_is_a_value_error(packet: Packet) -> None:
    with pytest.raises(ValueError):
        encode(packet)
