"""Owns `idscope explain`: why a device was refused, in words for people. It must not know how attempts are kept, nor
judge any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import click
import msgspec

from idscope.cli.output import Output, with_output
from idscope.cli.printable import printable
from idscope.cli.provisioning_service import ProvisioningService, with_service
from idscope.cli.running_server import NotThere, running_server, with_server

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
_NOT_KEPT: Final = (
    "No attempt is kept under this trackingId: newer ones pushed it out, or it is not of a registration. Ask by the "
    "registration id: idscope explain registration."
)


@click.group()
def explain() -> None:
    """Tell why a device was refused, and what to do about it."""


@explain.command
@click.argument("registration_id")
@click.option("--limit", type=click.IntRange(1, 100), default=10, metavar="NUMBER", help="So many attempts. [10]")
@with_output
@with_service
def registration(*, service: ProvisioningService, output: Output, registration_id: str, limit: int) -> None:
    """Show the last attempts of REGISTRATION_ID, newest first, and what there is of it now."""
    query = urlencode({"limit": limit, "service": service.facts.name})
    path = f"/admin/registrations/{quote(registration_id, safe='')}/attempts"
    answer = service.server.exchange("GET", f"{path}?{query}").body
    told = msgspec.json.decode(answer)
    lines = [f"{registration_id} in the service {told['service']} (id scope {told['idScope']})"]
    lines += [f"  {line}" for line in _standing(told["standing"])]
    lines += ["", _NOTHING] if not told["attempts"] else _lines(told["attempts"])
    output.note("\n".join(map(printable, lines)), answer)


@explain.command
@click.argument("tracking_id")
@with_output
@with_server
def attempt(*, output: Output, tracking_id: str, **which: str | None) -> None:
    """Show the attempt whose TRACKING_ID the device saw in its answer."""
    try:
        answer = running_server(**which).exchange("GET", f"/admin/attempts/{quote(tracking_id, safe='')}").body
    except NotThere as refused:
        raise refused.saying(_NOT_KEPT) from None
    told = msgspec.json.decode(answer)
    lines = [f"{one['registrationId']} in {_service(one)} (id scope {one['idScope']})" for one in told["attempts"]]
    output.note("\n".join(map(printable, lines + _lines(told["attempts"]))), answer)


def _service(attempt: Document) -> str:
    return f"the service {attempt['service']}" if "service" in attempt else "no service here"


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


def _lines(attempts: list[Document]) -> list[str]:
    """One after another, each behind an empty line."""
    lines: list[str] = []
    for one in attempts:
        head = f"{one['timeUtc']}  {one['verdict']}  {_WIRES[one['wire']]} from {one['address']}"
        lines += ["", f"{head}, api-version {one['apiVersion']}, trackingId {one['trackingId']}"]
        lines += [f"  {label:<11} {text}" for label, text in _details(one)]
    return lines


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
