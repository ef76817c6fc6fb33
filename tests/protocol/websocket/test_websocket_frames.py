"""The reader of frames against RFC 6455 and beside the `websockets` library, which reads the same streams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websocket_wire import client_frame, deframe
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from idscope.protocols.websocket.frames import FrameReader, close_frame, frame

FRAME_BYTES, MESSAGE_BYTES = 300, 500


def read(*pieces: bytes) -> tuple[bytes, list[bytes], int | None]:
    """The payload, the answered pings, the code of the ending."""
    reader = FrameReader(frame_bytes=FRAME_BYTES, message_bytes=MESSAGE_BYTES)
    payload, pings, code = b"", [], None
    for piece in pieces:
        received = reader.feed(piece)
        if code is not None:
            assert not received.payload
            assert received.ping is None
            assert received.ending is None
            continue
        payload += received.payload
        if received.ping is not None:
            pings.append(received.ping)
        if received.ending is not None:
            code = received.ending.code
    return payload, pings, code


def one_by_one(stream: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in stream]


def test_examples_of_the_rfc() -> None:
    """RFC 6455, 5.7, with binary in place of text."""
    assert read(bytes.fromhex("828537fa213d7f9f4d5158")) == (b"Hello", [], None)
    assert read(bytes.fromhex("898537fa213d7f9f4d5158")) == (b"", [b"Hello"], None)
    assert frame(0xA, b"Hello") == bytes.fromhex("8a0548656c6c6f")
    assert frame(2, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(2, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 255, 256, FRAME_BYTES])
def test_a_frame_of_each_size_comes_through_however_it_is_cut(size: int) -> None:
    payload = bytes(at % 251 for at in range(size))
    stream = client_frame(payload) + client_frame(b"end")
    assert read(stream) == (payload + b"end", [], None)
    assert read(*one_by_one(stream)) == (payload + b"end", [], None)


def test_payload_is_handed_on_before_its_frame_is_whole() -> None:
    reader = FrameReader(frame_bytes=1 << 20, message_bytes=1 << 20)
    stream = client_frame(bytes(1 << 20))
    assert len(reader.feed(stream[:1000]).payload) == 1000 - 14
    assert len(reader.feed(stream[1000:5000]).payload) == 4000


def test_fragments_and_control_frames_between_them() -> None:
    stream = (
        client_frame(b"a", final=False)
        + client_frame(b"ping", 9)
        + client_frame(b"b", 0, final=False)
        + client_frame(b"", 10)
        + client_frame(b"c", 0)
        + client_frame(b"d")
    )
    assert read(stream) == (b"abcd", [b"ping"], None)
    assert read(*one_by_one(stream)) == (b"abcd", [b"ping"], None)


def test_of_many_pings_at_once_the_last_is_answered() -> None:
    assert read(b"".join(client_frame(b"%d" % at, 9) for at in range(100))) == (b"", [b"99"], None)


CASES = {
    "not masked": (client_frame(b"a", mask=None), 1002),
    "reserved bit 1, as for compression": (client_frame(b"a", reserved=4), 1002),
    "reserved bit 3": (client_frame(b"a", reserved=1), 1002),
    "unknown opcode": (client_frame(b"a", 3), 1002),
    "unknown control opcode": (client_frame(b"a", 11), 1002),
    "text": (client_frame(b"a", 1), 1003),
    "continuation of nothing": (client_frame(b"a", 0), 1002),
    "message within a message": (client_frame(b"", final=False) + client_frame(b""), 1002),
    "long ping": (client_frame(bytes(126), 9), 1002),
    "fragmented ping": (client_frame(b"", 9, final=False), 1002),
    "frame too large": (client_frame(bytes(FRAME_BYTES + 1)), 1009),
    "frame of 2^63 bytes": (b"\x82\xff\x80" + bytes(7), 1009),
    "message too large": (client_frame(bytes(300), final=False) + client_frame(bytes(201), 0), 1009),
    "close without code": (client_frame(b"", 8), 1005),
    "close": (client_frame(b"\x03\xe8bye", 8), 1000),
    "close of an application": (client_frame(b"\x0f\xa0", 8), 4000),
    "close of one byte": (client_frame(b"\x03", 8), 1002),
    "close with a code that is never sent": (client_frame(b"\x03\xed", 8), 1002),
    "close with a code below 1000": (client_frame(b"\x03\xe7", 8), 1002),
    "close whose reason is not UTF-8": (client_frame(b"\x03\xe8\xff", 8), 1007),
}


@pytest.mark.parametrize("name", CASES)
def test_endings(name: str) -> None:
    stream, code = CASES[name]
    before = client_frame(b"before")
    if "message" not in name:
        assert read(before + stream + b"after") == (b"before", [], code)
        assert read(*one_by_one(before + stream + b"after")) == (b"before", [], code)
    assert read(stream)[2] == read(*one_by_one(stream))[2] == code


def test_a_large_frame_is_refused_by_its_head() -> None:
    assert read(client_frame(bytes(FRAME_BYTES + 1))[:4])[2] == 1009


def test_what_is_sent_is_what_others_read() -> None:
    for size in (0, 125, 126, 65535, 65536):
        assert deframe(frame(2, bytes(size))) == [(2, True, bytes(size))]
    assert deframe(close_frame(1009, "too large")) == [(8, True, b"\x03\xf1too large")]
    assert deframe(close_frame(1005)) == [(8, True, b"")]


# Beside another implementation

FRAMES = st.builds(
    client_frame,
    st.binary(max_size=20) | st.integers(0, 320).map(bytes) | st.sampled_from([b"\x03\xe8", b"\x03\xe8\xff"]),
    st.sampled_from([2, 2, 2, 0, 0, 9, 10, 8, 3]),
    final=st.sampled_from([True, True, False]),
    mask=st.binary(min_size=4, max_size=4) | st.sampled_from([b"\0\0\0\0"]),
    reserved=st.sampled_from([0] * 20 + [1, 4]),
)


@given(st.lists(FRAMES | st.binary(max_size=4), max_size=12).map(b"".join), st.lists(st.integers(1, 40), max_size=30))
def test_any_stream_reads_as_the_websockets_library_reads_it(stream: bytes, cuts: list[int]) -> None:
    pieces = []
    rest = stream
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    payload, _, code = read(*pieces, rest)
    assert read(stream)[::2] == (payload, code)
    assert len(payload) <= len(stream)
    theirs, their_code = by_websockets(stream)
    if code == 1003:
        return  # text is no error to a library
    if code == their_code:
        # We hand on what stands of a frame that never ends, or that breaks off.
        assert payload.startswith(theirs)
        assert code is not None or len(payload) - len(theirs) <= FRAME_BYTES
    else:
        # Ours sees the order of fragments by the head, theirs after the payload and the size.
        assert (code, their_code) in ((1002, None), (1002, 1009), (1009, 1002))


def by_websockets(stream: bytes) -> tuple[bytes, int | None]:
    other = Protocol(Side.SERVER, max_size=(MESSAGE_BYTES, FRAME_BYTES))
    other.receive_data(stream)
    frames = [one for one in other.events_received() if isinstance(one, Frame)]
    data = [bytes(one.data) for one in frames if one.opcode in (Opcode.BINARY, Opcode.CONT)]
    return b"".join(data), None if other.close_sent is None else int(other.close_sent.code)
