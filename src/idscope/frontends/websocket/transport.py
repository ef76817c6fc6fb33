"""Owns the transport that a protocol inside a WebSocket writes to. It must not know frames: what is written goes to the
connection, which makes frames of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol


class Wire(Protocol):
    """The connection beneath: the WebSocket and its transport."""

    raw: asyncio.Transport
    unsent_bytes: int  # written and not yet handed to the transport beneath

    def get_inner(self) -> asyncio.Protocol:
        """The protocol inside."""
        ...

    def set_inner(self, protocol: asyncio.Protocol) -> None:
        """Another protocol inside, from now on."""
        ...

    def send(self, data: bytes) -> None:
        """Send it, with what else is written in this turn of the event loop."""
        ...

    def start_closing(self) -> None:
        """Send what is written and a close frame, and wait for the client's."""
        ...

    def is_closing(self) -> bool:
        """Whether what is written now is lost."""
        ...

    def abort(self) -> None:
        """Close now, losing what is not sent yet."""
        ...


class WebSocketTransport(asyncio.Transport):
    """Has the calls of a `TlsTransport`.

    `get_extra_info` knows `websocket` (True) beside what the transport beneath knows.
    """

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data:
            self._wire.send(data if isinstance(data, bytes) else bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self.write(data)

    def close(self) -> None:
        """Send what is written, then shake hands on closing; `close_seconds` limit it."""
        self._wire.start_closing()

    finish_writing = close  # a closing handshake reads on anyway, so that what is sent last arrives

    def abort(self) -> None:
        self._wire.abort()

    def is_closing(self) -> bool:
        return self._wire.is_closing()

    def can_write_eof(self) -> bool:
        return False

    # Flow control is the business of the transport beneath.

    def pause_reading(self) -> None:
        if not self._wire.is_closing():
            self._wire.raw.pause_reading()

    def resume_reading(self) -> None:
        if not self._wire.is_closing():
            self._wire.raw.resume_reading()

    def is_reading(self) -> bool:
        return self._wire.raw.is_reading() and not self._wire.is_closing()

    def get_write_buffer_size(self) -> int:
        return self._wire.raw.get_write_buffer_size() + self._wire.unsent_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._wire.raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._wire.raw.set_write_buffer_limits(high, low)

    # Who is inside, and who is outside

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._wire.get_inner()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError("a protocol inside a WebSocket takes a stream")
        self._wire.set_inner(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return True if name == "websocket" else self._wire.raw.get_extra_info(name, default)
