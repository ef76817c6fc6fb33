"""Reads and writes AMQP 1.0 frames a second time, for tests, from the standard alone. It must not know proton, nor the
code under test."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SASL = b"AMQP\x03\x01\x00\x00"
AMQP = b"AMQP\x00\x01\x00\x00"

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
MECHANISMS, INIT, CHALLENGE, RESPONSE, OUTCOME = range(0x40, 0x45)
ACCEPTED, REJECTED, SOURCE, TARGET, ERROR = 0x24, 0x25, 0x28, 0x29, 0x1D
PROPERTIES, APPLICATION_PROPERTIES, DATA, VALUE = 0x73, 0x74, 0x75, 0x77


class Symbol(str):
    __slots__ = ()


class Int(int):
    """AMQP's `int`: no other numeric type."""


class Ulong(int):
    pass


@dataclass(frozen=True)
class Described:
    """A described value."""

    descriptor: Any
    value: Any


@dataclass(frozen=True)
class Frame:
    """`body` is None for an empty frame; `payload` is what follows it."""

    kind: int
    channel: int
    body: Described | None
    payload: bytes

    @property
    def performative(self) -> int | None:
        return None if self.body is None else int(self.body.descriptor)

    def field(self, index: int) -> Any:
        assert self.body is not None
        fields = self.body.value
        return fields[index] if index < len(fields) else None


_NUMBERS = {
    0x50: (">B", int), 0x51: (">b", int), 0x52: (">B", int), 0x53: (">B", Ulong), 0x54: (">b", Int), 0x55: (">b", int),
    0x60: (">H", int), 0x61: (">h", int), 0x70: (">I", int), 0x71: (">i", Int), 0x72: (">f", float),
    0x80: (">Q", Ulong), 0x81: (">q", int), 0x82: (">d", float), 0x83: (">q", int),
}  # fmt: skip
_CONSTANTS: dict[int, Any] = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: Ulong(0), 0x45: []}


def decode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """A value and where it ends."""
    code = data[at]
    at += 1
    if code == 0:
        descriptor, at = decode(data, at)
        value, at = decode(data, at)
        return Described(descriptor, value), at
    if code in _CONSTANTS:
        return _CONSTANTS[code], at
    return _decode_sized(code, data, at)


def _decode_sized(code: int, data: bytes, at: int) -> tuple[Any, int]:
    if code in _NUMBERS:
        form, kind = _NUMBERS[code]
        end = at + struct.calcsize(form)
        return kind(struct.unpack(form, data[at:end])[0]), end
    if code == 0x56:
        return bool(data[at]), at + 1
    if code == 0x98:
        return uuid.UUID(bytes=data[at : at + 16]), at + 16
    width = 4 if code & 0x10 else 1
    size = int.from_bytes(data[at : at + width], "big")
    at += width
    end = at + size
    assert end <= len(data), "a value ends outside of its frame"
    family = code & 0xEF
    if family in (0xA0, 0xA1, 0xA3):
        raw = data[at:end]
        return (raw if family == 0xA0 else Symbol(raw.decode()) if family == 0xA3 else raw.decode()), end
    count = int.from_bytes(data[at : at + width], "big")
    at += width
    if family == 0xE0:
        values = _decode_array(data, at, count)
    else:
        values = []
        for _ in range(count):
            value, at = decode(data, at)
            values.append(value)
        assert at == end
    if family == 0xC1:
        return dict(zip(values[::2], values[1::2], strict=True)), end
    return values, end


def _decode_array(data: bytes, at: int, count: int) -> list[Any]:
    constructor, at, values = data[at], at + 1, []
    for _ in range(count):
        value, at = _decode_sized(constructor, data, at)
        values.append(value)
    return values


def decode_all(data: bytes) -> list[Any]:
    """All values, one after the other: the sections of a message."""
    values, at = [], 0
    while at < len(data):
        value, at = decode(data, at)
        values.append(value)
    return values


def encode(value: Any) -> bytes:
    """Bool, None, int (as uint), Int, Ulong, str, Symbol, bytes, uuid, list, dict, Described."""
    if value is None or isinstance(value, bool):
        return {None: b"\x40", True: b"\x41", False: b"\x42"}[value]
    if isinstance(value, Int):
        return b"\x71" + struct.pack(">i", value)
    if isinstance(value, Ulong):
        return b"\x80" + struct.pack(">Q", value)
    if isinstance(value, int):
        return b"\x70" + struct.pack(">I", value)
    if isinstance(value, uuid.UUID):
        return b"\x98" + value.bytes
    if isinstance(value, Described):
        return b"\x00" + encode(value.descriptor) + encode(value.value)
    if isinstance(value, (str, bytes)):
        raw = value if isinstance(value, bytes) else value.encode()
        code = 0xB0 if isinstance(value, bytes) else 0xB3 if isinstance(value, Symbol) else 0xB1
        return bytes((code,)) + len(raw).to_bytes(4, "big") + raw
    items = [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
    body = len(items).to_bytes(4, "big") + b"".join(encode(item) for item in items)
    return (b"\xd1" if isinstance(value, dict) else b"\xd0") + len(body).to_bytes(4, "big") + body


def frame(performative: int, *fields: Any, payload: bytes = b"", kind: int = 0, channel: int = 0) -> bytes:
    """A frame with these fields."""
    body = encode(Described(Ulong(performative), list(fields))) + payload
    return (len(body) + 8).to_bytes(4, "big") + bytes((2, kind)) + channel.to_bytes(2, "big") + body


def message(sections: dict[int, Any]) -> bytes:
    """A message of these sections, in their order."""
    return b"".join(encode(Described(Ulong(code), value)) for code, value in sections.items())


def split(stream: bytes) -> Iterator[bytes | Frame]:
    """The headers (as bytes) and frames of a whole stream."""
    at = 0
    while at < len(stream):
        if stream[at : at + 4] == b"AMQP":
            yield stream[at : at + 8]
            at += 8
            continue
        size = int.from_bytes(stream[at : at + 4], "big")
        assert 8 <= size <= len(stream) - at, "a frame is cut short"
        whole, at = stream[at : at + size], at + size
        body, end = decode(whole, whole[4] * 4) if size > whole[4] * 4 else (None, size)
        yield Frame(whole[5], int.from_bytes(whole[6:8], "big"), body, whole[end:])
