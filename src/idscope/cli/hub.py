"""Owns `idscope hub`: watch what devices send to an embedded hub, and send a message to one. It must not know how a hub
keeps messages, nor which server it asks.
"""

from __future__ import annotations

import base64
import sys
from typing import Any, Final
from urllib.parse import urlencode

import click
import msgspec

from idscope.cli.printable import printable
from idscope.cli.running_server import NotThere, RunningServer, running_server, with_server

_WAIT_SECONDS: Final = 5
_TELEMETRY: Final = "/admin/hub/telemetry"
_MESSAGES: Final = "/admin/hub/messages"


@click.group()
def hub() -> None:
    """Talk to the devices of an embedded hub."""


@hub.command
@click.option("--device", metavar="ID", help="Only this device.")
@click.option("--hub", "hub_name", metavar="NAME", help="Name of the hub; without it the first one.")
@click.option("--from-start", is_flag=True, help="Begin with the oldest message that is kept, not with the next one.")
@click.option("--count", type=click.IntRange(min=1), metavar="NUMBER", help="End after so many messages.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
@with_server
def monitor(
    *,
    device: str | None,
    hub_name: str | None,
    from_start: bool,
    count: int | None,
    as_json: bool,
    **which: str | None,
) -> None:
    """Show what devices send, as it comes, until Ctrl-C."""
    server = running_server(**which)
    named = {name: value for name, value in (("hub", hub_name), ("device", device)) if value}
    page = _page(server, named, "-1" if from_start else "latest", count, wait=0)
    if not as_json:
        click.echo(f"Listening to {page['hub']}; Ctrl-C ends it.", err=True)
    left = count
    while True:
        for message in page["messages"]:
            click.echo(msgspec.json.encode(message).decode() if as_json else _told(message))
        sys.stdout.flush()
        if left is not None:
            left -= len(page["messages"])
            if left <= 0:
                return
        page = _page(server, named, str(page["last"]), left, wait=_WAIT_SECONDS)


def _page(server: RunningServer, named: dict[str, str], after: str, limit: int | None, *, wait: int) -> Any:
    query = {**named, "after": after, "wait": str(wait), **({} if limit is None else {"limit": str(limit)})}
    return server.ask("GET", f"{_TELEMETRY}?{urlencode(query)}")


def _told(message: dict[str, Any]) -> str:
    """One line for a person; what cannot be shown on a terminal is escaped."""
    properties = {**message["systemProperties"], **message["properties"]}
    told = " ".join(f"{name}={value}" for name, value in properties.items())
    body = message.get("body")
    shown = printable(f"base64:{message['bodyBase64']}" if body is None else body)
    line = f"{message['enqueuedTimeUtc']}  {printable(message['deviceId'])}  {shown}"
    return f"{line}  [{printable(told)}]" if told else line


@hub.command
@click.argument("device")
@click.argument("message")
@click.option("--property", "properties", metavar="NAME=VALUE", multiple=True, help="An application property.")
@click.option("--message-id", metavar="ID", help="The message's id.")
@click.option("--content-type", metavar="TYPE", help="The message's content type.")
@click.option("--hub", "hub_name", metavar="NAME", help="Name of the hub; without it the first one.")
@with_server
def send(
    *,
    device: str,
    message: str,
    properties: tuple[str, ...],
    message_id: str | None,
    content_type: str | None,
    hub_name: str | None,
    **which: str | None,
) -> None:
    """Queue MESSAGE for DEVICE; `-` takes it from standard input. It waits there for an hour at most."""
    body = sys.stdin.buffer.read() if message == "-" else message.encode()
    system = {"messageId": message_id, "contentType": content_type}
    document = {
        "deviceId": device,
        "bodyBase64": base64.b64encode(body).decode(),
        "properties": dict(_pair(text) for text in properties),
        "systemProperties": {name: value for name, value in system.items() if value},
    }
    target = f"{_MESSAGES}?{urlencode({'hub': hub_name})}" if hub_name else _MESSAGES
    try:
        running_server(**which).ask("POST", target, document)
    except NotThere as refused:
        if refused.error_code == "DeviceNotFound":
            raise refused.saying(f"There is no device {device} on this hub.") from None
        raise
    click.echo(f"Queued for {device}.")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--property wants NAME=VALUE, not {text!r}.")
    return name, value
