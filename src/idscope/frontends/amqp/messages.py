"""Owns AMQP messages as values: what was received, what is sent. It must not know what they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from proton import Message, int32

from idscope.errors import InvalidArgument
from idscope.protocols.amqp.codec import check_sections

CorrelationId = str | bytes | int | UUID | None  # the four types that AMQP allows: string, binary, ulong, uuid


class Received(msgspec.Struct, frozen=True):
    """`properties` are those of the application; `body` is bytes for data, the value for amqp-value, None for none."""

    correlation_id: CorrelationId
    properties: Mapping[str, Any]
    body: object


def read_message(encoded: bytes) -> Received:
    """Raises InvalidArgument where it is no message."""
    message = Message()
    try:
        check_sections(encoded)
        message.decode(encoded)
        properties: object = message.properties
        return Received(
            _kept(message.correlation_id), properties if isinstance(properties, dict) else {}, _kept(message.body)
        )
    except Exception as error:  # noqa: BLE001  proton has an exception of its own kind for each way to be malformed
        raise InvalidArgument("The message is not valid AMQP.", reason=type(error).__name__) from None


def _kept(value: Any) -> Any:
    """The value, where it is a view of memory that goes with its message: a copy."""
    return bytes(value) if isinstance(value, memoryview) else value


def write_message(correlation_id: CorrelationId, properties: Mapping[str, int], body: bytes) -> bytes:
    """A message with one data section; numbers are AMQP ints, which alone all clients read."""
    message: Any = Message(body=body, inferred=True)
    if correlation_id is not None:
        message.correlation_id = correlation_id
    if properties:
        message.properties = {name: int32(value) for name, value in properties.items()}
    return bytes(message.encode())
