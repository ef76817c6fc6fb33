"""`idscope explain` in words for people: what stands, each attempt, and nothing that a terminal would obey."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from idscope.cli import explain, main, provisioning_service
from idscope.cli.running_server import Reply

ATTEMPT = {
    "trackingId": "6b2fbc5f",
    "timeUtc": "2023-11-14T22:13:20Z",
    "verdict": "refused",
    "verb": "authenticate",
    "registrationId": "sensor",
    "idScope": "0ne00ABCDEF",
    "service": "idscope",
    "wire": "MqttWs",
    "address": "192.0.2.1",
    "apiVersion": "2019-03-31",
    "enrollment": {"id": "fleet", "kind": "group"},
    "steps": ["id scope", "registration id"],
    "refusedStep": "signature",
    "cause": "signed-with-group-key",
    "reason": "because\x1b[31m",
    "advice": "Do this.",
    "errorCode": 401002,
    "durationMilliseconds": 0.5,
}
STANDING = {"groups": [], "groupCount": 0, "underWay": False}


class Server:
    """Answers from a list, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [json.dumps(answer).encode() for answer in answers]
        self.asked: list[tuple[str, str]] = []

    def exchange(self, method: str, target: str) -> Reply:
        self.asked.append((method, target))
        return Reply(200, {}, self.answers.pop(0))


def run(monkeypatch: pytest.MonkeyPatch, answer: Any, *arguments: str) -> tuple[str, Server]:
    server = Server({"services": ["idscope"], "idScopes": ["0ne00ABCDEF"], "hostNames": ["127.0.0.1"]}, answer)
    if arguments[0] == "attempt":
        server.answers.pop(0)
    for module in (explain, provisioning_service):
        monkeypatch.setattr(module, "running_server", lambda **_: server)
    done = CliRunner().invoke(main, ["explain", *arguments])
    assert done.exit_code == 0, done.output
    return done.output, server


def told(*attempts: Any, **standing: Any) -> dict[str, Any]:
    return {
        "registrationId": "sensor",
        "service": "idscope",
        "idScope": "0ne00ABCDEF",
        "standing": STANDING | standing,
        "attempts": list(attempts),
    }


def test_an_attempt_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    output, server = run(monkeypatch, told(ATTEMPT), "registration", "sensor", "--limit", "3", "--service", "IDSCOPE")
    assert server.asked[1:] == [("GET", "/admin/registrations/sensor/attempts?limit=3&service=idscope")]
    head = "2023-11-14T22:13:20Z  refused  MQTT in a WebSocket from 192.0.2.1, api-version 2019-03-31"
    assert output.splitlines()[5:] == [
        f"{head}, trackingId 6b2fbc5f",
        "  enrollment  enrollment group fleet",
        "  passed      id scope; registration id",
        "  refused at  signature",
        r"  why         because\x1b[31m",
        "  what to do  Do this.",
    ]


def test_an_id_is_one_segment_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    _, server = run(monkeypatch, told(), "registration", "../a b/?")
    path = "/admin/registrations/..%2Fa%20b%2F%3F/attempts"
    assert server.asked[1:] == [("GET", f"{path}?limit=10&service=idscope")]


@pytest.mark.parametrize(
    ("standing", "lines"),
    [
        ({}, ["individual enrollment: none", "enrollment groups: none", "registration: none"]),
        (
            {
                "groups": [
                    {"id": "a", "attestation": "x509", "enabled": True},
                    {"id": "b", "attestation": "symmetricKey", "enabled": False},
                ],
                "groupCount": 7,
                "underWay": True,
            },
            [
                "individual enrollment: none",
                "enrollment groups: a, x509, enabled; b, symmetricKey, DISABLED; and 5 more",
                "registration: none",
                "a registration is under way",
            ],
        ),
        (
            {
                "enrollment": {"id": "sensor", "attestation": "tpm", "enabled": True},
                "registration": {
                    "registrationId": "sensor",
                    "status": "failed",
                    "errorCode": 400209,
                    "errorMessage": "no\n",
                    "lastUpdatedDateTimeUtc": "2023-11-14T22:13:20Z",
                },
            },
            [
                "individual enrollment: sensor, tpm, enabled",
                r"registration: failed (400209: no\n) at 2023-11-14T22:13:20Z",
            ],
        ),
    ],
)
def test_what_stands(monkeypatch: pytest.MonkeyPatch, standing: dict[str, Any], lines: list[str]) -> None:
    output, _ = run(monkeypatch, told(**standing), "registration", "sensor")
    said = output.splitlines()
    assert said[0] == "sensor in the service idscope (id scope 0ne00ABCDEF)"
    assert said[1 : said.index("")] == [f"  {line}" for line in lines]
    assert said[-1].startswith("No attempt of it is kept here.")


def test_an_attempt_of_an_older_version_says_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = {name: ATTEMPT[name] for name in ATTEMPT if name not in {"refusedStep", "cause", "advice", "service"}}
    bare |= {"steps": [], "enrollment": {"id": "sensor"}}
    output, _ = run(monkeypatch, {"attempts": [bare]}, "attempt", "6B2FBC5F")
    assert output.splitlines()[0] == "sensor in no service here (id scope 0ne00ABCDEF)"
    assert output.splitlines()[3:] == ["  enrollment  sensor", r"  why         because\x1b[31m"]


@pytest.mark.parametrize("arguments", [("registration", "sensor"), ("attempt", "6b2fbc5f")])
def test_json_is_handed_through(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str]) -> None:
    answer = told(ATTEMPT)
    output, _ = run(monkeypatch, answer, *arguments, "--json")
    assert json.loads(output) == answer
