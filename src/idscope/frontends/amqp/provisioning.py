"""Owns the words of provisioning over AMQP: addresses, link properties, operations. It must not know how they travel,
nor decide anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from idscope.errors import BodyTooLarge, InvalidArgument, RouteNotFound
from idscope.frontends.http.operations import DEVICE_BODY_LIMIT
from idscope.model.api_version import ApiVersion, check_published, parse_api_version

API_VERSION_PROPERTY: Final = "com.microsoft:api-version"
OPERATION_TYPE: Final = "iotdps-operation-type"
OPERATION_ID: Final = "iotdps-operation-id"

REGISTER: Final = "iotdps-register"
GET_OPERATION_STATUS: Final = "iotdps-get-operationstatus"
GET_REGISTRATION: Final = "iotdps-get-registration"  # a constant of two clients, never seen on a wire
OPERATIONS: Final = frozenset((REGISTER, GET_OPERATION_STATUS, GET_REGISTRATION))

_MAX_OPERATION_ID: Final = 256
# Three spellings (observed): `scope/registrations/id`, with a slash before it, and as a URL of any host.
_ADDRESS: Final = re.compile(r"(?:amqps?://[^/]*/|/)?([^/]+)/registrations/([^/]+)/?\Z", re.IGNORECASE)


class Identity(msgspec.Struct, frozen=True):
    """Who a device says it is."""

    id_scope: str
    registration_id: str

    def is_same(self, other: Identity) -> bool:
        """Neither id knows case."""
        return (self.id_scope.lower(), self.registration_id.lower()) == (
            other.id_scope.lower(),
            other.registration_id.lower(),
        )


class Request(msgspec.Struct, frozen=True):
    """One request; `body` is empty where none was sent, or one that the operation does not read."""

    operation: str
    operation_id: str
    body: bytes


def parse_address(address: str | None) -> Identity:
    """Raises RouteNotFound."""
    match = _ADDRESS.match(address or "")
    if match is None:
        raise RouteNotFound("A link's address is {idScope}/registrations/{registrationId}.")
    return Identity(unquote(match[1]), unquote(match[2]))


def link_version(properties: Mapping[str, Any], *, strict: bool) -> ApiVersion:
    """Raises UnsupportedApiVersion."""
    text = properties.get(API_VERSION_PROPERTY)
    version = parse_api_version(text if isinstance(text, str) else None)
    if strict:
        check_published(version)
    return version


def read_request(properties: Mapping[str, Any], body: object) -> Request:
    """Raises InvalidArgument, BodyTooLarge."""
    operation = properties.get(OPERATION_TYPE)
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise InvalidArgument(f"The application property {OPERATION_TYPE} names no operation.")
    if operation == GET_OPERATION_STATUS:
        operation_id = properties.get(OPERATION_ID)
        if not isinstance(operation_id, str) or not operation_id:
            raise InvalidArgument(f"The application property {OPERATION_ID} is missing.")
        # quirk: what stands in a poll's body is each client's own: register's document, a word, nothing.
        return Request(operation, operation_id[:_MAX_OPERATION_ID], b"")
    return Request(operation, "", _body_bytes(body))


def _body_bytes(body: object) -> bytes:
    """quirk: clients send data, an empty string or nothing at all."""
    if body is None:
        return b""
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise InvalidArgument("The body is neither data nor a text.")
    if len(body) > DEVICE_BODY_LIMIT:
        raise BodyTooLarge
    return bytes(body)
