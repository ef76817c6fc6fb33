"""Owns the AMQP 1.0 types that SASL frames are made of (AMQP 1.0 part 1, section 1.6), and where any value ends,
strictly: whatever else comes is an error. It must not know what a frame or a message means."""

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
_FIXED_WIDTHS: Final = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}  # by the constructor's first half
_SIZE_WIDTHS: Final = {0xA: 1, 0xB: 4, 0xC: 1, 0xD: 4, 0xE: 1, 0xF: 4}
_FIRST_SECTION: Final = 0x70
_LAST_SECTION: Final = 0x78


class Malformed(Exception):
    """Bytes that are not what they should be; the text names what is wrong, never what the bytes were."""


def frame_size(head: bytes | bytearray) -> int:
    """The size of the frame that begins with these bytes, of which there are at least eight.

    Raises Malformed where it is no SASL frame, or too large for one.
    """
    size = int.from_bytes(head[:4], "big")
    offset = head[4] * 4
    if size > FRAME_LIMIT:
        raise Malformed("a SASL frame is larger than 512 bytes")
    if offset < _FRAME_HEADER or offset > size:
        raise Malformed("a frame's data offset lies outside of it")
    if head[5] != _SASL_FRAME:
        raise Malformed("a frame of another type than SASL")
    return size


def read_frame(frame: bytes) -> tuple[int, list[Value]]:
    """The descriptor and the fields of a whole frame; raises Malformed."""
    reader = _Reader(frame, frame[4] * 4)
    if reader.byte() != _DESCRIBED:
        raise Malformed("a frame's body is no described type")
    descriptor = reader.ulong()
    fields = reader.fields()
    if not reader.at_end:
        raise Malformed("bytes after a frame's body")
    return descriptor, fields


def check_sections(message: bytes) -> None:
    """Raises Malformed where a message is not one whole section after the other (part 3, section 3.2).

    An engine that reads what it can would take a message cut short for one without its last section.
    """
    reader = _Reader(message, 0)
    while not reader.at_end:
        if reader.byte() != _DESCRIBED:
            raise Malformed("a section is no described type")
        if not _FIRST_SECTION <= reader.ulong() <= _LAST_SECTION:
            raise Malformed("a section that no message has")
        reader.skip()


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
            raise Malformed("a value ends outside of its frame")
        return self._data[begin : self._position]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def skip(self) -> None:
        """A value of any type, by the width that its constructor tells (part 1, section 1.2)."""
        width = self.byte() >> 4
        if width in _FIXED_WIDTHS:
            self.take(_FIXED_WIDTHS[width])
        elif width in _SIZE_WIDTHS:
            self.take(self.number(_SIZE_WIDTHS[width]))
        else:
            raise Malformed("a value of no type")

    def ulong(self) -> int:
        constructor = self.byte()
        if constructor == _SMALL_ULONG:
            return self.byte()
        if constructor == _ULONG:
            return self.number(8)
        raise Malformed("a descriptor is no ulong")

    def fields(self) -> list[Value]:
        constructor = self.byte()
        if constructor == _LIST0:
            return []
        if constructor not in (_LIST8, _LIST32):
            raise Malformed("a frame's fields are no list")
        width = 1 if constructor == _LIST8 else 4
        size = self.number(width)
        if size != self._end - self._position:
            raise Malformed("a list's size is not that of its frame")
        count = self.number(width)
        if count > size:  # each takes a byte at least
            raise Malformed("a list counts more fields than it holds")
        return [self.value() for _ in range(count)]

    def value(self) -> Value:
        constructor = self.byte()
        if constructor == _NULL:
            return None
        if constructor in _BINARY_FORMATS:
            return self.take(self.number(_BINARY_FORMATS[constructor]))
        if constructor not in _TEXT_FORMATS:
            raise Malformed("a field's type has no place in a SASL frame")
        width, encoding = _TEXT_FORMATS[constructor]
        try:
            return self.take(self.number(width)).decode(encoding)
        except UnicodeDecodeError:
            raise Malformed("a text is not of its encoding") from None


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
