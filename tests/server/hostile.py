"""Owns the endpoints of the public port and what attacks them: requests that are good but for one thing, and the look
at each answer. It must not know what is tried."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from raw_client import RawClient

from idscope.testing.application import Response
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient, enrollment

KEY = base64.b64encode(secrets.token_bytes(32)).decode()
KIBIBYTE = 1024

Api = Literal["device", "service", "hub"]


def group(group_id: str, key: str, **members: Any) -> dict[str, Any]:
    """The document of an enrollment group with one symmetric key in both slots."""
    return {"enrollmentGroupId": group_id, "attestation": enrollment("", key)["attestation"], **members}


@dataclass(frozen=True)
class Endpoint:
    """`path` holds `{scope}` and `{id}`; `body` is a good one, None where none is read."""

    api: Api
    method: str
    path: str
    body: Any = None
    limit: int = KIBIBYTE * KIBIBYTE

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


ENDPOINTS = (
    Endpoint("device", "PUT", "/{scope}/registrations/{id}/register", {"registrationId": "d"}, 96 * KIBIBYTE),
    Endpoint("device", "GET", "/{scope}/registrations/{id}/operations/4.00.00"),
    Endpoint("device", "POST", "/{scope}/registrations/{id}", {"registrationId": "d"}, 96 * KIBIBYTE),
    Endpoint("service", "GET", "/enrollments/{id}"),
    Endpoint("service", "PUT", "/enrollments/{id}", enrollment("d", KEY)),
    Endpoint("service", "DELETE", "/enrollments/{id}"),
    Endpoint("service", "POST", "/enrollments/query", {"query": "SELECT * FROM enrollments"}, 96 * KIBIBYTE),
    Endpoint("service", "POST", "/enrollments", {"mode": "create", "enrollments": [enrollment("new", KEY)]}),
    Endpoint("service", "POST", "/enrollments/{id}/attestationmechanism"),
    Endpoint("service", "GET", "/enrollmentGroups/{id}"),
    Endpoint("service", "PUT", "/enrollmentGroups/{id}", group("d", KEY)),
    Endpoint("service", "DELETE", "/enrollmentGroups/{id}"),
    Endpoint("service", "POST", "/enrollmentGroups/query", {"query": "SELECT * FROM enrollmentGroups"}, 96 * KIBIBYTE),
    Endpoint("service", "POST", "/enrollmentGroups", {"mode": "create", "enrollmentGroups": [group("new", KEY)]}),
    Endpoint("service", "POST", "/enrollmentGroups/{id}/attestationmechanism"),
    Endpoint("service", "GET", "/registrations/{id}"),
    Endpoint("service", "DELETE", "/registrations/{id}"),
    Endpoint("service", "POST", "/registrations/{id}/query"),
    Endpoint("hub", "GET", "/devices/{id}"),
    Endpoint("hub", "PUT", "/devices/{id}", {"deviceId": "d"}),
    Endpoint("hub", "DELETE", "/devices/{id}"),
    Endpoint("hub", "GET", "/devices"),
    Endpoint("hub", "POST", "/devices", [{"id": "new", "importMode": "create"}], 6400 * KIBIBYTE),
    Endpoint("hub", "POST", "/devices/query", {"query": "SELECT * FROM devices"}),
    Endpoint("hub", "GET", "/twins/{id}"),
    Endpoint("hub", "PUT", "/twins/{id}", {"tags": {}}),
    Endpoint("hub", "PATCH", "/twins/{id}", {"tags": {}}),
    Endpoint("hub", "GET", "/statistics/devices"),
    Endpoint("hub", "GET", "/statistics/service"),
)
WITH_BODY = tuple(endpoint for endpoint in ENDPOINTS if endpoint.body is not None)
WITH_ID = tuple(endpoint for endpoint in ENDPOINTS if "{id}" in endpoint.path)

# What is refused before its path is looked at is told in the catalogue's words, wherever it was sent.
BEFORE_ROUTING = {413, 414, 431, 501}

VERSIONS: dict[Api, str] = {"device": "2021-06-01", "service": "2021-10-01", "hub": "2021-04-12"}


class Attacker:
    """Sends requests with good credentials unless told otherwise, and notes every answer that should not be."""

    def __init__(self, server: ServerProcess) -> None:
        self.ready = server.ready
        self.raw = RawClient(server.ready)
        self._client = ServerClient(server.ready)
        self.complaints: list[str] = []

    def token(self, api: Api, registration_id: str = "d") -> str:
        if api == "device":
            return self._client.device_token(registration_id, KEY)
        return self._client.service_token() if api == "service" else self._client.hub_token()

    def path(self, endpoint: Endpoint, device_id: str = "d") -> str:
        return endpoint.path.replace("{scope}", self.ready.id_scope).replace("{id}", device_id)

    def request(
        self,
        endpoint: Endpoint,
        *,
        method: str | None = None,
        target: str | None = None,
        body: bytes | None = None,
        authorization: str | bytes | None = None,
        headers: Iterable[tuple[str, str | bytes]] = (),
    ) -> bytes:
        """The bytes of a request; what is not given is good."""
        if target is None:
            target = f"{self.path(endpoint)}?api-version={VERSIONS[endpoint.api]}"
        if body is None:
            body = b"" if endpoint.body is None else json.dumps(endpoint.body).encode()
        if authorization is None:
            authorization = self.token(endpoint.api)
        given = {name.lower() for name, _ in headers}
        lines: list[tuple[str, str | bytes]] = [
            ("Host", self.ready.host_name),
            ("Authorization", authorization),
            *([("Content-Length", str(len(body)))] if body else []),
            *([("Content-Type", "application/json")] if body else []),
        ]
        lines = [(name, value) for name, value in lines if name.lower() not in given and value != ""]
        head = b"".join(b"%b: %b\r\n" % (as_bytes(name), as_bytes(value)) for name, value in [*lines, *headers])
        return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (as_bytes(method or endpoint.method), as_bytes(target), head, body)

    def refused(
        self, label: str, endpoint: Endpoint, content: bytes, statuses: Iterable[int], *, method: str | None = None
    ) -> None:
        """Send it: one of these statuses must come, in the words of the endpoint's API."""
        what = f"{endpoint} {label}"
        began = time.monotonic()
        try:
            answer = self.raw.exchange(content, method=method or endpoint.method)
        except (OSError, http.client.HTTPException) as problem:
            self.complaints.append(f"{what}: {problem!r}")
            return
        if time.monotonic() - began > 5:
            self.complaints.append(f"{what}: took {time.monotonic() - began:.1f} s")
        if answer.status not in set(statuses):
            self.complaints.append(f"{what}: {answer.status} {answer.body[:200]!r}")
        elif answer.status >= 400 and method != "HEAD":
            self.complaints += [f"{what}: {problem}" for problem in flaws(answer, endpoint.api)]


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def flaws(answer: Response, api: Api) -> Iterator[str]:
    """In what the error is not as documented."""
    if answer.headers.get("content-type") != "application/json; charset=utf-8":
        yield f"content type {answer.headers.get('content-type')}"
    elif not {"x-ms-request-id", "strict-transport-security"} <= answer.headers.keys():
        yield f"headers {sorted(answer.headers)}"
    elif api == "hub" and not (answer.status in BEFORE_ROUTING and "x-ms-error-code" in answer.headers):
        yield from _flaws_of_a_hub(answer)
    else:
        yield from _flaws(answer)


def _flaws_of_a_hub(answer: Response) -> Iterator[str]:
    document = answer.json()
    word = answer.headers.get("iothub-errorcode")
    if word == "BulkRegistryOperationFailure":
        if document["isSuccessful"] or not document["errors"]:
            yield f"a failure without errors: {document}"
    elif document.keys() != {"Message", "ExceptionMessage"} or not word:
        yield f"not in a hub's words: {answer.status} {document}"
    elif not document["Message"].startswith(f"ErrorCode:{word};"):
        yield f"two words: {word}, {document}"


def _flaws(answer: Response) -> Iterator[str]:
    document = answer.json()
    if not {"errorCode", "trackingId", "message", "timestampUtc"} <= document.keys():
        yield f"not in the catalogue's words: {document}"
    elif document["errorCode"] // 1000 != answer.status or not document["message"]:
        yield f"{answer.status}: {document}"
    elif answer.headers.get("x-ms-error-code") != str(document["errorCode"]):
        yield f"header {answer.headers.get('x-ms-error-code')}: {document}"
    elif document["trackingId"] != answer.headers["x-ms-request-id"]:
        yield f"two tracking ids: {document}"


def dump(data: Path) -> list[str]:
    """Everything that is stored, but for the record of attempts, which is there to grow."""
    with closing(sqlite3.connect(data / "idscope.db")) as connection:
        connection.execute("PRAGMA query_only = ON")
        return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "attempt"')]
