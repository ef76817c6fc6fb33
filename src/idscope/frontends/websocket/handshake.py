"""Owns the opening handshake of RFC 6455 (4.2): which upgrade requests open a WebSocket, and the 101. It must not know
what is spoken inside, nor how requests are read.

Extensions are never agreed on: what devices send is too short for compression to pay, and a compressed frame could
hold any number of bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Container, Iterable, Iterator
from typing import Final

from idscope.errors import InvalidArgument, UnsupportedWebSocketVersion

Headers = Iterable[tuple[bytes, bytes]]

VERSION: Final = b"13"
# Node, Python and C ask for the last one, Java for /mqtt, C# for the root.
PATHS: Final = frozenset(("", "/mqtt", "/$iothub/websocket"))

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_KEY_BYTES: Final = 16


def asks_for_websocket(path: str, headers: Headers) -> bool:
    """Whether an upgrade request to this path, percent-decoded, is one for a WebSocket.

    As in the routes of the REST APIs, case and one trailing slash do not count.
    """
    if path.lower().removesuffix("/") not in PATHS:
        return False
    return any(token.lower() == b"websocket" for token in _listed(headers, b"upgrade"))


def check_request(method: str, http_version: str, headers: Headers) -> bytes:
    """The `Sec-WebSocket-Accept` that answers this request. Raises InvalidArgument, UnsupportedWebSocketVersion."""
    headers = tuple(headers)
    if method != "GET" or http_version != "1.1":
        raise InvalidArgument("A WebSocket is opened by GET in HTTP/1.1.")
    if list(_values(headers, b"sec-websocket-version")) != [VERSION]:
        raise UnsupportedWebSocketVersion
    keys = list(_values(headers, b"sec-websocket-key"))
    if len(keys) != 1 or not _is_key(keys[0]):
        raise InvalidArgument("Sec-WebSocket-Key must be 16 bytes in Base64.")
    return base64.b64encode(hashlib.sha1(keys[0] + _GUID, usedforsecurity=False).digest())


def choose_subprotocol(headers: Headers, known: Container[str]) -> str:
    """The first sub-protocol on offer whose lower-cased name is known, as the client spells it. Raises
    InvalidArgument."""
    for offered in _listed(headers, b"sec-websocket-protocol"):
        name = offered.decode("latin-1")
        if name.lower() in known:
            return name
    raise InvalidArgument("No sub-protocol that is spoken here is on offer (Sec-WebSocket-Protocol).")


def switching(accept: bytes, subprotocol: str, headers: Headers) -> bytes:
    """The whole 101, with these headers beside its own."""
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        *(name + b": " + value for name, value in headers),
        b"upgrade: websocket",
        b"connection: Upgrade",
        b"sec-websocket-accept: " + accept,
        b"sec-websocket-protocol: " + subprotocol.encode("latin-1"),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _values(headers: Headers, wanted: bytes) -> Iterator[bytes]:
    return (value.strip() for name, value in headers if name == wanted)


def _listed(headers: Headers, wanted: bytes) -> Iterator[bytes]:
    """The members of a list, in one header or in several."""
    return (token.strip() for value in _values(headers, wanted) for token in value.split(b","))


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
