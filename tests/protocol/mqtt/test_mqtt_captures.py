"""What Microsoft's device SDKs sent over MQTT, on port 8883 and inside WebSockets, through the session: every packet,
however the stream is cut."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from captured import Capture, load_captures

from idscope.protocols.mqtt import Closed, Connect, Delivered, Event, Publish, Session, Subscribe, Unsubscribe

CAPTURES = [one for one in load_captures("Mqtt", "MqttWs") if one.sent]

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
    assert [event.orderly for event in closed] == ([True] if capture.row.ends == "disconnect" else [])


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_the_connect_is_as_the_facts_say(capture: Capture) -> None:
    row = capture.row
    connect = events(capture.sent)[0]
    assert isinstance(connect, Connect)
    named = USER_NAMES["hub" if row.verdict == "hub" else "provisioning"].match(connect.user_name or "")
    assert named is not None
    assert connect.client_id == named[1]
    assert connect.will is None
    assert (connect.password is None) == (row.proof == "x509")
    assert bool(capture.chain) == (row.proof == "x509")
