"""Owns the topics of a hub's devices and the property bags in them: read leniently, written as clients parse them.
It must not know what a request leads to.

    devices/{device}/messages/events/{properties}                   from the device, telemetry
    devices/{device}/messages/devicebound/{properties}              to the device
    $iothub/methods/POST/{name}/?$rid={rid}                         to the device
    $iothub/methods/res/{status}/?$rid={rid}                        from the device
    $iothub/twin/GET/?$rid={rid}                                    from the device
    $iothub/twin/PATCH/properties/reported/?$rid={rid}              from the device
    $iothub/twin/res/{status}/?$rid={rid}[&$version={n}]            to the device
    $iothub/twin/PATCH/properties/desired/?$version={n}             to the device

Source: the published MQTT guide of IoT Hub, and what two SDKs send and parse (observed).
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from idscope.embedded_hub.message import MessageProperties
from idscope.embedded_hub.session import MESSAGES
from idscope.frontends.mqtt.user_name import fields_of

METHODS_FILTER: Final = "$iothub/methods/POST/#"
DESIRED_FILTER: Final = "$iothub/twin/PATCH/properties/desired/#"
TWIN_ANSWERS_FILTER: Final = "$iothub/twin/res/#"
_MAX_REQUEST_ID: Final = 256

_TELEMETRY: Final = re.compile(r"devices/(?P<device>[^/]+)/messages/events(?:/(?P<bag>.*))?\Z", re.DOTALL)
_TWIN_GET: Final = re.compile(r"\$iothub/twin/GET/\?(?P<query>[^/]*)\Z")
_TWIN_PATCH: Final = re.compile(r"\$iothub/twin/PATCH/properties/reported/\?(?P<query>[^/]*)\Z")
_METHOD_ANSWER: Final = re.compile(r"\$iothub/methods/res/(?P<status>-?\d{1,9})/\?(?P<query>[^/]*)\Z", re.ASCII)
_MESSAGES_FILTER: Final = re.compile(r"devices/(?P<device>[^/]+)/messages/devicebound/#\Z")

# System properties: what they are called in a property bag, and in documents and headers (published).
_SYSTEM: Final = {
    "$.mid": "messageId",
    "$.cid": "correlationId",
    "$.uid": "userId",
    "$.to": "to",
    "$.ct": "contentType",
    "$.ce": "contentEncoding",
    "$.exp": "expiryTimeUtc",
    "$.ctime": "creationTimeUtc",
    "$.on": "outputName",
    "$.sub": "componentName",
    "$.ifid": "interfaceId",
    "iothub-ack": "ack",
}
_IN_BAG: Final = {name: short for short, name in _SYSTEM.items()}


class Asks(Enum):
    """What a device's publish is."""

    TELEMETRY = auto()
    TWIN_GET = auto()
    TWIN_PATCH = auto()
    METHOD_ANSWER = auto()


class DevicePublish(msgspec.Struct, frozen=True):
    """A topic taken apart; `request_id` is as it was sent, empty where none was; `status` is that of a method."""

    asks: Asks
    request_id: str = ""
    status: int = 0
    properties: MessageProperties = MessageProperties()


def parse_publish(topic: str, device_id: str) -> DevicePublish | None:
    """What the device publishes; None where it may not, or it is nothing of a hub's."""
    if match := _TELEMETRY.match(topic):
        mine = _names(match["device"], device_id)
        return DevicePublish(Asks.TELEMETRY, properties=parse_bag(match["bag"] or "")) if mine else None
    if match := _TWIN_GET.match(topic):
        return _request(Asks.TWIN_GET, match["query"])
    if match := _TWIN_PATCH.match(topic):
        return _request(Asks.TWIN_PATCH, match["query"])
    if match := _METHOD_ANSWER.match(topic):
        return _request(Asks.METHOD_ANSWER, match["query"], int(match["status"]))
    return None


def _request(asks: Asks, query: str, status: int = 0) -> DevicePublish | None:
    request_id = next((one[5:] for one in query.split("&") if one.startswith("$rid=")), "")
    return None if len(request_id) > _MAX_REQUEST_ID else DevicePublish(asks, request_id, status)


def _names(segment: str, device_id: str) -> bool:
    """quirk: Python percent-encodes the device id in its topics."""
    return device_id in {segment, unquote(segment)}


def messages_prefix(text: str, device_id: str) -> str | None:
    """Where cloud-to-device messages go if this filter asks for them; None if it does not.

    quirk: embedded C leaves the device id to a `+`.
    """
    match = _MESSAGES_FILTER.match(text)
    if match is None or not (match["device"] == "+" or _names(match["device"], device_id)):
        return None
    return f"devices/{device_id if match['device'] == '+' else match['device']}/messages/devicebound/"


def feature_of(text: str, device_id: str) -> str | None:
    """What a filter asks the hub to send, in the hub's words; empty for answers, None where it is refused."""
    if messages_prefix(text, device_id) is not None:
        return MESSAGES
    return {METHODS_FILTER: "methods", DESIRED_FILTER: "desired", TWIN_ANSWERS_FILTER: ""}.get(text)


def parse_bag(bag: str) -> MessageProperties:
    """The properties at the end of a telemetry topic; a `?` before them is ignored."""
    system: dict[str, str] = {}
    application: dict[str, str] = {}
    for name, value in fields_of(bag.removeprefix("?").rstrip("/")).items():
        if name in _SYSTEM:
            system[_SYSTEM[name]] = value
        elif name:
            application[name] = value
    return MessageProperties(system, application)


def message_topic(prefix: str, device_id: str, properties: MessageProperties) -> str:
    """The topic of a cloud-to-device message. `to` always names the device (observed)."""
    system = {**properties.system, "to": f"/devices/{device_id}/messages/devicebound"}
    pairs = [(_IN_BAG.get(name, name), value) for name, value in system.items()]
    pairs += properties.application.items()
    return prefix + "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs)


def _encoded(text: str) -> str:
    return quote(text, safe="")


def call_topic(name: str, request_id: str) -> str:
    return f"$iothub/methods/POST/{name}/?$rid={request_id}"


def twin_answer_topic(status: int, request_id: str, version: int | None = None) -> str:
    """`$version` goes with a patch that was taken."""
    topic = f"$iothub/twin/res/{status}/?$rid={request_id}"
    return topic if version is None else f"{topic}&$version={version}"


def desired_topic(version: int) -> str:
    return f"$iothub/twin/PATCH/properties/desired/?$version={version}"
