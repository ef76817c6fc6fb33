"""Owns what a device says over MQTT to the provisioning service, written from the standard. It must not know what the
answer should be, nor use the code under test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attack_streams import VERSION, Answer, Question, Reader, Stream, Told, Who, answered, body_of

_TOPICS = {
    "register": "$dps/registrations/PUT/iotdps-register/?$rid=",
    "poll": "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=",
}


class MqttConversation:
    """Connected and subscribed; raises Told where the CONNECT is refused."""

    def __init__(self, stream: Stream, who: Who) -> None:
        self._stream = stream
        self._asked = 0
        user_name = f"{who.identity}/api-version={VERSION}"
        self._packets = mqtt_session(stream, who.registration_id, user_name, who.token)
        stream.send(_packet(0x82, b"\0\1" + _text("$dps/registrations/res/#") + b"\1"))
        assert next(self._packets)[0] == 0x90

    def ask(self, question: Question, content: Any) -> Answer:
        self._asked += 1
        topic = f"{_TOPICS[question]}{self._asked}" + (f"&operationId={content}" if question == "poll" else "")
        packet_id = (self._asked + 1).to_bytes(2, "big")
        self._stream.send(_packet(0x32, _text(topic) + packet_id + body_of(question, content)))
        assert next(self._packets) == (0x40, packet_id)  # acknowledged before it is answered
        kind, body = next(self._packets)
        assert kind & 0xF6 == 0x32
        size = int.from_bytes(body[:2], "big")
        topic_told, answer = body[2 : 2 + size], answered(body[4 + size :])
        self._stream.send(_packet(0x40, body[2 + size : 4 + size]))
        status = int(topic_told.split(b"/")[3])
        assert "errorCode" not in answer.document or status == answer.document["errorCode"] // 1000
        assert f"$rid={self._asked}".encode() in topic_told
        return answer


def mqtt_session(stream: Stream, client_id: str, user_name: str, password: str | None) -> Iterator[tuple[int, bytes]]:
    """CONNECT; the packets that follow, as first byte and body. Raises Told where it is refused."""
    fields = [client_id, user_name, *([] if password is None else [password])]
    flags = 0x82 if password is None else 0xC2
    stream.send(_packet(0x10, b"\0\4MQTT\4" + bytes((flags, 0, 0)) + b"".join(map(_text, fields))))
    packets = _packets(Reader(stream))
    kind, body = next(packets)
    assert kind == 0x20
    if body[1]:
        raise Told(f"CONNACK {body[1]}")
    return packets


def _packets(reader: Reader) -> Iterator[tuple[int, bytes]]:
    while True:
        kind, size, shift = reader.take(1)[0], 0, 0
        while True:
            byte = reader.take(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield kind, reader.take(size)


def _packet(kind: int, body: bytes) -> bytes:
    size, rest = b"", len(body)
    while rest > 0x7F:
        size, rest = size + bytes((rest & 0x7F | 0x80,)), rest >> 7
    return bytes((kind,)) + size + bytes((rest,)) + body


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()
