"""What Microsoft's device SDKs sent on port 8883, through the session: every packet, however the stream is cut."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from mqtt_captures import Capture, load_captures, load_table

from idscope.protocols.mqtt import Closed, Connect, Delivered, Event, Publish, Session, Subscribe, Unsubscribe

CAPTURES = load_captures()
TABLE = load_table()

# device-protocols.md, B.1 and G: the two grammars of a user name.
USER_NAMES = {
    "provisioning": re.compile(
        r"0ne00ABCDEF/registrations/([^/]+)/api-version=(\d{4}-\d\d-\d\d)&ClientVersion=[^&/]+\Z"
    ),
    "hub": re.compile(r"hub\.local\.test/([^/]+)/\?api-version=(\d{4}-\d\d-\d\d)&DeviceClientType=[^&/]+\Z"),
}


def halves(stream: bytes) -> list[bytes]:
    return [stream[: len(stream) // 2], stream[len(stream) // 2 :]]


def events(pieces: Iterable[bytes]) -> list[Event]:
    session = Session(0.0)
    found = []
    for piece in pieces:
        session.receive(piece, 0.0)
        while (event := session.next_event(0.0)) is not None:
            found.append(event)
            match event:
                case Connect():
                    session.accept()
                case Subscribe():
                    session.grant(event, [True] * len(event.filters))
                case Publish():
                    session.acknowledge(event)
    assert not session.buffered
    return found


def test_every_capture_has_its_row() -> None:
    assert {capture.name for capture in CAPTURES} == set(TABLE)
    assert len(CAPTURES) == 75


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_every_packet_is_read_wherever_the_stream_is_cut(capture: Capture) -> None:
    found = events(capture.sent)
    assert events([capture.stream]) == found
    assert events(bytes((byte,)) for byte in capture.stream) == found
    assert events(halves(capture.stream)) == found
    kinds = [type(event) for event in found if not isinstance(event, Delivered)]
    assert kinds[0] is Connect
    assert set(kinds[1:]) <= {Subscribe, Publish, Unsubscribe, Closed}
    closed = [event for event in found if isinstance(event, Closed)]
    assert [event.orderly for event in closed] == ([True] if TABLE[capture.name]["ends"] == "disconnect" else [])


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_the_connect_is_as_the_facts_say(capture: Capture) -> None:
    row = TABLE[capture.name]
    connect = events(capture.sent)[0]
    assert isinstance(connect, Connect)
    named = USER_NAMES[row["service"]].match(connect.user_name or "")
    assert named is not None
    assert connect.client_id == named[1]
    assert connect.will is None
    assert (connect.password is None) == (row["proof"] == "x509")
    assert bool(capture.chain) == (row["proof"] == "x509")
