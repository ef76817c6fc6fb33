"""Owns the topics of the provisioning service: requests read leniently, answers written byte for byte as every client
parses them. It must not know what a request leads to.

    $dps/registrations/PUT/iotdps-register/?$rid={rid}
    $dps/registrations/GET/iotdps-get-operationstatus/?$rid={rid}&operationId={operationId}
    $dps/registrations/res/{status}/?$rid={rid}[&retry-after={seconds}]

Source: D:iot-dps-mqtt-support, and what six SDKs send and parse (observed).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from idscope.frontends.mqtt.user_name import fields_of

MAX_REQUEST_ID: Final = 256
MAX_OPERATION_ID: Final = 256
ANSWERS: Final = "$dps/registrations/res/"
_REQUESTS: Final = "$dps/registrations/"


class Verb(Enum):
    """What is asked."""

    REGISTER = auto()
    LOOK_UP = auto()
    UNKNOWN = auto()


_VERBS: Final = {
    "put/iotdps-register": Verb.REGISTER,
    "get/iotdps-get-operationstatus": Verb.LOOK_UP,
}


class DeviceCall(msgspec.Struct, frozen=True):
    """A request's topic. `request_id` is as it was sent, to be echoed; empty where none was."""

    verb: Verb
    request_id: str
    operation_id: str


def parse_call(topic: str) -> DeviceCall | None:
    """What the topic asks; None where it is none of this service's, or its answer could not be told.

    Fixed parts compare without case; parameters come in any order, of a repeated one the first counts.
    """
    path, _, query = topic.partition("?")
    if not path.startswith(_REQUESTS):
        return None
    verb = _VERBS.get(path[len(_REQUESTS) :].rstrip("/").lower(), Verb.UNKNOWN)
    request_id = next((field[5:] for field in query.split("&") if field.startswith("$rid=")), "")
    if len(request_id) > MAX_REQUEST_ID:
        return None
    return DeviceCall(verb, request_id, fields_of(query).get("operationId", "")[:MAX_OPERATION_ID])


def answer_topic(status: int, request_id: str, retry_after: int | None = None) -> str:
    """`$rid` first and once: clients cut the topic at its `$` (observed)."""
    topic = f"{ANSWERS}{status}/?$rid={request_id}"
    return topic if retry_after is None else f"{topic}&retry-after={retry_after}"
