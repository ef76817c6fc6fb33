"""Owns the cutting of a byte stream into packets, whatever the pieces in which it comes. It must not know what the
packets mean to each other."""

from __future__ import annotations

from typing import Final

from idscope.protocols.mqtt.decoding import check_first_byte, decode
from idscope.protocols.mqtt.packets import Packet, ProtocolError

MAX_HEADER: Final = 5  # bytes before the body of a packet, at most


class PacketReader:
    """Fed with bytes, gives packets.

    A packet longer than `limit` bytes (its remaining length) is refused by its header, before its body is kept; so
    no more is held than the packets fed and not taken yet, and one unfinished packet of at most `limit`.
    """

    __slots__ = ("_at", "_buffer", "_failed", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self._failed: str | None = None

    @property
    def buffered(self) -> int:
        """Bytes that wait to be taken as packets, whole or not."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """More bytes of the stream."""
        buffer = self._buffer
        if self._at == len(buffer):
            self._buffer = bytes(data)
        elif isinstance(buffer, bytearray):  # grows in place: a packet sent byte by byte is not copied byte by byte
            del buffer[: self._at]
            buffer += data
        else:
            self._buffer = bytearray(buffer[self._at :]) + data
        self._at = 0

    def clear(self) -> None:
        """Nothing more is wanted of this stream."""
        self._buffer = b""
        self._at = 0

    def take(self) -> Packet | None:
        """The next packet, None until it is whole. Raises ProtocolError, and then always the same."""
        if self._failed is not None:
            raise ProtocolError(self._failed)
        try:
            return self._take()
        except ProtocolError as error:
            self._failed = str(error)
            self.clear()
            raise

    def _take(self) -> Packet | None:
        buffer, at = self._buffer, self._at
        size = len(buffer)
        if at >= size:
            return None
        first = buffer[at]
        check_first_byte(first)
        if size > at + 1 and buffer[at + 1] < 0x80:
            start, length = at + 2, buffer[at + 1]
        else:
            header = self._remaining_length(at + 1)
            if header is None:
                return None
            start, length = header
        if length > self.limit:
            raise ProtocolError(f"a packet of {length} bytes, where {self.limit} are the limit")
        end = start + length
        if end > size:
            return None
        self._at = end
        return decode(first, bytes(buffer[start:end]))

    def _remaining_length(self, at: int) -> tuple[int, int] | None:
        """Where the body begins and how long it is, None until that is known [2.2.3]."""
        length = 0
        for place, byte in enumerate(self._buffer[at : at + 4]):
            length |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if place and not byte:
                    raise ProtocolError("a remaining length has more bytes than it needs")
                return at + place + 1, length
        if len(self._buffer) >= at + 4:
            raise ProtocolError("a remaining length has more than four bytes")
        return None
