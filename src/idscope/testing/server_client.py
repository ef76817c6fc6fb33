"""Owns a plain HTTPS client of one running server, with the owner's tokens of its APIs and those of devices.
It must not know any SDK, nor hide an answer: every status comes back as it was sent."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

from idscope.testing.application import Response, sas_token
from idscope.testing.server import Ready

SERVICE_VERSION: Final = "2021-10-01"
HUB_VERSION: Final = "2021-04-12"
DEVICE_VERSION: Final = "2021-06-01"

_LIFETIME: Final = 3600


class ServerClient:
    """One connection at a time, kept open between requests; for one thread.

    `clock_shift` in seconds is that of a server started with `--test-clock`.
    """

    def __init__(self, ready: Ready, *, seconds: float = 30.0, clock_shift: int = 0) -> None:
        self.ready = ready
        self._context = ssl.create_default_context(cafile=str(ready.ca_file))
        self._seconds = seconds
        self._clock_shift = clock_shift
        self._connection = self._new_connection(ready.host_name, ready.https_port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        authorization: str | None = None,
    ) -> Response:
        """One request of the public port; a body that is not bytes is sent as JSON. Raises OSError, HTTPException."""
        self.send(method, target, body, headers, authorization=authorization)
        return self.receive()

    def send(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        authorization: str | None = None,
    ) -> None:
        """The first half of `request`."""
        _send(self._connection, method, target, body, headers, authorization)

    def receive(self) -> Response:
        """The answer to what was sent."""
        return _receive(self._connection)

    def operator(self, method: str, target: str, body: Any = None, *, token: str | None = None) -> Response:
        """One request of the operator listener, over a connection of its own."""
        url = urlsplit(str(self.ready.document["operator_url"]))
        connection = self._new_connection(url.hostname or "", url.port or 0)
        try:
            authorization = None if token is None else f"Bearer {token}"
            _send(connection, method, target, body, None, authorization)
            return _receive(connection)
        finally:
            connection.close()

    def service(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """A request of the service API by its owner."""
        target = f"{path}?api-version={SERVICE_VERSION}"
        return self.request(method, target, body, _named(headers), authorization=self.service_token())

    def hub(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """A request of the hub's API by its owner."""
        target = f"{path}{'&' if '?' in path else '?'}api-version={HUB_VERSION}"
        return self.request(method, target, body, _named(headers), authorization=self.hub_token())

    def device(self, method: str, registration_id: str, key: str, rest: str = "", body: Any = None) -> Response:
        """A request of the device API: `rest` is what follows the registration id in the path."""
        path = f"/{self.ready.id_scope}/registrations/{quote(registration_id, safe='')}{rest}"
        token = self.device_token(registration_id, key)
        return self.request(method, f"{path}?api-version={DEVICE_VERSION}", body, authorization=token)

    def enroll(self, registration_id: str, key: str, **members: Any) -> Response:
        """PUT of an individual enrollment, with the key as primary and as secondary one."""
        return self.service("PUT", f"/enrollments/{registration_id}", enrollment(registration_id, key, **members))

    def register(self, registration_id: str, key: str, body: Any = None) -> Response:
        return self.device("PUT", registration_id, key, "/register", body)

    def service_token(self, *, resource: str | None = None) -> str:
        return self._owner_token(self.ready.service_connection_string, resource)

    def hub_token(self, *, resource: str | None = None) -> str:
        return self._owner_token(self.ready.hub_connection_string, resource)

    def device_token(self, registration_id: str, key: str) -> str:
        resource = f"{self.ready.id_scope}/registrations/{registration_id}"
        return sas_token(resource, key, self._expiry(), "registration")

    def _owner_token(self, connection_string: str, resource: str | None) -> str:
        parts = connection_parts(connection_string)
        key, name = parts["SharedAccessKey"], parts["SharedAccessKeyName"]
        return sas_token(resource or parts["HostName"], key, self._expiry(), name)

    def _expiry(self) -> int:
        return int(time.time()) + self._clock_shift + _LIFETIME

    def _new_connection(self, host: str, port: int) -> http.client.HTTPSConnection:
        return _Connection(host, port, self._seconds, self._context)


class _Connection(http.client.HTTPSConnection):
    """Its socket is wrapped before it connects, so that it can always be closed: the standard library loses the wrapped
    socket of a peer that goes away between connect and handshake."""

    def __init__(self, host: str, port: int, seconds: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=seconds, context=context)
        self._tls = context

    def connect(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.sock = self._tls.wrap_socket(socket.socket(family), server_hostname=self.host)
        self.sock.settimeout(self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect((self.host, self.port))


def enrollment(registration_id: str, key: str, **members: Any) -> dict[str, Any]:
    """The document of an individual enrollment with one symmetric key in both slots."""
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key, "secondaryKey": key}}
    return {"registrationId": registration_id, "attestation": attestation, **members}


def connection_parts(connection_string: str) -> dict[str, str]:
    """The parts of a connection string by name."""
    return dict(part.split("=", 1) for part in connection_string.split(";"))


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _send(
    connection: http.client.HTTPSConnection,
    method: str,
    target: str,
    body: Any,
    headers: Mapping[str, str] | None,
    authorization: str | None,
) -> None:
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = {**({"Content-Type": "application/json"} if content else {}), **(headers or {})}
    if authorization is not None:
        sent["Authorization"] = authorization
    try:
        connection.request(method, target, content, sent)
    except BaseException:
        connection.close()  # the next request begins on a new one
        raise


def _receive(connection: http.client.HTTPSConnection) -> Response:
    try:
        answer = connection.getresponse()
        received = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, received, answer.read())
    except BaseException:
        connection.close()
        raise
