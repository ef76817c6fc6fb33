"""The table of all captures is whole and true: a row for every fixture, a fixture for every row, and what the bytes
themselves say of wire, SDK, scenario and proof. What each verdict means, the tests of its wire assert."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from captured import DIRECTORY, Capture, Row, load_captures, load_fixtures, load_table, sign_anew

from idscope.events import Wire

TABLE = load_table()
CAPTURES = load_captures("Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs")
ROOT = DIRECTORY.parents[1]
REFERENCE = ROOT / "docs" / "reference" / "captures.md"

# How clients name themselves (observed). The C SDK does not over AMQP.
NAMES = {
    "Python": rb"azure-iot-device-(provisioning|iothub)-py[%/]",
    "Node": rb"azure-iot-(provisioning-)?device(/|%2F)\d",
    "Java": rb"com\.microsoft\.azure\.sdk\.iot",
    "C": rb"ClientVersion=1\.15\.0|UserAgent: prov_device_client",
}
DIRECTORIES = {"Http": "https", "Mqtt": "mqtt", "MqttWs": "websocket", "Amqp": "amqp", "AmqpWs": "websocket"}
PORTS = {"Http": "443", "Mqtt": "8883", "MqttWs": "443", "Amqp": "5671", "AmqpWs": "443"}


def by_name(capture: Capture) -> str:
    return capture.name


def test_every_fixture_has_a_row_and_every_row_a_fixture() -> None:
    rows, fixtures = [row.file for row in TABLE], [name for name, _ in load_fixtures()]

    assert rows == sorted(set(rows))
    assert sorted(fixtures) == rows
    assert len(CAPTURES) == len(rows)


def test_there_are_no_other_captures_in_the_repository() -> None:
    """A fixture is a document of connections; they stand in one place."""
    documents = [path for path in (ROOT / "tests").rglob("*.json") if "node_modules" not in path.parts]
    fixtures = [path for path in documents if b'"connections": [' in path.read_bytes()]
    assert {path.parent.parent for path in fixtures} == {DIRECTORY}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.file)
def test_the_wire_is_that_of_the_port_and_of_the_fixture(row: Row) -> None:
    group, file = row.file.split("/")
    assert file.endswith(f"-{PORTS[row.wire]}.txt")
    assert f'"file": "{file}"' in (DIRECTORY / DIRECTORIES[row.wire] / f"{group}.json").read_text()


@pytest.mark.parametrize("capture", CAPTURES, ids=by_name)
def test_the_row_says_what_the_bytes_say(capture: Capture) -> None:
    row = capture.row
    named = [sdk for sdk, pattern in NAMES.items() if re.search(pattern, capture.upgrade + capture.stream)]
    assert named in ([], [row.sdk])
    assert row.scenario.encode() in capture.stream
    assert bool(capture.chain) is (row.proof == "x509")
    assert not (row.proof == "none" and capture.sent)
    if row.proof == "symmetricKey":
        assert b"SharedAccessSignature" in capture.stream
    if capture.upgrade:
        offered = re.search(rb"(?i)sec-websocket-protocol: *(\w+)", capture.upgrade)
        assert offered
        assert offered[1].lower() == {"MqttWs": b"mqtt", "AmqpWs": b"amqpwsb10"}[row.wire]


@pytest.mark.parametrize("capture", CAPTURES, ids=by_name)
def test_signing_anew_changes_signature_and_expiry_and_no_length(capture: Capture) -> None:
    signed = sign_anew(capture.stream, 1_700_003_600)
    assert len(signed) == len(capture.stream)
    pattern = rb"(&sig=)[^&]+|(&se=)\d{10}"
    assert re.sub(pattern, rb"\1\2", signed) == re.sub(pattern, rb"\1\2", capture.stream)
    for signature in re.findall(rb"&sig=([^&]+)", signed):
        assert bool(re.search(rb"%[0-9]?[a-f]", signature)) is (capture.row.sdk == "C")


def test_every_sdk_is_here_on_each_of_its_wires() -> None:
    wires = {sdk: {row.wire for row in TABLE if row.sdk == sdk and row.verdict != "hub"} for sdk in NAMES}
    every = {"Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs"}
    assert wires == {"C": every, "Java": every, "Node": every, "Python": {"Mqtt", "MqttWs"}}


def test_the_reference_page_counts_as_the_table_does() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert f"{len(TABLE)} connections in all" in text
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    head, *documented = (one for one in cells if len(one) == 7)
    counted = Counter((row.sdk, row.verdict, row.wire) for row in TABLE)
    wires: tuple[Wire, ...] = ("Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs")

    assert head == ["SDK", "Verdict", "HTTPS", "MQTT", "MQTT over WebSockets", "AMQP", "AMQP over WebSockets"]
    assert documented == [
        [sdk, f"`{verdict}`", *(str(counted[sdk, verdict, wire] or "-") for wire in wires)]
        for sdk, verdict in sorted({(row.sdk, row.verdict) for row in TABLE})
    ]
