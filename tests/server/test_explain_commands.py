"""`idscope explain` against a running server: a device is refused over a socket, and its operator is told why."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from idscope.testing.application import Response, sas_token
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient

KEY = base64.b64encode(bytes(range(32))).decode()
GROUP_KEY = base64.b64encode(bytes(range(32, 64))).decode()


@pytest.fixture(scope="module")
def server(serve: Callable[..., ServerProcess]) -> ServerProcess:
    return serve()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[ServerClient]:
    with ServerClient(server.ready) as client:
        yield client


Explain = Callable[..., str]


@pytest.fixture
def explain(server: ServerProcess) -> Explain:
    """What `idscope explain …` says, on both outputs, once something was attempted and written."""

    def run(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "idscope", "explain", *arguments]
        command += ["--data-directory", str(server.data_directory)]
        deadline = time.monotonic() + 20
        while True:  # an attempt is written a moment after the answer
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            said = done.stdout + done.stderr
            pending = "No attempt" in said or '"attempts": []' in said
            if code or not pending or time.monotonic() > deadline:
                assert done.returncode == code, done
                return said
            time.sleep(0.1)

    return run


def put(client: ServerClient, registration_id: str, token: str) -> Response:
    path = f"/{client.ready.id_scope}/registrations/{registration_id}/register?api-version=2021-06-01"
    return client.request("PUT", path, {}, authorization=token)


def test_an_expired_token_is_explained_by_id_and_by_tracking_id(client: ServerClient, explain: Explain) -> None:
    assert client.enroll("late", KEY).status == 200
    scope = client.ready.id_scope
    expired = sas_token(f"{scope}/registrations/late", KEY, int(time.time()) - 400)
    answer = put(client, "late", expired)
    assert (answer.status, answer.json()["message"]) == (401, "Unauthorized")
    lines = explain("registration", "late").splitlines()
    assert lines[:4] == [
        f"late in the service idscope (id scope {scope})",
        "  individual enrollment: late, symmetricKey, enabled",
        "  registration: none",
        "",
    ]
    assert "  refused  HTTPS from 127.0." in lines[4]
    assert lines[4].endswith(f"api-version 2021-06-01, trackingId {answer.json()['trackingId']}")
    told = {line[2:13].strip(): line[14:] for line in lines[5:]}
    assert told["enrollment"] == "individual enrollment late"
    assert told["passed"].endswith("signature")
    assert told["refused at"] == "expiry"
    assert told["why"].startswith("the token expired 6 min 4")
    assert "allowed skew 5 min, server time 20" in told["why"]
    assert told["what to do"] == "Have the device make a new token, and check its clock."
    by_tracking_id = explain("attempt", answer.json()["trackingId"]).splitlines()
    assert by_tracking_id[0] == f"late in the service idscope (id scope {scope})"
    assert by_tracking_id[2:] == lines[4:]


def test_json_for_programs_newest_first_and_as_many_as_asked_for(client: ServerClient, explain: Explain) -> None:
    group = {
        "enrollmentGroupId": "fleet",
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": GROUP_KEY}},
    }
    assert client.service("PUT", "/enrollmentGroups/fleet", group).status == 200
    seen = [client.register("new", GROUP_KEY).json()["trackingId"] for _ in range(3)]
    deadline = time.monotonic() + 20
    found: list[Any] = []
    while len(found) < 2 or found[0]["trackingId"] != seen[-1]:
        found = json.loads(explain("registration", "new", "--limit", "2", "--json"))["attempts"]
        assert time.monotonic() < deadline
    assert [one["trackingId"] for one in found] == seen[:0:-1]
    assert {one["cause"] for one in found} == {"signed-with-group-key"}
    assert "idscope device-key GROUP_KEY new" in found[0]["advice"]
    [one] = json.loads(explain("attempt", seen[0], "--json"))["attempts"]
    assert one["trackingId"] == seen[0]


def test_an_id_scope_of_nobody_is_found_both_ways(client: ServerClient, explain: Explain) -> None:
    path = "/0neFFFFFFFF/registrations/lost/register?api-version=2021-06-01"
    answer = client.request("PUT", path, {}, authorization="SharedAccessSignature sr=x&sig=x&se=1")
    assert answer.status == 404
    said = explain("registration", "lost")
    assert "no provisioning service here has the id scope '0neFFFFFFFF'" in said
    assert "individual enrollment: none" in said
    one = explain("attempt", answer.json()["trackingId"])
    assert one.startswith("lost in no service here (id scope 0neFFFFFFFF)\n")


def test_of_an_id_that_never_came_it_says_what_that_means(client: ServerClient, explain: Explain) -> None:
    assert client.enroll("quiet", KEY, provisioningStatus="disabled").status == 200
    command = [sys.executable, "-m", "idscope", "explain", "registration", "quiet"]
    command += ["--data-directory", str(client.ready.ca_file.parent)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "individual enrollment: quiet, symmetricKey, DISABLED" in said
    assert "No attempt of it is kept here." in said
    assert "did not reach this server" in said


def test_a_tracking_id_that_is_not_kept_is_said_so(explain: Explain) -> None:
    assert "No attempt is kept under this trackingId" in explain("attempt", "6b2fbc5f-0000", code=3)
    assert "no provisioning service other" in explain("registration", "x", "--service", "other", code=3)


def test_the_database_holds_no_token_signature_or_key(server: ServerProcess, client: ServerClient) -> None:
    assert client.enroll("secretive", KEY).status == 200
    tokens = [client.device_token(name, key) for name in ("secretive", "nobody") for key in (KEY, GROUP_KEY)]
    for number, token in enumerate(tokens):
        put(client, "secretive" if number < 2 else "nobody", token)
    client.close()
    server.stop()
    kept = b"".join(file.read_bytes() for file in server.data_directory.glob("*.db*"))
    server.start()
    assert kept.count(b'"attempt_id":') >= len(tokens)
    signatures = [token.partition("sig=")[2].partition("%3D")[0] for token in tokens]
    for secret in (*signatures, KEY.rstrip("="), GROUP_KEY.rstrip("=")):
        assert secret.encode() not in kept
