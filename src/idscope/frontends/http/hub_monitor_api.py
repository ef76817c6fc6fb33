"""Owns the operator's rows of the embedded hubs: read what devices send, send a message to one.
It must not be reachable by devices, nor know how messages are kept.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from idscope.clock import format_time
from idscope.directory import EmbeddedHub, Right
from idscope.embedded_hub.message import MessageProperties, text_or_base64
from idscope.embedded_hub.telemetry import TelemetryMessage
from idscope.errors import InvalidArgument, RouteNotFound
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.operations import Api, Operation, Request
from idscope.frontends.http.operator_api import HubTraffic, OperatorUseCases
from idscope.model.document import Document, encode

LATEST: Final = "latest"
PAGE_LIMIT: Final = 200
WAIT_LIMIT: Final = 5.0  # seconds; a stopping server waits for what is under way


class MonitoredMessage(Document):
    """A device-to-cloud message; `body` where it is UTF-8 text, otherwise `bodyBase64`."""

    sequence: int
    device_id: str
    enqueued_time_utc: str
    system_properties: dict[str, str]
    properties: dict[str, str]
    body: str | UnsetType = UNSET
    body_base64: bytes | UnsetType = UNSET


class MonitoredMessages(Document):
    """`last` is the number to go on behind."""

    hub: str
    last: int
    messages: list[MonitoredMessage]


class OutgoingMessage(Document):
    """A cloud-to-device message; `body` is text, `body_base64` any bytes."""

    device_id: str
    body: str = ""
    body_base64: bytes | UnsetType = UNSET
    properties: dict[str, str] = msgspec.field(default_factory=dict)
    system_properties: dict[str, str] = msgspec.field(default_factory=dict)


def _traffic(operator: OperatorUseCases) -> HubTraffic:
    if operator.hub_traffic is None:
        raise RouteNotFound("No device connects to a hub of this server.")
    return operator.hub_traffic


def _hub(operator: OperatorUseCases, request: Request) -> EmbeddedHub:
    """The hub of that name or id, the first one where none is asked for."""
    hubs, wanted = operator.directory.snapshot.hubs, request.query.get("hub", "").lower()
    for hub in hubs:
        if not wanted or wanted in hub.host_names or wanted == hub.hub_id.lower():
            return hub
    raise RouteNotFound("There is no such hub on this server.")


async def read_telemetry(operator: OperatorUseCases, request: Request) -> Answer:
    """At once where there is something behind `after`; otherwise up to `wait` seconds."""
    telemetry, hub = _traffic(operator).telemetry, _hub(operator, request)
    after = request.query.get("after", "-1")
    begin = await telemetry.last(hub.hub_id) if after == LATEST else _whole(after, "after", -1)
    limit = min(_whole(request.query.get("limit", str(PAGE_LIMIT)), "limit", 1), PAGE_LIMIT)
    device_id = request.query.get("device") or None
    page = await telemetry.wait_and_read(hub.hub_id, begin, limit, device_id, _seconds(request.query.get("wait", "0")))
    shown = [_shown(message) for message in page.messages]
    return Answer(200, encode(MonitoredMessages(hub=hub.host_names[0], last=page.last, messages=shown)))


async def send_message(operator: OperatorUseCases, request: Request) -> Answer:
    message: OutgoingMessage = request.body
    body = message.body.encode() if message.body_base64 is UNSET else message.body_base64
    properties = MessageProperties(message.system_properties, message.properties)
    hub = _hub(operator, request)
    await _traffic(operator).messages.send(hub.hub_id, message.device_id, properties, body)
    return Answer(204)


def _shown(message: TelemetryMessage) -> MonitoredMessage:
    return MonitoredMessage(
        sequence=message.sequence,
        device_id=message.device_id,
        enqueued_time_utc=format_time(message.enqueued),
        system_properties=message.properties.system,
        properties=message.properties.application,
        **text_or_base64(message.body),
    )


def _whole(text: str, name: str, least: int) -> int:
    if len(text) > 18 or not text.removeprefix("-").isdecimal() or int(text) < least:
        raise InvalidArgument(f"{name} must be a whole number, {least} or more.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise InvalidArgument("wait must be a number of seconds.")
    return min(seconds, WAIT_LIMIT)


def _row(operation_id: str, method: str, path: str, handler: Any, summary: str, **more: Any) -> Operation:
    return Operation(
        operation_id=operation_id,
        api=Api.OPERATOR,
        method=method,
        path=path,
        handler=handler,
        right=Right.SERVICE_CONFIG,
        summary=summary,
        **more,
    )


HUB_MONITOR_OPERATIONS: Final = (
    _row(
        "HubTelemetry_Read",
        "GET",
        "/admin/hub/telemetry",
        read_telemetry,
        "What devices sent to an embedded hub, from a number on, or from now on (after=latest).",
        query_parameters=("hub", "device", "after", "limit", "wait"),
        responses={200: MonitoredMessages},
    ),
    _row(
        "HubMessages_Send",
        "POST",
        "/admin/hub/messages",
        send_message,
        "Queue a message for a device of an embedded hub.",
        query_parameters=("hub",),
        request_type=OutgoingMessage,
        body_required=True,
        responses={204: None},
    ),
)
