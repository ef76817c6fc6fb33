"""`idscope enrollment`, `enrollment-group` and `registration` against a running server; what they did is read back by
the published REST API, and devices register with what they made."""

from __future__ import annotations

import base64
import http.client
import json
import os
import pty
import re
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, idscope
from tpm_samples import ENDORSEMENT_KEY

from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient

Run = Callable[..., str]

KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture(scope="module")
def server(serve: Callable[..., ServerProcess]) -> ServerProcess:
    return serve(arguments=["--log-level", "debug"])


@pytest.fixture
def run(server: ServerProcess) -> Run:
    """A command for the server, found by its data directory."""

    def command(line: str, *more: str | Path, code: int = 0, given: str = "") -> str:
        return idscope(*line.split(), *more, "--data-directory", server.data_directory, code=code, given=given)

    return command


@pytest.fixture
def json_of(run: Run) -> Callable[..., Any]:
    return lambda line, *more: json.loads(run(line, *more, "--output", "json"))


def elsewhere(server: ServerProcess, **other: str) -> list[str]:
    document = {**server.ready.document, **other}
    return [
        *("--url", document["operator_url"], "--token", document["admin_token"]),
        *("--ca-file", document["ca_file"]),
    ]


def test_an_enrollment_from_its_making_to_its_end(
    run: Run, json_of: Callable[..., Any], client: ServerClient, tmp_path: Path
) -> None:
    (tmp_path / "tags.json").write_text('{"room": "kitchen", "size": 1.50}')
    made = json_of(
        "enrollment create --enrollment-id Sensor-1 --device-id Dev --edge-enabled --provisioning-status disabled "
        "--reprovision-policy never --allocation-policy static --iot-hubs hub.test",
        *("--initial-twin-tags", f"@{tmp_path / 'tags.json'}", "--initial-twin-properties", '{"interval": 60}'),
        *("--device-information", '{"serial": "x"}'),
    )
    read = client.service("GET", "/enrollments/sensor-1")
    assert b'{"room": "kitchen", "size": 1.50}' in read.body
    expected = {
        "registrationId": "Sensor-1",
        "deviceId": "Dev",
        "attestation": {"type": "symmetricKey"},
        "capabilities": {"iotEdge": True},
        "provisioningStatus": "disabled",
        "reprovisionPolicy": {"updateHubAssignment": False, "migrateDeviceData": False},
        "allocationPolicy": "static",
        "iotHubs": ["hub.test"],
        "initialTwin": {"tags": {"room": "kitchen", "size": 1.5}, "properties": {"desired": {"interval": 60}}},
        "optionalDeviceInformation": {"serial": "x"},
    }
    assert expected.items() <= read.json().items()
    assert expected.items() <= made.items()
    assert json_of("enrollment show Sensor-1") == read.json()
    assert re.search(r"^Sensor-1 +symmetricKey +disabled +static +hub.test +20", run("enrollment list"), re.MULTILINE)

    run("enrollment update Sensor-1 --provisioning-status enabled --edge-enabled false --primary-key", KEY)
    changed = client.service("GET", "/enrollments/Sensor-1")
    assert b'{"room": "kitchen", "size": 1.50}' in changed.body
    untouched = expected.keys() - {"provisioningStatus", "capabilities"}
    assert {name: changed.json()[name] for name in untouched} == {name: expected[name] for name in untouched}
    assert changed.json()["provisioningStatus"] == "enabled"
    assert changed.json()["capabilities"] == {"iotEdge": False}
    keys = client.service("POST", "/enrollments/Sensor-1/attestationmechanism").json()["symmetricKey"]
    assert keys["primaryKey"] == KEY

    assert run("enrollment delete Sensor-1 --etag", changed.json()["etag"]) == "Sensor-1 is gone.\n"
    assert client.service("GET", "/enrollments/Sensor-1").status == 404


def test_a_device_registers_with_the_key_that_was_made(
    run: Run, json_of: Callable[..., Any], client: ServerClient
) -> None:
    key = json_of("enrollment create first-device --show-keys")["attestation"]["symmetricKey"]["primaryKey"]
    assert (
        json_of("enrollment show first-device --show-keys")["attestation"]
        == client.service("POST", "/enrollments/first-device/attestationmechanism").json()
    )
    assert "There is no registration first-device" in run("registration show first-device", code=3)
    assert client.register("first-device", key).json()["status"] == "assigned"

    state = json_of("registration show first-device")
    assert state == client.service("GET", "/registrations/first-device").json()
    assert state["status"] == "assigned"
    assert json_of("enrollment show first-device")["registrationState"] == state
    run("registration delete first-device --etag wrong", code=1)
    assert "is gone" in run("enrollment registration delete first-device --etag", state["etag"])
    assert client.service("GET", "/registrations/first-device").status == 404


def test_a_device_registers_with_a_derived_key(run: Run, json_of: Callable[..., Any], client: ServerClient) -> None:
    run("enrollment-group create kitchen --initial-twin-tags", '{"room": "kitchen"}')
    key = run("enrollment-group compute-device-key kitchen --registration-id Sensor-0001").strip()
    assert client.register("Sensor-0001", key).json()["status"] == "assigned"
    assert client.hub("GET", "/twins/Sensor-0001").json()["tags"] == {"room": "kitchen"}

    (listed,) = json_of("registration list kitchen")
    assert [listed] == client.service("POST", "/registrations/kitchen/query").json()
    assert [listed] == json_of("enrollment-group registration list --enrollment-id kitchen --top 5")
    hub = client.ready.hub_host_name
    assert run("registration list --group-id kitchen").splitlines()[1].split()[:3] == ["Sensor-0001", "assigned", hub]

    run("enrollment-group update kitchen --ps disabled")
    assert client.service("GET", "/enrollmentGroups/kitchen").json()["provisioningStatus"] == "disabled"
    assert "kitchen" in run("enrollment-group list --query", "SELECT * FROM enrollmentGroups")
    assert "kitchen" in run("enrollment-group list --query", "SELECT * WHERE provisioningStatus = 'disabled'")
    assert json_of("registration list kitchen --query", "SELECT * WHERE status = 'failed'") == []
    assert json_of("registration list kitchen --query", "SELECT * WHERE STARTSWITH(registrationId, 's')") == [listed]
    run("enrollment-group delete kitchen")
    assert client.service("GET", "/enrollmentGroups/kitchen").status == 404
    assert json_of("registration list kitchen") == [listed]  # published: those of a deleted group stay


def register_with_certificate(client: ServerClient, registration_id: str, directory: Path) -> dict[str, Any]:
    ready = client.ready
    context = ssl.create_default_context(cafile=str(ready.ca_file))
    context.load_cert_chain(directory / f"{registration_id}.pem", directory / f"{registration_id}.key")
    connection = http.client.HTTPSConnection(ready.host_name, ready.https_port, timeout=30, context=context)
    try:
        path = f"/{ready.id_scope}/registrations/{registration_id}/register?api-version=2021-06-01"
        connection.request("PUT", path, json.dumps({"registrationId": registration_id}))
        document: dict[str, Any] = json.loads(connection.getresponse().read())
        return document
    finally:
        connection.close()


def test_devices_register_with_certificates(run: Run, client: ServerClient, tmp_path: Path) -> None:
    idscope("ca", "create", "--directory", tmp_path)
    signed_by: dict[str, list[str | Path]] = {"one": [], "below": ["--ca", tmp_path / "root.pem"]}
    for name, flags in signed_by.items():
        idscope("device-certificate", "create", name, *flags, "--directory", tmp_path)
    run("certificate create root", tmp_path / "root.pem", "--verified")
    run("enrollment create one --certificate-path", tmp_path / "one.pem")
    run("enrollment-group create by-certificate --certificate-path -", given=(tmp_path / "root.pem").read_text())
    thumbprints = client.service("GET", "/enrollmentGroups/by-certificate").json()["attestation"]["x509"]
    shown = json.loads(idscope("ca", "show", tmp_path / "root.pem", "--json"))[0]
    info = thumbprints["signingCertificates"]["primary"]["info"]
    assert info["sha256Thumbprint"] == shown["sha256Thumbprint"]
    for name in ("one", "below"):
        assert register_with_certificate(client, name, tmp_path)["status"] == "assigned", name

    run("enrollment-group update by-certificate --root-ca-name root")
    by_name = client.service("GET", "/enrollmentGroups/by-certificate").json()["attestation"]
    assert by_name["x509"]["caReferences"]["primary"] == "root"
    assert "signingCertificates" not in by_name["x509"]
    assert register_with_certificate(client, "below", tmp_path)["status"] == "assigned"


def test_a_rolled_certificate_takes_the_place_of_the_old_one(run: Run, client: ServerClient, tmp_path: Path) -> None:
    for name in ("old", "new"):
        idscope("device-certificate", "create", "roll", "--directory", tmp_path / name)
    run("enrollment create roll --cp", tmp_path / "old" / "roll.pem", "--scp", tmp_path / "new" / "roll.pem")
    run("enrollment update roll --remove-certificate")
    pair = client.service("GET", "/enrollments/roll").json()["attestation"]["x509"]["clientCertificates"]
    (left,) = pair.values()
    (shown,) = json.loads(idscope("ca", "show", tmp_path / "new" / "roll.pem", "--json"))
    assert left["info"]["sha256Thumbprint"] == shown["sha256Thumbprint"]
    assert "needs a certificate" in run("enrollment update roll --remove-secondary-certificate", code=2)
    assert register_with_certificate(client, "roll", tmp_path / "new")["status"] == "assigned"


def test_a_tpm_and_one_that_lets_nobody_in(run: Run, client: ServerClient) -> None:
    run("enrollment create tpm --endorsement-key", ENDORSEMENT_KEY)
    attestation = client.service("GET", "/enrollments/tpm").json()["attestation"]
    assert (attestation["type"], attestation["tpm"]["endorsementKey"]) == ("tpm", ENDORSEMENT_KEY)
    run("enrollment create nobody --attestation-type none")
    assert client.service("GET", "/enrollments/nobody").json()["attestation"]["type"] == "none"
    assert "TPM2B_PUBLIC" in run("enrollment create other --endorsement-key AAAA", code=1)
    assert client.service("GET", "/enrollments/other").status == 404


def test_what_is_refused_changes_nothing(run: Run, client: ServerClient, tmp_path: Path) -> None:
    run("enrollment create taken --tags", '{"mine": true}')
    before = client.service("GET", "/enrollments/taken").json()
    assert "`idscope enrollment update`" in run("enrollment create TAKEN", code=1)
    run("enrollment update taken --ps disabled")
    run("enrollment update taken --ps enabled")
    present = client.service("GET", "/enrollments/taken").json()
    for verb in ("update --provisioning-status disabled", "delete"):
        said = run(f"enrollment {verb} taken --etag", before["etag"], code=1)
        assert "another etag by now" in said
        assert "Nothing was done" in said
    assert client.service("GET", "/enrollments/taken").json() == present
    assert "is no id" in run("enrollment create", "a/b", code=2)
    assert "absent.pem cannot be read" in run("enrollment create c --cp", tmp_path / "absent.pem", code=2)
    assert "must be Base64" in run("enrollment create c --primary-key short", code=1)
    assert client.service("GET", "/enrollments/c").status == 404
    assert "column 8: expected *, found nothing" in run("enrollment list --query", "SELECT nothing", code=1)


def test_who_cannot_ask_is_told_why(server: ServerProcess, tmp_path: Path) -> None:
    listing = ("enrollment", "list")
    assert idscope(*listing, *elsewhere(server), "--service", "IdScope").startswith("registrationId")
    assert "admin.token" in idscope(*listing, *elsewhere(server, admin_token="wrong"), code=1)
    idscope("ca", "create", "--directory", tmp_path)
    other_ca = elsewhere(server, ca_file=str(tmp_path / "root.pem"))
    assert "name the CA's file with --ca-file" in idscope(*listing, *other_ca, code=1)
    public_port = f"https://{server.ready.host_name}:{server.ready.https_port}"
    assert "no operator listener" in idscope(*listing, *elsewhere(server, operator_url=public_port), code=1)
    assert "`idscope serve`" in idscope(*listing, "--data-directory", tmp_path, code=1)
    assert "no provisioning service other" in idscope(*listing, *elsewhere(server), "--service", "other", code=3)
    with_newline = elsewhere(server, admin_token="secret\nsecret")
    said = idscope(*listing, *with_newline, code=1)
    assert "one line" in said
    assert "secret" not in said


def test_a_server_that_stopped_is_no_server(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        flags = elsewhere(server)
        assert idscope("enrollment", "list", "-o", "json", *flags) == "[]\n"
    assert "is it running?" in idscope("enrollment", "list", *flags, code=1)
    assert "`idscope serve`" in idscope("enrollment", "list", "--data-directory", server.data_directory, code=1)


def on_terminal(server: ServerProcess, line: str, *, standard_output: bool) -> str:
    """What a person sees whose terminal stands behind standard error, and behind standard output where that is said."""
    master, terminal = pty.openpty()
    command = [*COMMAND, *line.split(), "--data-directory", str(server.data_directory)]
    process = subprocess.Popen(
        command, stdout=terminal if standard_output else subprocess.DEVNULL, stderr=terminal, stdin=subprocess.DEVNULL
    )
    os.close(terminal)
    seen = b""
    with open(master, "rb", buffering=0) as screen:  # noqa: PTH123 - a descriptor
        while True:
            try:
                more = screen.read(4096)
            except OSError:  # how Linux ends a terminal
                break
            if not more:
                break
            seen += more
    assert process.wait(60) == 0, seen
    return seen.decode()


def test_a_terminal_is_told_what_the_device_needs(server: ServerProcess) -> None:
    ready = server.ready
    told = on_terminal(server, "enrollment create on-terminal", standard_output=True)
    for name, value in (
        ("id scope", ready.id_scope),
        ("registration id", "on-terminal"),
        ("host", ready.host_name),
        ("CA to trust", str(ready.ca_file)),
    ):
        assert re.search(rf"^  {name} +{re.escape(value)}\r$", told, re.MULTILINE), told
    (command,) = re.findall(r"^  key +idscope (.*)\r$", told, re.MULTILINE)
    assert json.loads(idscope(*command.split(), "-o", "json"))["attestation"]["symmetricKey"]["primaryKey"]

    told = on_terminal(server, "enrollment-group create group-on-terminal", standard_output=True)
    (command,) = re.findall(r"idscope (enrollment-group compute-device-key .*)\r$", told, re.MULTILINE)
    assert len(base64.b64decode(idscope(*command.replace(" ID ", " x ").split()))) == 32

    told = on_terminal(server, "enrollment create json-on-terminal -o json", standard_output=True)
    assert json.loads(told)["registrationId"] == "json-on-terminal"


def test_a_long_list_is_whole_and_shows_how_far_it_is(serve: Callable[..., ServerProcess]) -> None:
    server, count = serve(), 1020
    with ServerClient(server.ready) as client:
        for start in range(0, count, 10):
            items = [
                {"registrationId": f"d-{number:04}", "attestation": {"type": "symmetricKey"}}
                for number in range(start, start + 10)
            ]
            assert client.service("POST", "/enrollments", {"enrollments": items, "mode": "create"}).status == 200
    flags = ("--data-directory", server.data_directory)
    listed = json.loads(idscope("enrollment", "list", "-o", "json", *flags))
    assert [one["registrationId"] for one in listed] == [f"d-{number:04}" for number in range(count)]
    assert len(idscope("enrollment", "list", *flags).splitlines()) == count + 1
    assert len(json.loads(idscope("enrollment", "list", "--top", "501", "-o", "json", *flags))) == 501
    seen = on_terminal(server, "enrollment list", standard_output=False)
    assert re.findall(r"([\d,]+) so far", seen) == ["500", "1,000"]


def test_no_key_of_any_command_is_logged(run: Run, server: ServerProcess, client: ServerClient) -> None:
    given = base64.b64encode(b"never log this key").decode()
    run("enrollment create secret-bearer --show-keys --primary-key -", given=given)
    run("enrollment create secret-bearer --primary-key -", given=given, code=1)
    run("enrollment update secret-bearer --etag x --secondary-key -", given=given, code=1)
    made = client.service("POST", "/enrollments/secret-bearer/attestationmechanism").json()["symmetricKey"]
    log = server.log_text()
    assert "refused" in log
    for secret in (*made.values(), str(server.ready.document["admin_token"])):
        assert secret not in log
