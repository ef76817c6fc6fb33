"""Owns a device that says on every wire what a test makes it say, right or wrong, and hands on what it was told.
It must not know what the answer should be, nor use the code under test.

    "assigned"                    the status of an answer, also "disabled", "unassigned"
    "401002 Unauthorized"         an error with the catalogue's JSON, in whichever form the wire has
    "CONNACK 5", "SASL 1"         refused before anything could be asked
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import quote

import amqp_frames as amqp
from amqp_frames import Described, Frame, Symbol, Ulong
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.sync.client import connect

from idscope.testing.certificates import CertificateMaker
from idscope.testing.server import Ready

SECONDS = 10.0
VERSION = "2019-03-31"

Document = dict[str, Any]
WireName = Literal["Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs"]
WIRES: tuple[WireName, ...] = ("Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs")


class Answer(NamedTuple):
    told: str
    document: Document


@dataclass(frozen=True)
class Shown:
    """What a device shows of itself: a token, or a leaf and what is sent after it, or both."""

    token: str | None = None
    chain: tuple[CertificateMaker, ...] = ()
    key_pem: bytes | None = None  # another one than the leaf's own


class Told(Exception):
    """Refused before anything was asked."""

    @property
    def answer(self) -> Answer:
        return Answer(str(self), {})


def answered(content: bytes | str) -> Answer:
    """The JSON of an answer or an error."""
    document = json.loads(content)
    if "errorCode" in document and "status" not in document:
        return Answer(f"{document['errorCode']} {document['message']}", document)
    return Answer(document["status"], document)


class Visitor:
    """Goes to the server of `ready` on a new connection each time; files that TLS needs stand in `directory`."""

    def __init__(self, ready: Ready, directory: Path) -> None:
        self.ready = ready
        self._directory = directory

    def register(
        self,
        wire: WireName,
        registration_id: str,
        shown: Shown,
        *,
        id_scope: str | None = None,
        body: Document | None = None,
    ) -> Answer:
        """Ask to be registered; `body` where it is not the ordinary one."""
        content = {"registrationId": registration_id} if body is None else body
        return self._visit(wire, registration_id, shown, id_scope, "register", content)

    def poll(self, wire: WireName, registration_id: str, shown: Shown, operation_id: str) -> Answer:
        """Ask for an operation."""
        return self._visit(wire, registration_id, shown, None, "poll", operation_id)

    def look_up(self, wire: WireName, registration_id: str, shown: Shown) -> Answer:
        """Ask for the registration; MQTT has no word for it."""
        return self._visit(wire, registration_id, shown, None, "look up", {"registrationId": registration_id})

    def _visit(
        self, wire: WireName, registration_id: str, shown: Shown, id_scope: str | None, what: str, content: Any
    ) -> Answer:
        asked = _Asked(id_scope or self.ready.id_scope, registration_id, shown.token, what, content)
        ask = {"Http": _over_https, "Mqtt": _over_mqtt, "Amqp": _over_amqp}[wire.removesuffix("Ws")]
        try:
            return ask(lambda: self.stream(wire, shown), asked, self.ready)
        except Told as told:
            return told.answer

    def stream(self, wire: WireName, shown: Shown) -> Stream:
        """A connection, in a WebSocket where the wire is one."""
        context = self.context(shown)
        if wire.endswith("Ws"):
            return _WebSocket(context, self.ready, "mqtt" if wire == "MqttWs" else "AMQPWSB10")
        port = {"Http": "https_port", "Mqtt": "mqtt_port", "Amqp": "amqp_port"}[wire]
        return _Tls(context, self.ready.host_name, int(self.ready.document[port]))

    def context(self, shown: Shown) -> ssl.SSLContext:
        """TLS with what is shown of a certificate."""
        context = ssl.create_default_context(cafile=str(self.ready.ca_file))
        if shown.chain:
            context.load_cert_chain(*self._files(shown))
        return context

    def _files(self, shown: Shown) -> tuple[Path, Path]:
        certificates, key = self._directory / "shown.pem", self._directory / "shown.key"
        pems = [one.certificate.public_bytes(Encoding.PEM) for one in shown.chain]
        own_key = shown.chain[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        certificates.write_bytes(b"".join(pems))
        key.write_bytes(shown.key_pem or own_key)
        return certificates, key


class _Asked(NamedTuple):
    """`content`: a document, or the id of the operation that is polled."""

    id_scope: str
    registration_id: str
    token: str | None
    what: str
    content: Any

    @property
    def identity(self) -> str:
        return f"{self.id_scope}/registrations/{self.registration_id}"

    @property
    def body(self) -> bytes:
        return b"" if self.what == "poll" else json.dumps(self.content).encode()


# Bytes to the server and back


class Stream(Protocol):
    """`receive` gives what came, nothing once the server has ended."""

    def send(self, data: bytes) -> None: ...
    def receive(self) -> bytes: ...
    def close(self) -> None: ...


class _Tls:
    def __init__(self, context: ssl.SSLContext, host: str, port: int) -> None:
        raw = socket.create_connection((host, port), timeout=SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket = context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes:
        return self.socket.recv(65_536)

    def close(self) -> None:
        self.socket.close()


class _WebSocket:
    def __init__(self, context: ssl.SSLContext, ready: Ready, protocol: Any) -> None:
        url = f"wss://{ready.host_name}:{ready.https_port}/$iothub/websocket"
        options = {"subprotocols": [protocol], "compression": None, "proxy": None, "open_timeout": SECONDS}
        options["close_timeout"] = 0  # nothing more is wanted of it
        self._stack = ExitStack()
        try:
            self._connection = self._stack.enter_context(connect(url, ssl=context, **options))
        except (ConnectionClosed, InvalidMessage) as error:
            raise EOFError("the server ended the connection") from error

    def send(self, data: bytes) -> None:
        self._connection.send(data)

    def receive(self) -> bytes:
        try:
            received = self._connection.recv(SECONDS)
        except ConnectionClosed:
            return b""
        assert isinstance(received, bytes)
        return received

    def close(self) -> None:
        self._stack.close()


class _Reader:
    """Whole words out of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._received = b""

    def take(self, count: int) -> bytes:
        """Raises EOFError where the server ends before."""
        while len(self._received) < count:
            part = self._stream.receive()
            if not part:
                raise EOFError("the server ended the connection")
            self._received += part
        taken, self._received = self._received[:count], self._received[count:]
        return taken


Open = Callable[[], Stream]

# HTTPS


def _over_https(open_stream: Open, asked: _Asked, ready: Ready) -> Answer:
    path = f"/{asked.id_scope}/registrations/{quote(asked.registration_id, safe='')}"
    method, rest = {
        "register": ("PUT", "/register"),
        "poll": ("GET", f"/operations/{asked.content}"),
        "look up": ("POST", ""),
    }[asked.what]
    lines = [f"{method} {path}{rest}?api-version={VERSION} HTTP/1.1", f"Host: {ready.host_name}", "Connection: close"]
    lines += [] if asked.token is None else [f"Authorization: {asked.token}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(asked.body)}", "", ""]
    stream = open_stream()
    assert isinstance(stream, _Tls)
    try:
        stream.send("\r\n".join(lines).encode() + asked.body)
        response = http.client.HTTPResponse(stream.socket, method=method)
        response.begin()
        answer = answered(response.read())
        assert "errorCode" not in answer.document or response.status == answer.document["errorCode"] // 1000
        return answer
    finally:
        stream.close()


# MQTT

_TOPICS = {
    "register": "$dps/registrations/PUT/iotdps-register/?$rid=1",
    "poll": "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=",
}


def _over_mqtt(open_stream: Open, asked: _Asked, _: Ready) -> Answer:
    stream = open_stream()
    try:
        user_name = f"{asked.identity}/api-version={VERSION}"
        packets = mqtt_session(stream, asked.registration_id, user_name, asked.token)
        stream.send(_packet(0x82, b"\0\1" + _text("$dps/registrations/res/#") + b"\1"))
        assert next(packets)[0] == 0x90
        topic = _TOPICS[asked.what] + (asked.content if asked.what == "poll" else "")
        stream.send(_packet(0x32, _text(topic) + b"\0\2" + asked.body))
        kind, body = next(packets)
        if kind == 0x40:  # the publish is acknowledged before it is answered
            kind, body = next(packets)
        assert kind & 0xF0 == 0x30
        size = int.from_bytes(body[:2], "big")
        answer = answered(body[2 + size + (2 if kind & 0x06 else 0) :])
        status = int(body[2 : 2 + size].split(b"/")[3])
        assert "errorCode" not in answer.document or status == answer.document["errorCode"] // 1000
        return answer
    finally:
        stream.close()


def mqtt_session(stream: Stream, client_id: str, user_name: str, password: str | None) -> Iterator[tuple[int, bytes]]:
    """CONNECT; the packets that follow, as first byte and body. Raises Told where it is refused."""
    fields = [client_id, user_name, *([] if password is None else [password])]
    flags = 0x82 if password is None else 0xC2
    stream.send(_packet(0x10, b"\0\4MQTT\4" + bytes((flags, 0, 0)) + b"".join(map(_text, fields))))
    packets = _packets(_Reader(stream))
    kind, body = next(packets)
    assert kind == 0x20
    if body[1]:
        raise Told(f"CONNACK {body[1]}")
    return packets


def _packets(reader: _Reader) -> Iterator[tuple[int, bytes]]:
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


# AMQP

_WORDS = {"register": "iotdps-register", "poll": "iotdps-get-operationstatus", "look up": "iotdps-get-registration"}


def _over_amqp(open_stream: Open, asked: _Asked, ready: Ready) -> Answer:
    """With a token through SASL, otherwise without, as Node's SDK does."""
    stream = open_stream()
    try:
        frames = _frames(_Reader(stream))
        if asked.token is not None:
            _log_in(stream, frames, asked)
        stream.send(amqp.AMQP + amqp.frame(amqp.OPEN, "a device", ready.host_name))
        stream.send(amqp.frame(amqp.BEGIN, None, 0, 100, 100))
        stream.send(_link(0, asked.identity, receives=True) + _link(1, asked.identity, receives=False))
        stream.send(amqp.frame(amqp.FLOW, 0, 100, 0, 100, 0, 0, 100))
        answers = (answer for frame in frames if (answer := _answer_in(frame)) is not None)
        first = next(answers)
        if first is not CREDIT:
            return first
        stream.send(amqp.frame(amqp.TRANSFER, 1, 0, b"0", 0, False, False, payload=_request(asked)))
        return next(answer for answer in answers if answer is not CREDIT)
    finally:
        stream.close()


def _request(asked: _Asked) -> bytes:
    properties = {"iotdps-operation-type": _WORDS[asked.what]}
    if asked.what == "poll":
        properties["iotdps-operation-id"] = asked.content
    return amqp.message({amqp.APPLICATION_PROPERTIES: properties, amqp.DATA: asked.body})


def _log_in(stream: Stream, frames: Iterator[Frame], asked: _Asked) -> None:
    login = f"\0{asked.identity}\0{asked.token}".encode()
    stream.send(amqp.SASL + amqp.frame(amqp.INIT, Symbol("PLAIN"), login, kind=1))
    outcome = next(frame for frame in frames if frame.performative == amqp.OUTCOME)
    if outcome.field(0):
        raise Told(f"SASL {outcome.field(0)}")


def _link(handle: int, address: str, *, receives: bool) -> bytes:
    near, far = ([address], []) if receives else ([], [address])
    ends = Described(Ulong(amqp.SOURCE), near), Described(Ulong(amqp.TARGET), far)
    properties = {Symbol("com.microsoft:api-version"): VERSION}
    count = None if receives else 0
    fields = [f"link {handle}", handle, receives, None, None, *ends, None, None, count, None, None, None, properties]
    return amqp.frame(amqp.ATTACH, *fields)


CREDIT = Answer("go on", {})


def _answer_in(frame: Frame) -> Answer | None:
    """Told in the OPEN, at a link, of the request, by a message, or at the end; CREDIT where a request may be sent."""
    match frame.performative:
        case amqp.FLOW:
            return None if frame.field(4) is None else CREDIT
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


def _frames(reader: _Reader) -> Iterator[Frame]:
    while True:
        start = reader.take(4)
        if start == b"AMQP":
            reader.take(4)
            continue
        whole = start + reader.take(int.from_bytes(start, "big") - 4)
        (frame,) = amqp.split(whole)
        assert isinstance(frame, Frame)
        yield frame


# Credentials that are made by hand


def stolen_key(victim: CertificateMaker, thief: CertificateMaker) -> bytes:
    """A private key file that says to be the victim's, with the victim's public key in it, and signs as the thief."""
    own = thief.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = [_point(one) for one in (thief, victim)]
    assert own.endswith(public[0])
    content = base64.encodebytes(own.removesuffix(public[0]) + public[1])
    return b"-----BEGIN EC PRIVATE KEY-----\n" + content + b"-----END EC PRIVATE KEY-----\n"


def _point(maker: CertificateMaker) -> bytes:
    return maker.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
