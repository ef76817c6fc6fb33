"""Owns bytes to the server and back, in TLS or in a WebSocket, and what an answer is on every wire. It must not know
what is said.

    "assigned"                    the status of an answer, also "disabled", "unassigned"
    "401002 Unauthorized"         an error with the catalogue's JSON, in whichever form the wire has
    "CONNACK 5", "SASL 1"         refused before anything could be asked
"""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple, Protocol

from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.sync.client import connect

from idscope.testing.server import Ready

SECONDS = 10.0
VERSION = "2019-03-31"

Document = dict[str, Any]
Question = Literal["register", "poll", "look up"]


class Answer(NamedTuple):
    told: str
    document: Document


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


class Who(NamedTuple):
    """For whom a device speaks, and with which token."""

    id_scope: str
    registration_id: str
    token: str | None

    @property
    def identity(self) -> str:
        return f"{self.id_scope}/registrations/{self.registration_id}"


class Conversation(Protocol):
    """A connection on which a device was let in. `content` is a document, or the id of the operation to be polled."""

    def ask(self, question: Question, content: Any) -> Answer: ...


def body_of(question: Question, content: Any) -> bytes:
    return b"" if question == "poll" else json.dumps(content).encode()


class Stream(Protocol):
    """`receive` gives what came, nothing once the server has ended."""

    def send(self, data: bytes) -> None: ...
    def receive(self) -> bytes: ...
    def close(self) -> None: ...


class TlsStream:
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


class WebSocketStream:
    def __init__(self, context: ssl.SSLContext, ready: Ready, protocol: Any) -> None:
        url = f"wss://{ready.host_name}:{ready.https_port}/$iothub/websocket"
        options: dict[str, Any] = {"subprotocols": [protocol], "compression": None, "proxy": None}
        options["open_timeout"] = SECONDS
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


class Reader:
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
