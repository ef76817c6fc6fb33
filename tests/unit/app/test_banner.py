"""What a started server says: everything to a person and the ready file, no secret to the log."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path

import pytest
import structlog

from idscope.app.banner import Started, banner, remove_ready_file, tell, write_ready_file
from idscope.secret import Secret

SECRETS = ("c2VydmljZQ==", "aHVi", "the-token")
STARTED = Started(
    id_scope="0ne00AB12CD",
    host_name="127.0.0.2",
    https_port=443,
    mqtt_port=8883,
    amqp_port=5671,
    hub_host_name="127.0.0.3",
    ca_file=Path("/data/ca.pem"),
    service_connection_string=Secret("HostName=127.0.0.2;SharedAccessKeyName=owner;SharedAccessKey=c2VydmljZQ=="),
    hub_connection_string=Secret("HostName=127.0.0.3;SharedAccessKeyName=iothubowner;SharedAccessKey=aHVi"),
    operator_url="https://127.0.0.2:9443",
    admin_token=Secret("the-token"),
    admin_token_file=Path("/data/admin.token"),
    data_directory=Path("/data"),
    notes=("127.0.0.1 port 443 is taken by another program; serving on 127.0.0.2 instead.",),
)


def test_a_person_is_told_everything_needed_next() -> None:
    text = banner(STARTED)
    for part in (
        "0ne00AB12CD",
        "443 (HTTPS, WebSocket), 8883 (MQTT), 5671 (AMQP)",
        "/data/ca.pem",
        "https://127.0.0.2:9443",
        "/data/admin.token",
        *STARTED.notes,
        *SECRETS,
        "REQUESTS_CA_BUNDLE='/data/ca.pem'",
        "NODE_EXTRA_CA_CERTS='/data/ca.pem'",
        "SSL_CERT_FILE='/data/ca.pem'",
        "azure-iot-deviceprovisioning",
        "azure-iot-provisioning-service",
        "azure-iot-provisioning-device-http",
        "Prov_Device_HTTP_Protocol",
        "(pip install azure-iot-device)",
        "enrollment create first-device --show-keys --data-directory '/data'",
        "hub monitor --data-directory '/data' --from-start",
    ):
        assert part in text


def test_a_python_device_over_mqtt_comes_first() -> None:
    text = banner(STARTED)
    wires = [text.index(words) for words in ("Python over MQTT", "hub monitor", "Node over HTTPS", "or C over HTTPS")]
    assert wires == sorted(wires)


def test_the_command_line_is_called_by_its_path() -> None:
    line = next(line for line in banner(STARTED).splitlines() if "hub monitor" in line)
    assert Path(line.split()[0]).is_absolute()
    assert Path(line.split()[0]).exists()


def test_people_read_it_on_the_stream() -> None:
    stream = io.StringIO()
    tell(STARTED, stream, people=True)
    assert stream.getvalue() == banner(STARTED)


def test_the_log_is_told_without_secrets() -> None:
    stream = io.StringIO()
    with structlog.testing.capture_logs() as lines:
        tell(STARTED, stream, people=False)
    assert stream.getvalue() == ""
    assert lines[0]["event"] == "serving"
    assert (lines[0]["id_scope"], lines[0]["https_port"]) == ("0ne00AB12CD", 443)
    assert (lines[1]["event"], lines[1]["log_level"]) == (STARTED.notes[0], "warning")
    assert not any(secret in repr(lines) + repr(STARTED) for secret in SECRETS)


def test_the_ready_file_is_private_whole_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "ready.json"
    write_ready_file(path, STARTED)
    document = json.loads(path.read_bytes())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert document["pid"] == os.getpid()
    assert document["ca_file"] == "/data/ca.pem"
    assert document["admin_token"] == "the-token"
    assert document["service_connection_string"].endswith(";SharedAccessKey=c2VydmljZQ==")
    assert document["hub_connection_string"].endswith(";SharedAccessKey=aHVi")
    remove_ready_file(path)
    remove_ready_file(path)
    assert [each.name for each in path.parent.iterdir()] == []


def test_an_older_ready_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text("of a server that was killed")
    write_ready_file(path, STARTED)
    assert json.loads(path.read_bytes())["id_scope"] == "0ne00AB12CD"


@pytest.mark.parametrize("people", [True, False])
def test_no_note_is_no_line(people: bool) -> None:
    with structlog.testing.capture_logs() as lines:
        quiet = Started(**{name: getattr(STARTED, name) for name in Started.__struct_fields__ if name != "notes"})
        stream = io.StringIO()
        tell(quiet, stream, people=people)
    assert "NOTE" not in stream.getvalue()
    assert len(lines) == (0 if people else 1)
