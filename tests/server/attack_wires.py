"""Owns a device that says on every wire what a test makes it say, right or wrong, and hands on what it was told.
It must not know what the answer should be, nor use the code under test."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from attack_amqp import AmqpConversation
from attack_mqtt import MqttConversation
from attack_streams import (
    VERSION,
    Answer,
    Conversation,
    Document,
    Question,
    Stream,
    TlsStream,
    Told,
    WebSocketStream,
    Who,
    answered,
    body_of,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from idscope.testing.certificates import CertificateMaker
from idscope.testing.server import Ready

WireName = Literal["Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs"]
WIRES: tuple[WireName, ...] = ("Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs")


@dataclass(frozen=True)
class Shown:
    """What a device shows of itself: a token, or a leaf and what is sent after it, or both."""

    token: str | None = None
    chain: tuple[CertificateMaker, ...] = ()
    key_pem: bytes | None = None  # another one than the leaf's own


class Visitor:
    """Goes to the server of `ready`; files that TLS needs stand in `directory`."""

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
        """Ask to be registered on a new connection; `body` where it is not the ordinary one."""
        content = {"registrationId": registration_id} if body is None else body
        return self._ask_once(wire, registration_id, shown, "register", content, id_scope)

    def poll(self, wire: WireName, registration_id: str, shown: Shown, operation_id: str) -> Answer:
        """Ask for an operation on a new connection."""
        return self._ask_once(wire, registration_id, shown, "poll", operation_id)

    def look_up(self, wire: WireName, registration_id: str, shown: Shown) -> Answer:
        """Ask for the registration on a new connection; MQTT has no word for it."""
        return self._ask_once(wire, registration_id, shown, "look up", {"registrationId": registration_id})

    def _ask_once(
        self,
        wire: WireName,
        registration_id: str,
        shown: Shown,
        question: Question,
        content: Any,
        id_scope: str | None = None,
    ) -> Answer:
        try:
            with self.conversation(wire, registration_id, shown, id_scope) as conversation:
                return conversation.ask(question, content)
        except Told as told:
            return told.answer

    @contextmanager
    def conversation(
        self, wire: WireName, registration_id: str, shown: Shown, id_scope: str | None = None
    ) -> Iterator[Conversation]:
        """A connection that lives on. Raises Told where nothing can be asked on it."""
        who = Who(id_scope or self.ready.id_scope, registration_id, shown.token)
        stream = self.stream(wire, shown)
        try:
            match wire:
                case "Http":
                    yield _HttpsConversation(stream, who, self.ready.host_name)
                case "Mqtt" | "MqttWs":
                    yield MqttConversation(stream, who)
                case "Amqp" | "AmqpWs":
                    yield AmqpConversation(stream, who, self.ready.host_name)
        finally:
            stream.close()

    def stream(self, wire: WireName, shown: Shown) -> Stream:
        """A connection, in a WebSocket where the wire is one."""
        context = self.context(shown)
        if wire.endswith("Ws"):
            return WebSocketStream(context, self.ready, "mqtt" if wire == "MqttWs" else "AMQPWSB10")
        port = {"Http": "https_port", "Mqtt": "mqtt_port", "Amqp": "amqp_port"}[wire]
        return TlsStream(context, self.ready.host_name, int(self.ready.document[port]))

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


class _HttpsConversation:
    def __init__(self, stream: Stream, who: Who, host: str) -> None:
        assert isinstance(stream, TlsStream)
        self._stream = stream
        self._who = who
        self._host = host

    def ask(self, question: Question, content: Any) -> Answer:
        path = f"/{self._who.id_scope}/registrations/{quote(self._who.registration_id, safe='')}"
        method, rest = {
            "register": ("PUT", "/register"),
            "poll": ("GET", f"/operations/{content}"),
            "look up": ("POST", ""),
        }[question]
        body = body_of(question, content)
        lines = [f"{method} {path}{rest}?api-version={VERSION} HTTP/1.1", f"Host: {self._host}"]
        lines += [] if self._who.token is None else [f"Authorization: {self._who.token}"]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        self._stream.send("\r\n".join(lines).encode() + body)
        response = http.client.HTTPResponse(self._stream.socket, method=method)
        response.begin()
        answer = answered(response.read())
        assert "errorCode" not in answer.document or response.status == answer.document["errorCode"] // 1000
        return answer


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
