"""The running server against its own OpenAPI documents, asked what they allow and what they forbid. It must not know
the server from anything but what it serves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation.case import Case
from schemathesis.generation.modes import GenerationMode
from schemathesis.openapi.checks import IgnoredAuth, JsonSchemaError
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from idscope.testing.server import ServerProcess

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
]
VERSIONS = {"service": "2021-10-01", "device": "2026-04-01", "hub": "2021-04-12", "named-service": "2026-11-01"}
KEY = base64.b64encode(b"k" * 32).decode()
EXAMPLES = 12
KNOWN = "known-device"
NEEDS_A_CONNECTED_DEVICE = {"POST /twins/{id}/methods"}  # its success is shown by the SDK tests


def sas(resource: str, key: str, policy: str) -> str:
    signed = f"{quote(resource, safe='')}\n{int(time.time()) + 3600}"
    signature = hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256).digest()
    encoded, expiry = signed.split("\n")
    text = f"sr={encoded}&sig={quote(base64.b64encode(signature), safe='')}&se={expiry}&skn={policy}"
    return f"SharedAccessSignature {text}"


def service_sas(connection_string: str) -> str:
    parts = dict(part.split("=", 1) for part in connection_string.split(";"))
    return sas(parts["HostName"], parts["SharedAccessKey"], parts["SharedAccessKeyName"])


class Target:
    """A running server with one known device, and the credentials for each of its APIs."""

    def __init__(self, server: ServerProcess) -> None:
        ready = server.ready
        self.scope = ready.id_scope
        self.url = f"https://{ready.host_name}:{ready.https_port}"
        self.session = requests.Session()
        self.session.verify = str(ready.ca_file)
        self.session.trust_env = False
        self.operator_url = ready.document["operator_url"]
        self._tokens = {
            "service": service_sas(ready.service_connection_string),
            "hub": service_sas(ready.hub_connection_string),
            "named-service": f"Bearer {ready.document['admin_token']}",
        }

    def _put_known(self, resource: str, id_member: str) -> None:
        keys = {"primaryKey": KEY, "secondaryKey": KEY}
        body: Any = {id_member: KNOWN, "attestation": {"type": "symmetricKey", "symmetricKey": keys}}
        headers = {"Authorization": self._tokens["service"], "If-Match": "*"}
        path = f"{self.url}/{resource}/{KNOWN}?api-version=2021-10-01"
        if self.session.get(path, headers=headers).status_code == 404:
            del headers["If-Match"]
        assert self.session.put(path, json=body, headers=headers).status_code == 200

    def register_known_device(self) -> str:
        """Bring the known device and the group of that name back, as they were; the id of the device's operation."""
        self._put_known("enrollmentGroups", "enrollmentGroupId")
        self._put_known("enrollments", "registrationId")
        answer = self.session.put(
            f"{self.url}/{self.scope}/registrations/{KNOWN}/register?api-version=2021-10-01",
            json={"registrationId": KNOWN},
            headers={"Authorization": self.token("device", KNOWN)},
        )
        assert answer.json()["status"] == "assigned"
        operation_id: str = answer.json()["operationId"]
        return operation_id

    def token(self, api: str, registration_id: str = "") -> str:
        if api != "device":
            return self._tokens[api]
        return sas(f"{self.scope}/registrations/{registration_id}", KEY, "registration")

    def document(self, api: str) -> dict[str, Any]:
        answer = self.session.get(f"{self.operator_url}/openapi/{api}/{VERSIONS[api]}.json")
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with ServerProcess(tmp_path_factory.mktemp("schemathesis")) as server:
        found = Target(server)
        with found.session:
            yield found
        assert '"level": "error"' not in server.log_text()
        assert "failed inside the server" not in server.log_text()


def operations(document: dict[str, Any]) -> list[Any]:
    for methods in document["paths"].values():
        for definition in methods.values():
            # Without a client certificate a device has no other way in than its token.
            definition["security"] = [one for one in definition.get("security", []) if one]
    return [one.ok() for one in schemathesis.openapi.from_dict(document).get_all_operations() if isinstance(one, Ok)]


def lead_in(case: Case[Any], name: str | None) -> None:
    """What no generator guesses: an id that exists, an etag that fits, keys that are keys, a query that is one."""
    if name is not None:
        assert case.path_parameters is not None
        case.path_parameters[name] = KNOWN
    if case.headers and "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    if isinstance(case.body, dict):
        if "attestation" in case.body:
            case.body["attestation"] = {"type": "symmetricKey"}
        if "authentication" in case.body:
            case.body["authentication"] = {"type": "sas"}
        if "query" in case.body:
            case.body["query"] = "SELECT * FROM devices" if case.path.startswith("/devices") else "SELECT *"


def steered(target: Target, case: Case[Any], operation_id: str) -> Case[Any]:
    """The case with the ids that lead it past the first door: known ones, and the same in path and body."""
    path, body = case.path_parameters or {}, case.body
    if "idScope" in path:
        path["idScope"] = target.scope
    if "provisioningServiceName" in path and operation_id:
        path["provisioningServiceName"] = "idscope"
    name = next((name for name in ("id", "registrationId") if name in path), None)
    if operation_id:
        lead_in(case, name)
    if operation_id and "operationId" in path:
        path["operationId"] = operation_id
    for header, value in (case.headers or {}).items():
        # With a control character it is no HTTP message: the connection answers that, before any operation.
        case.headers[header] = re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", value)
    if isinstance(body, dict) and name is not None:
        for member in {"registrationId", "enrollmentGroupId", "deviceId"} & set(body):
            body[member] = path[name]
    return case


def explore(target: Target, api: str, operation: Any, mode: GenerationMode, *, known: bool, url: str = "") -> set[int]:
    """Ask one operation many times and check every answer; the statuses that it gave."""
    operation_id = target.register_known_device() if known else ""
    statuses = set()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(mode))
    def ask(case: Case[Any]) -> None:
        case = steered(target, case, operation_id)
        device = str((case.path_parameters or {}).get("registrationId", ""))
        headers = {"Authorization": target.token(api, device)}
        answer = case.call_and_validate(
            url or target.url, target.session, headers, checks=CHECKS, verify=target.session.verify
        )
        statuses.add(answer.status_code)

    ask()
    return statuses


@pytest.mark.parametrize("api", VERSIONS)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_the_server_keeps_what_its_documents_promise(
    target: Target, api: str, mode: GenerationMode, known: bool
) -> None:
    for operation in operations(target.document(api)):
        url = target.operator_url if api == "named-service" else ""
        statuses = explore(target, api, operation, mode, known=known, url=url)
        if known and mode is GenerationMode.POSITIVE and operation.label not in NEEDS_A_CONNECTED_DEVICE:
            assert min(statuses) < 300, f"{operation.label} never succeeded: {statuses}"


def test_these_checks_find_a_promise_that_is_not_kept(target: Target) -> None:
    document = target.document("service")
    document["components"]["schemas"]["AttestationMechanism"]["required"].append("nothing")
    broken = next(one for one in operations(document) if one.label == "GET /enrollments/{id}")
    with pytest.raises(FailureGroup) as failed:
        explore(target, "service", broken, GenerationMode.POSITIVE, known=True)
    assert any(isinstance(one, JsonSchemaError) for one in failed.value.exceptions)


def test_these_checks_find_a_door_that_is_not_locked(target: Target) -> None:
    document = target.document("hub")
    document["paths"] = {"/healthz": {"get": document["paths"]["/statistics/service"]["get"]}}
    definition = document["paths"]["/healthz"]["get"]
    definition["responses"]["200"] = {"description": "Success", "content": {"application/json": {"schema": {}}}}
    (broken,) = operations(document)
    with pytest.raises(FailureGroup) as failed:
        explore(target, "hub", broken, GenerationMode.POSITIVE, known=False, url=target.operator_url)
    assert any(isinstance(one, IgnoredAuth) for one in failed.value.exceptions)
