"""Owns what a device says over AMQP to the provisioning service, frame by frame. It must not know what the answer
should be, nor use the code under test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import amqp_frames as amqp
from amqp_frames import Described, Frame, Symbol, Ulong
from attack_streams import VERSION, Answer, Question, Reader, Stream, Told, Who, answered, body_of

_WORDS = {"register": "iotdps-register", "poll": "iotdps-get-operationstatus", "look up": "iotdps-get-registration"}
_GO_ON = Answer("go on", {})


class AmqpConversation:
    """With a token through SASL, otherwise without, as Node's SDK does; raises Told where SASL refuses."""

    def __init__(self, stream: Stream, who: Who, host: str) -> None:
        self._stream = stream
        self._asked = 0
        self._frames = _frames(Reader(stream))
        if who.token is not None:
            self._log_in(f"\0{who.identity}\0{who.token}".encode())
        stream.send(amqp.AMQP + amqp.frame(amqp.OPEN, "a device", host) + amqp.frame(amqp.BEGIN, None, 0, 100, 100))
        stream.send(_link(0, who.identity, receives=True) + _link(1, who.identity, receives=False))
        stream.send(amqp.frame(amqp.FLOW, 0, 100, 0, 100, 0, 0, 100))
        self._answers = (answer for frame in self._frames if (answer := _answer_in(frame)) is not None)
        self._first = next(self._answers)

    def ask(self, question: Question, content: Any) -> Answer:
        """Raises EOFError where the server has ended the connection."""
        if self._first is not _GO_ON:
            return self._first
        tag, delivery = b"%d" % self._asked, self._asked
        self._asked += 1
        message = _request(question, content)
        self._stream.send(amqp.frame(amqp.TRANSFER, 1, delivery, tag, 0, False, False, payload=message))
        return next(answer for answer in self._answers if answer is not _GO_ON)

    def _log_in(self, login: bytes) -> None:
        self._stream.send(amqp.SASL + amqp.frame(amqp.INIT, Symbol("PLAIN"), login, kind=1))
        outcome = next(frame for frame in self._frames if frame.performative == amqp.OUTCOME)
        if outcome.field(0):
            raise Told(f"SASL {outcome.field(0)}")


def _request(question: Question, content: Any) -> bytes:
    properties = {"iotdps-operation-type": _WORDS[question]}
    if question == "poll":
        properties["iotdps-operation-id"] = content
    return amqp.message({amqp.APPLICATION_PROPERTIES: properties, amqp.DATA: body_of(question, content)})


def _link(handle: int, address: str, *, receives: bool) -> bytes:
    near, far = ([address], []) if receives else ([], [address])
    ends = Described(Ulong(amqp.SOURCE), near), Described(Ulong(amqp.TARGET), far)
    properties = {Symbol("com.microsoft:api-version"): VERSION}
    count = None if receives else 0
    fields = [f"link {handle}", handle, receives, None, None, *ends, None, None, count, None, None, None, properties]
    return amqp.frame(amqp.ATTACH, *fields)


def _answer_in(frame: Frame) -> Answer | None:
    """Told in the OPEN, at a link, of the request, by a message, or at the end; _GO_ON where a request may be sent."""
    match frame.performative:
        case amqp.FLOW:
            return None if frame.field(4) is None else _GO_ON
        case amqp.OPEN:
            properties: Mapping[str, Any] = frame.field(9) or {}
            return _error(properties.get("com.microsoft:open-error"))
        case amqp.DETACH:
            return _error(frame.field(2))
        case amqp.DISPOSITION:
            state = frame.field(4)
            return _error(state.value[0]) if state and int(state.descriptor) == amqp.REJECTED else None
        case amqp.TRANSFER:
            sections = {int(one.descriptor): one.value for one in amqp.decode_all(frame.payload)}
            return answered(sections[amqp.DATA])
        case amqp.CLOSE:
            return _error(frame.field(0)) or Answer("closed", {})
    return None


def _error(error: Described | None) -> Answer | None:
    return None if error is None else answered(error.value[1])


def _frames(reader: Reader) -> Iterator[Frame]:
    while True:
        start = reader.take(4)
        if start == b"AMQP":
            reader.take(4)
            continue
        whole = start + reader.take(int.from_bytes(start, "big") - 4)
        (frame,) = amqp.split(whole)
        assert isinstance(frame, Frame)
        yield frame
