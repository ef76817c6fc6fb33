"""Owns the AMQP 1.0 types that SASL frames are made of (AMQP 1.0 part 1, section 1.6), strictly: whatever else comes
is an error. It must not know what a frame means."""

from __future__ import annotations

from typing import Final

Value = str | bytes | None

FRAME_LIMIT: Final = 512  # AMQP 1.0 part 5, section 5.3.1: a SASL frame is never larger
_FRAME_HEADER: Final = 8
_SASL_FRAME: Final = 1

_NULL: Final = 0x40
_DESCRIBED: Final = 0x00
_SMALL_ULONG: Final = 0x53
_ULONG: Final = 0x80
_LIST0: Final = 0x45
_LIST8: Final = 0xC0
_LIST32: Final = 0xD0
_SYMBOL8: Final = 0xA3
_SYMBOL32: Final = 0xB3
_ARRAY8: Final = 0xE0
_BINARY8: Final = 0xA0
_BINARY32: Final = 0xB0
_UBYTE: Final = 0x50

_TEXT_FORMATS: Final = {_SYMBOL8: (1, "ascii"), _SYMBOL32: (4, "ascii"), 0xA1: (1, "utf-8"), 0xB1: (4, "utf-8")}
_BINARY_FORMATS: Final = {_BINARY8: 1, _BINARY32: 4}


class MalformedFrame(Exception):
    """Bytes that are no SASL frame; the text names what is wrong, never what the bytes were."""


def frame_size(head: bytes | bytearray) -> int:
    """The size of the frame that begins with these bytes, of which there are at least eight.

    Raises MalformedFrame where it is no SASL frame, or too large for one.
    """
    size = int.from_bytes(head[:4], "big")
    offset = head[4] * 4
    if size > FRAME_LIMIT:
        raise MalformedFrame("a SASL frame is larger than 512 bytes")
    if offset < _FRAME_HEADER or offset > size:
        raise MalformedFrame("a frame's data offset lies outside of it")
    if head[5] != _SASL_FRAME:
        raise MalformedFrame("a frame of another type than SASL")
    return size


def read_frame(frame: bytes) -> tuple[int, list[Value]]:
    """The descriptor and the fields of a whole frame; raises MalformedFrame."""
    reader = _Reader(frame, frame[4] * 4)
    if reader.byte() != _DESCRIBED:
        raise MalformedFrame("a frame's body is no described type")
    descriptor = reader.ulong()
    fields = reader.fields()
    if not reader.at_end:
        raise MalformedFrame("bytes after a frame's body")
    return descriptor, fields


class _Reader:
    """A position in bytes; every read is checked against their end."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position
        self._end = len(data)

    @property
    def at_end(self) -> bool:
        return self._position == self._end

    def take(self, count: int) -> bytes:
        begin, self._position = self._position, self._position + count
        if self._position > self._end:
            raise MalformedFrame("a value ends outside of its frame")
        return self._data[begin : self._position]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def ulong(self) -> int:
        constructor = self.byte()
        if constructor == _SMALL_ULONG:
            return self.byte()
        if constructor == _ULONG:
            return self.number(8)
        raise MalformedFrame("a descriptor is no ulong")

    def fields(self) -> list[Value]:
        constructor = self.byte()
        if constructor == _LIST0:
            return []
        if constructor not in (_LIST8, _LIST32):
            raise MalformedFrame("a frame's fields are no list")
        width = 1 if constructor == _LIST8 else 4
        size = self.number(width)
        if size != self._end - self._position:
            raise MalformedFrame("a list's size is not that of its frame")
        count = self.number(width)
        if count > size:  # each takes a byte at least
            raise MalformedFrame("a list counts more fields than it holds")
        return [self.value() for _ in range(count)]

    def value(self) -> Value:
        constructor = self.byte()
        if constructor == _NULL:
            return None
        if constructor in _BINARY_FORMATS:
            return self.take(self.number(_BINARY_FORMATS[constructor]))
        if constructor not in _TEXT_FORMATS:
            raise MalformedFrame("a field's type has no place in a SASL frame")
        width, encoding = _TEXT_FORMATS[constructor]
        try:
            return self.take(self.number(width)).decode(encoding)
        except UnicodeDecodeError:
            raise MalformedFrame("a text is not of its encoding") from None


def frame(descriptor: int, field: bytes) -> bytes:
    """A SASL frame with one encoded field; raises ValueError where it would be larger than a frame may be."""
    body = bytes((_DESCRIBED, _SMALL_ULONG, descriptor, _LIST32))
    body += (len(field) + 4).to_bytes(4, "big") + (1).to_bytes(4, "big") + field
    size = _FRAME_HEADER + len(body)
    if size > FRAME_LIMIT:
        raise ValueError("a SASL frame larger than 512 bytes")
    return size.to_bytes(4, "big") + bytes((2, _SASL_FRAME, 0, 0)) + body


def binary(value: bytes) -> bytes:
    """A binary, in the shortest form."""
    if len(value) < 256:
        return bytes((_BINARY8, len(value))) + value
    return bytes((_BINARY32,)) + len(value).to_bytes(4, "big") + value


def ubyte(value: int) -> bytes:
    """An unsigned byte."""
    return bytes((_UBYTE, value))


def symbols(values: tuple[str, ...]) -> bytes:
    """An array of symbols, also of one: all clients read it (observed)."""
    elements = b"".join(bytes((len(value),)) + value.encode("ascii") for value in values)
    return bytes((_ARRAY8, len(elements) + 2, len(values), _SYMBOL8)) + elements
