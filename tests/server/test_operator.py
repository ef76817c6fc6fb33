"""The operator listener of the real server: what it serves, to whom, and what the log holds."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from slow_disk import SlowDisk, wait_until

from idscope.testing.application import Response, sas_token
from idscope.testing.server import OPERATOR_PORT, ServerProcess
from idscope.testing.server_client import ServerClient, connection_parts, enrollment

PLAIN_PORT = 9080
OPEN_PATHS = ("/healthz", "/readyz", "/openapi", "/openapi/device/2021-10-01.json", "/openapi/operator/current.json")
PATHS = (*OPEN_PATHS, "/admin/status", "/provisioningServices/idscope/enrollments/x")


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(scope="module")
def server(serve: Callable[..., ServerProcess]) -> ServerProcess:
    return serve(arguments=["--operator-plain-port", str(PLAIN_PORT), "--log-level", "debug"])


@pytest.fixture
def token(server: ServerProcess) -> str:
    return str(server.ready.document["admin_token"])


def plain(server: ServerProcess, path: str, port: int = PLAIN_PORT, **headers: str) -> Response:
    connection = http.client.HTTPConnection(server.address, port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Response(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_health_and_documents_need_no_token(client: ServerClient, path: str) -> None:
    answer = client.operator("GET", path)
    assert answer.status == 200
    assert answer.json()


def test_every_document_of_the_list_is_there(client: ServerClient) -> None:
    listed = client.operator("GET", "/openapi").json()
    assert listed.keys() == {"device", "service", "hub", "operator", "control-plane", "named-service"}
    for paths in listed.values():
        assert paths
        for path in paths:
            assert client.operator("GET", path).json()["openapi"] == "3.1.0"
    assert client.operator("GET", "/openapi/device/1999-01-01.json").status == 404


def test_what_runs_here_is_told_with_the_token(server: ServerProcess, client: ServerClient, token: str) -> None:
    answer = client.operator("GET", "/admin/status", token=token)
    assert answer.status == 200
    assert answer.json()["idScopes"] == [server.ready.id_scope]
    assert answer.json()["hubs"] == [server.ready.hub_host_name]
    assert (server.data_directory / "admin.token").read_text().strip() == token


def test_what_runs_here_is_told_to_nobody_else(client: ServerClient, token: str) -> None:
    for wrong in (None, "", "x", token[:-1], token + "x", token.swapcase()):
        answer = client.operator("GET", "/admin/status", token=wrong)
        assert answer.status == 401, wrong
        assert answer.json()["errorCode"] == 401002
        assert token not in answer.body.decode()


@pytest.mark.parametrize("path", PATHS)
def test_the_public_port_serves_none_of_it(client: ServerClient, path: str, token: str) -> None:
    for authorization in (None, f"Bearer {token}", client.service_token()):
        answer = client.request("GET", f"{path}?api-version=2021-10-01", authorization=authorization)
        assert answer.status == 404, answer
        assert answer.json()["errorCode"] == 404000


def test_the_operator_listener_serves_no_public_api(client: ServerClient, token: str) -> None:
    for path in ("/enrollments/x", "/devices/x", "/devices", f"/{client.ready.id_scope}/registrations/x/operations/y"):
        assert client.operator("GET", f"{path}?api-version=2021-10-01", token=token).status == 404


def test_the_plain_port_serves_probes_and_nothing_that_a_token_opens(server: ServerProcess, token: str) -> None:
    assert plain(server, "/healthz").status == 200
    assert plain(server, "/readyz").status == 200
    for path in set(PATHS) - {"/healthz", "/readyz"}:
        assert plain(server, path, Authorization=f"Bearer {token}").status == 404


def test_the_operator_port_speaks_tls_only(server: ServerProcess) -> None:
    with pytest.raises((http.client.HTTPException, OSError)):
        plain(server, "/healthz", OPERATOR_PORT)


def test_readiness_says_no_in_time_when_the_disk_takes_no_writes(server: ServerProcess, client: ServerClient) -> None:
    with SlowDisk(server):
        began = time.monotonic()
        answer = client.operator("GET", "/readyz")
        assert answer.status == 503
        assert answer.json()["errorCode"] == 503000
        assert time.monotonic() - began < 4
        assert client.operator("GET", "/healthz").status == 200
    wait_until(lambda: client.operator("GET", "/readyz").status == 200)


def test_the_log_is_json_and_holds_no_secret(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, workers=2, arguments=["--log-level", "debug"]) as server:
        with ServerClient(server.ready) as client:
            used = refusals(client)
        assert server.stop() == 0
    log = server.log_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert sum(line["event"] == "refused" for line in lines) >= len(used)
    for secret in used:
        assert secret not in log
        assert secret.rstrip("=") not in log


def refusals(client: ServerClient) -> set[str]:
    """Let everything be refused that carries a secret; the secrets."""
    ready, good, wrong = client.ready, new_key(), new_key()
    service, hub = (
        connection_parts(text)["SharedAccessKey"]
        for text in (ready.service_connection_string, ready.hub_connection_string)
    )
    token = str(ready.document["admin_token"])
    assert client.enroll("d", good).status == 200
    expired = sas_token(f"{ready.id_scope}/registrations/d", good, int(time.time()) - 3600, "registration")
    unreadable = f"SharedAccessSignature sr={ready.id_scope}&sig={wrong}&se=never&skn={wrong}"
    register = f"/{ready.id_scope}/registrations/d/register?api-version=2021-06-01"
    status = {
        client.register("d", wrong).status,
        client.register("unknown", wrong).status,
        *(
            client.request("PUT", register, authorization=text).status
            for text in (expired, unreadable, wrong, f"Bearer {token}", client.service_token())
        ),
        *(
            client.request("GET", "/enrollments/d?api-version=2021-10-01", authorization=text).status
            for text in (client.hub_token(), client.service_token(resource="elsewhere"), unreadable, wrong)
        ),
        *(
            client.request("GET", "/devices/d?api-version=2021-04-12", authorization=text).status
            for text in (client.service_token(), expired, wrong)
        ),
        client.operator("GET", "/admin/status", token=wrong).status,
    }
    assert status == {401}
    other = {**enrollment("d", wrong), "attestation": {"type": wrong, "symmetricKey": {"primaryKey": wrong}}}
    unusable = enrollment("other", wrong + "!")
    for body in (other, unusable, enrollment("d", wrong), json.dumps(enrollment("x", wrong)).encode()[:-5]):
        assert client.service("PUT", "/enrollments/d", body).status in {400, 409}
    device = {"deviceId": "x", "authentication": {"symmetricKey": {"primaryKey": wrong + "!", "secondaryKey": good}}}
    assert client.hub("PUT", "/devices/x", device).status == 400
    in_path = secrets.token_hex(32)
    assert client.request("GET", f"/{in_path}?{token}").status == 404
    signatures = {text.partition("sig=")[2].partition("&")[0] for text in (expired, client.service_token())}
    return {good, wrong, in_path, service, hub, token, *signatures, *map(unquote, signatures)}
