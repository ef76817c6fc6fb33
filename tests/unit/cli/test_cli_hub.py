"""`idscope hub` against a listener that answers as an operator's does: over TLS, with the token, or not at all."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from operator_listener import TOKEN, Operator

from idscope.cli import main

MESSAGE = {
    "sequence": 7,
    "deviceId": "d",
    "enqueuedTimeUtc": "2023-11-14T22:13:20Z",
    "systemProperties": {"messageId": "m"},
    "properties": {"k": "v\n"},
    "body": "temperature\x1b[31m 21",
}
BINARY = {**MESSAGE, "sequence": 8, "systemProperties": {}, "properties": {}, "bodyBase64": "/w=="}
del BINARY["body"]


def run(*arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(main, ["hub", *arguments], **more)


def page(*messages: dict[str, Any], last: int = 8) -> tuple[int, dict[str, Any]]:
    return 200, {"hub": "hub.test", "last": last, "messages": list(messages)}


def test_send_finds_the_server_of_a_data_directory(operator: Operator, data: Path) -> None:
    operator.answers = [(204, None)]
    done = run("send", "d", "hé", "--property", "k=v=w", "--message-id", "m", "--data-directory", str(data))
    assert (done.exit_code, done.output) == (0, "Queued for d.\n")
    [(method, target, body)] = operator.asked
    assert (method, target) == ("POST", "/admin/hub/messages")
    assert base64.b64decode(body.pop("bodyBase64")) == "hé".encode()
    assert body == {"deviceId": "d", "properties": {"k": "v=w"}, "systemProperties": {"messageId": "m"}}


def test_send_takes_bytes_from_standard_input_and_names_a_hub(operator: Operator) -> None:
    operator.answers = [(204, None)]
    where = ("--url", operator.url, "--token", TOKEN, "--ca-file", str(operator.ca_file))
    done = run("send", "d", "-", "--hub", "hub 1", *where, input=b"\xff\x00")
    assert done.exit_code == 0, done.output
    [(_, target, body)] = operator.asked
    assert (target, base64.b64decode(body["bodyBase64"])) == ("/admin/hub/messages?hub=hub+1", b"\xff\x00")


def test_monitor_goes_on_behind_what_it_has_seen(operator: Operator, data: Path) -> None:
    operator.answers = [page(last=6), page(MESSAGE, last=7), page(last=7), page(BINARY)]
    done = run("monitor", "--device", "d", "--count", "2", "--data-directory", str(data))
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("Listening to hub.test")
    assert lines[1] == r"2023-11-14T22:13:20Z  d  temperature\x1b[31m 21  [messageId=m k=v\n]"
    assert lines[2] == "2023-11-14T22:13:20Z  d  base64:/w=="
    assert [target.partition("?")[2] for _, target, _ in operator.asked] == [
        "device=d&after=latest&wait=0&limit=2",
        "device=d&after=6&wait=5&limit=2",
        "device=d&after=7&wait=5&limit=1",
        "device=d&after=7&wait=5&limit=1",
    ]


def test_monitor_in_json_from_the_start(operator: Operator, data: Path) -> None:
    operator.answers = [page(MESSAGE, BINARY)]
    done = run("monitor", "--from-start", "--count", "2", "--json", "--data-directory", str(data))
    assert [json.loads(line) for line in done.output.splitlines()] == [MESSAGE, BINARY]
    assert "after=-1" in operator.asked[0][1]


def test_what_the_server_refuses_is_told_in_its_words(operator: Operator, data: Path) -> None:
    where = ("--data-directory", str(data))
    operator.answers = [(404, {"Message": "ErrorCode:DeviceNotFound;no-such", "ExceptionMessage": "x"})]
    absent = run("send", "no-such", "x", *where)
    assert (absent.exit_code, absent.output) == (3, "Error: There is no device no-such on this hub.\n")
    operator.answers = [(404, {"message": "There is no such hub on this server."})]
    assert "There is no such hub" in run("monitor", "--hub", "x", *where).output
    operator.answers = [(500, None)]
    assert "500" in run("send", "d", "x", *where).output
    wrong = run("send", "d", "x", "--token", "wrong-token", *where)
    assert (wrong.exit_code, "admin token" in wrong.output) == (1, True)
    assert "wrong-token" not in wrong.output
    assert "NAME=VALUE" in run("send", "d", "x", "--property", "k", *where).output


def test_no_server_is_a_friendly_error(operator: Operator, data: Path, tmp_path: Path) -> None:
    nothing = run("monitor", "--data-directory", str(tmp_path / "nothing"))
    assert nothing.exit_code == 1
    assert "idscope serve" in nothing.output
    stranger = run("send", "d", "x", "--url", operator.url, "--token", TOKEN)
    assert "--ca-file" in stranger.output
    assert "--token" in run("send", "d", "x", "--url", operator.url).output
    assert "https://" in run("send", "d", "x", "--url", "http://127.0.0.1", "--token", "t").output
    assert (
        "missing.pem" in run("send", "d", "x", "--url", operator.url, "--token", "t", "--ca-file", "missing.pem").output
    )
    (data / "admin.token").unlink()
    assert "admin.token cannot be read" in run("send", "d", "x", "--data-directory", str(data)).output
    (data / "control" / "server.json").write_text("{}")
    assert "server.json cannot be read" in run("send", "d", "x", "--data-directory", str(data)).output
    gone = run("send", "d", "x", "--url", "https://127.0.0.1:1", "--token", TOKEN)
    assert (gone.exit_code, "is it running?" in gone.output) == (1, True)
