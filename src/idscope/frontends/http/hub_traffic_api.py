"""Owns the rows of the IoT Hub service API that reach a device: direct methods and cloud-to-device messages.
It must not know where the device is connected, nor whether.

The official service SDKs send messages over AMQP only; the POST here is the classic REST of the hub, whose message
properties are headers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from idscope.clock import from_datetime
from idscope.directory import Right
from idscope.embedded_hub import Delivery
from idscope.embedded_hub.documents import PurgeMessageQueueResult
from idscope.embedded_hub.message import CLOUD_TO_DEVICE_LIMIT, MessageProperties
from idscope.embedded_hub.methods import PAYLOAD_LIMIT, MethodRequest, MethodResult
from idscope.errors import HubArgumentInvalid, HubUnavailable
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.hub_api import HubUseCases, hub_id_of
from idscope.frontends.http.operations import KIBIBYTE, Api, Operation, Request
from idscope.model.document import encode

APPLICATION_PREFIX: Final = "iothub-app-"
EXPIRY: Final = "iothub-expiry"
_SYSTEM_HEADERS: Final = {
    "iothub-messageid": "messageId",
    "iothub-correlationid": "correlationId",
    "iothub-userid": "userId",
    "iothub-contenttype": "contentType",
    "iothub-contentencoding": "contentEncoding",
    "iothub-ack": "ack",
}
_NO_BODY: Final = 16 * KIBIBYTE


def _delivery(hub: HubUseCases) -> Delivery:
    if hub.delivery is None:
        raise HubUnavailable("Devices do not connect to this hub.")
    return hub.delivery


async def invoke_method(hub: HubUseCases, request: Request) -> Answer:
    """404103 where the device is not there to be asked, 504101 where it does not answer in time (published)."""
    asked: MethodRequest = request.body
    result = await _delivery(hub).methods.invoke(hub_id_of(request), request.path["id"], asked)
    return Answer(200, encode(result))


async def send_message(hub: HubUseCases, request: Request) -> Answer:
    expires = _expiry(request.headers.get(EXPIRY))
    properties = _properties(request.headers)
    messages = _delivery(hub).messages
    await messages.send(hub_id_of(request), request.path["id"], properties, request.body, expires)
    return Answer(204)


async def purge_messages(hub: HubUseCases, request: Request) -> Answer:
    device_id = request.path["id"]
    purged = await _delivery(hub).messages.purge(hub_id_of(request), device_id)
    return Answer(200, encode(PurgeMessageQueueResult(total_messages_purged=purged, device_id=device_id)))


def _properties(headers: dict[str, str]) -> MessageProperties:
    """Names of application properties come in lower case: a header's name has none."""
    system = {name: headers[header] for header, name in _SYSTEM_HEADERS.items() if header in headers}
    application = {
        header.removeprefix(APPLICATION_PREFIX): value
        for header, value in headers.items()
        if header.startswith(APPLICATION_PREFIX)
    }
    return MessageProperties(system, application)


def _expiry(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise HubArgumentInvalid(f"The {EXPIRY} header is no time.") from None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


HUB_TRAFFIC_OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        operation_id="Devices_InvokeMethod",
        api=Api.HUB,
        method="POST",
        path="/twins/{id}/methods",
        handler=invoke_method,
        right=Right.SERVICE_CONNECT,
        request_type=MethodRequest,
        body_required=True,
        body_limit=PAYLOAD_LIMIT + KIBIBYTE,
        responses={200: MethodResult},
        summary="Call a direct method of a connected device and wait for its answer.",
    ),
    Operation(
        operation_id="CloudToDeviceMessages_Send",
        api=Api.HUB,
        method="POST",
        path="/devices/{id}/messages/devicebound",
        handler=send_message,
        right=Right.SERVICE_CONNECT,
        request_type=bytes,
        body_limit=CLOUD_TO_DEVICE_LIMIT + KIBIBYTE,
        responses={204: None},
        request_headers=(*_SYSTEM_HEADERS, EXPIRY),
        summary="Queue a message for a device; application properties are headers that begin with iothub-app-.",
    ),
    Operation(
        operation_id="CloudToDeviceMessages_PurgeCloudToDeviceMessageQueue",
        api=Api.HUB,
        method="DELETE",
        path="/devices/{id}/commands",
        handler=purge_messages,
        right=Right.SERVICE_CONNECT,
        body_limit=_NO_BODY,
        responses={200: PurgeMessageQueueResult},
        summary="Drop all messages that wait for a device.",
    ),
)
