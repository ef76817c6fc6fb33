"""Owns `idscope explain`: why a device was refused, in words for people. It must not know how attempts are kept, nor
judge any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from idscope.cli.printable import printable
from idscope.cli.running_server import running_server, with_server

Document = dict[str, Any]

_WIRES: Final = {
    "Http": "HTTPS",
    "Mqtt": "MQTT",
    "MqttWs": "MQTT in a WebSocket",
    "Amqp": "AMQP",
    "AmqpWs": "AMQP in a WebSocket",
}
_NOTHING: Final = (
    "No attempt of it is kept here. Either the device did not reach this server (another address, a TLS handshake that "
    "failed: the device's own log tells), or it named the id scope of another service of this server (--service), or "
    "newer attempts pushed it out."
)


@click.group()
def explain() -> None:
    """Tell why a device was refused, and what to do about it."""


@explain.command
@click.argument("registration_id")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="Show so many attempts.")
@click.option("--service", metavar="NAME", help="Name of the provisioning service; without it the first.")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
@with_server
def registration(
    *, registration_id: str, limit: int, service: str | None, json_wanted: bool, **which: str | None
) -> None:
    """Show the last attempts of REGISTRATION_ID, newest first, and what there is of it now."""
    query = {"limit": str(limit), **({"service": service} if service else {})}
    path = f"/admin/registrations/{quote(registration_id, safe='')}/attempts"
    told = running_server(**which).ask("GET", f"{path}?{urlencode(query)}")
    if json_wanted:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    click.echo(f"{printable(registration_id)} in the service {told['service']} (id scope {told['idScope']})")
    for line in _standing(told["standing"]):
        click.echo(f"  {printable(line)}")
    if not told["attempts"]:
        click.echo(f"\n{_NOTHING}")
    _show(told["attempts"])


@explain.command
@click.argument("tracking_id")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
@with_server
def attempt(*, tracking_id: str, json_wanted: bool, **which: str | None) -> None:
    """Show the attempt whose TRACKING_ID the device saw in its answer."""
    told = running_server(**which).ask("GET", f"/admin/attempts/{quote(tracking_id, safe='')}")
    if json_wanted:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for one in told["attempts"]:
        where = one.get("service", "no service here")
        click.echo(f"{printable(one['registrationId'])} in {where} (id scope {printable(one['idScope'])})")
    _show(told["attempts"])


def _standing(standing: Document) -> Iterator[str]:
    if enrollment := standing.get("enrollment"):
        yield f"individual enrollment: {_enrollment(enrollment)}"
    else:
        yield "individual enrollment: none"
        groups = standing["groups"]
        more = standing["groupCount"] - len(groups)
        names = "; ".join(_enrollment(group) for group in groups)
        yield f"enrollment groups: {names or 'none'}{f'; and {more} more' if more else ''}"
    if registration := standing.get("registration"):
        yield f"registration: {_registration(registration)}"
    else:
        yield "registration: none"
    if standing["underWay"]:
        yield "a registration is under way"


def _enrollment(enrollment: Document) -> str:
    return f"{enrollment['id']}, {enrollment['attestation']}, {'enabled' if enrollment['enabled'] else 'DISABLED'}"


def _registration(state: Document) -> str:
    words = [state["status"]]
    if "assignedHub" in state:
        words.append(f"to {state['assignedHub']} as {state['deviceId']}")
    if "errorMessage" in state:
        words.append(f"({state.get('errorCode')}: {state['errorMessage']})")
    return " ".join([*words, f"at {state['lastUpdatedDateTimeUtc']}"])


def _show(attempts: list[Document]) -> None:
    for one in attempts:
        head = f"{one['timeUtc']}  {one['verdict']}  {_WIRES[one['wire']]} from {one['address']}"
        click.echo(f"\n{head}, api-version {printable(one['apiVersion'])}, trackingId {one['trackingId']}")
        for label, text in _details(one):
            click.echo(f"  {label:<11} {printable(text)}")


def _details(one: Document) -> Iterator[tuple[str, str]]:
    """What is known of the attempt, line by line."""
    if enrollment := one.get("enrollment"):
        kind = {"individual": "individual enrollment", "group": "enrollment group"}.get(enrollment.get("kind"), "")
        yield "enrollment", f"{kind} {enrollment['id']}".strip()
    else:
        yield "enrollment", "none matched"
    if one["steps"]:
        yield "passed", "; ".join(one["steps"])
    for label, member in (("refused at", "refusedStep"), ("why", "reason"), ("what to do", "advice")):
        if member in one:
            yield label, one[member]
