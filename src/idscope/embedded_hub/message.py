"""Owns a message between a device and its hub: properties, body, sizes. It must not know a wire, nor where messages are
kept.

System properties bear the names of the hub's REST headers and documents (`messageId`, `contentType`), application
properties those of their sender.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from idscope.errors import HubArgumentInvalid, HubMessageTooLarge
from idscope.model.document import decode, encode

KIBIBYTE: Final = 1024
DEVICE_TO_CLOUD_LIMIT: Final = 256 * KIBIBYTE  # published, like the next
CLOUD_TO_DEVICE_LIMIT: Final = 64 * KIBIBYTE
_MAX_ID_LENGTH: Final = 128  # published: of a message id


class MessageProperties(msgspec.Struct, frozen=True, omit_defaults=True):
    """Both kinds, in the order in which they were given."""

    system: dict[str, str] = {}
    application: dict[str, str] = {}

    def size(self) -> int:
        """Bytes of all names and values."""
        pairs = (*self.system.items(), *self.application.items())
        return sum(len(name.encode()) + len(value.encode()) for name, value in pairs)


def stored_properties(document: bytes) -> MessageProperties:
    return decode(document, MessageProperties)


def properties_document(properties: MessageProperties) -> bytes:
    return encode(properties)


def check_size(properties: MessageProperties, body: bytes, limit: int) -> None:
    """Raises HubMessageTooLarge, HubArgumentInvalid."""
    if len(properties.system.get("messageId", "")) > _MAX_ID_LENGTH:
        raise HubArgumentInvalid(f"A messageId may have up to {_MAX_ID_LENGTH} characters.")
    size = len(body) + properties.size()
    if size > limit:
        raise HubMessageTooLarge(f"The message has {size} bytes with its properties; {limit} are allowed.")


def text_or_base64(body: bytes) -> dict[str, Any]:
    """The body as a member of a document: `body` where it is UTF-8 text, otherwise `body_base64`."""
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": body}
