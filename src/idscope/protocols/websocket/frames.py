"""Owns WebSocket frames from the server's side (RFC 6455, 5): a client's stream taken apart, and frames to send. It
must not know what the payload means, nor what carries the bytes.

The payload is one stream of bytes here: where a frame, a fragment or a read ends means nothing. It is handed on as it
comes, so that a reader holds one frame's head and at most one control frame, however large the frames are.
"""

from __future__ import annotations

from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

# RFC 6455, 7.4.1
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
NO_STATUS: Final = 1005  # stands for a close frame without a code, is never sent
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009

_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_CONTROL_BYTES: Final = 125
_MASK_BYTES: Final = 4
_LENGTH_BYTES: Final = {126: 2, 127: 8}
# What may stand in a close frame: the RFC's own codes, IANA's later ones, and those of libraries and applications.
_CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))


class Ending:
    """Why nothing more is read: the client's close frame, or (`failed`) what it did wrong.

    `code` is the status code of the close frame to answer with (NO_STATUS: one without).
    """

    __slots__ = ("code", "failed", "reason")

    def __init__(self, code: int, reason: str = "", *, failed: bool = False) -> None:
        self.code = code
        self.reason = reason
        self.failed = failed


class Received:
    """What a piece of the stream held: payload in order, the last ping's data (RFC 6455, 5.5.3, lets the earlier ones
    go unanswered), and the ending, which is always the last."""

    __slots__ = ("ending", "payload", "ping")

    def __init__(self) -> None:
        self.payload = b""
        self.ping: bytes | None = None
        self.ending: Ending | None = None


class _Violation(Exception):
    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class FrameReader:
    """Reads the frames of one client; what does not fit RFC 6455 or a limit is an ending, never an exception.

    `frame_bytes` and `message_bytes` limit payloads: a message is a frame with its continuations.
    """

    __slots__ = ("_ended", "_frame_bytes", "_head", "_in_message", "_mask", "_message_bytes", "_owed", "_total")

    def __init__(self, *, frame_bytes: int, message_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._message_bytes = message_bytes
        self._head = b""  # of a frame that has not come whole: its head, or all of a control frame
        self._mask = b""  # turned so that its first byte is for the next byte of payload
        self._owed = 0  # bytes still to come of the data frame under way
        self._in_message = False  # a continuation is expected
        self._total = 0  # bytes of the message under way
        self._ended = False

    def feed(self, data: bytes) -> Received:
        """What these bytes complete; after an ending nothing."""
        received = Received()
        if self._ended:
            return received
        if self._head:
            data = self._head + data
            self._head = b""
        pieces: list[bytes] = []
        try:
            self._take(data, pieces, received)
        except _Violation as violation:
            received.ending = Ending(violation.code, violation.reason, failed=True)
        self._ended = received.ending is not None
        received.payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return received

    def _take(self, data: bytes, pieces: list[bytes], received: Received) -> None:
        position, end = 0, len(data)
        while position < end and received.ending is None:
            if self._owed:
                piece = data[position : position + self._owed]
                pieces.append(self._unmask(piece))
                self._owed -= len(piece)
                position += len(piece)
                continue
            following = self._take_frame(data, position, received)
            if not following:
                self._head = data[position:]
                return
            position = following

    def _take_frame(self, data: bytes, position: int, received: Received) -> int:
        """Where the frame's data, or after a control frame the next frame begins; 0 where more bytes are needed."""
        if len(data) < position + 2:
            return 0
        first, length = data[position], data[position + 1] & ~_MASKED
        self._check_start(first, masked=data[position + 1] >= _MASKED, length=length)
        position += 2
        if length in _LENGTH_BYTES:
            size = _LENGTH_BYTES[length]
            if len(data) < position + size:
                return 0
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        opcode = first & 0x0F
        if opcode < CLOSE:
            self._check_size(opcode, length)
        body = position + _MASK_BYTES
        if len(data) < body:
            return 0
        mask = data[position:body]
        if opcode < CLOSE:
            self._begin_data(first, length, mask)
            return body
        if len(data) < body + length:
            return 0
        self._take_control(opcode, xor(data[body : body + length], mask), received)
        return body + length

    def _check_start(self, first: int, *, masked: bool, length: int) -> None:
        opcode = first & 0x0F
        if first & _RESERVED:
            raise _Violation(PROTOCOL_ERROR, "no extension was agreed on")
        if not masked:
            raise _Violation(PROTOCOL_ERROR, "a client masks its frames")
        if opcode in (CLOSE, PING, PONG):
            if length > _CONTROL_BYTES or not first & _FINAL:
                raise _Violation(PROTOCOL_ERROR, "a control frame is short and whole")
        elif opcode == TEXT:
            raise _Violation(UNSUPPORTED_DATA, "only binary frames are spoken here")
        elif opcode not in (CONTINUATION, BINARY):
            raise _Violation(PROTOCOL_ERROR, "unknown opcode")
        elif self._in_message != (opcode == CONTINUATION):
            raise _Violation(PROTOCOL_ERROR, "the order of fragments is wrong")

    def _check_size(self, opcode: int, length: int) -> None:
        total = length + (self._total if opcode == CONTINUATION else 0)
        if length > self._frame_bytes or total > self._message_bytes:
            raise _Violation(TOO_BIG, "the frame or its message is too large")

    def _begin_data(self, first: int, length: int, mask: bytes) -> None:
        self._total = length + (self._total if self._in_message else 0)
        self._in_message = not first & _FINAL
        self._owed = length
        self._mask = mask

    def _unmask(self, piece: bytes) -> bytes:
        mask = self._mask
        turn = len(piece) % _MASK_BYTES
        self._mask = mask[turn:] + mask[:turn]
        return xor(piece, mask)

    def _take_control(self, opcode: int, payload: bytes, received: Received) -> None:
        if opcode == PING:
            received.ping = payload
        elif opcode == CLOSE:
            received.ending = Ending(_close_code(payload))


def _close_code(payload: bytes) -> int:
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _CLOSE_CODES:
        raise _Violation(PROTOCOL_ERROR, "not a close code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise _Violation(INVALID_DATA, "the reason is not UTF-8") from None
    return code


def xor(data: bytes, mask: bytes) -> bytes:
    """The data with this mask of four bytes laid over it, or taken off it (RFC 6455, 5.3)."""
    size = len(data)
    key = (mask * (size // _MASK_BYTES + 1))[:size]
    # As one large number: the only fast way in pure Python, and linear.
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole, unmasked frame, as a server sends it."""
    size = len(payload)
    if size <= _CONTROL_BYTES:
        head = bytes((_FINAL | opcode, size))
    elif size < 1 << 16:
        head = bytes((_FINAL | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | opcode, 127)) + size.to_bytes(8, "big")
    return head + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; one without a code for NO_STATUS. The reason has at most 123 bytes."""
    return frame(CLOSE, b"" if code == NO_STATUS else code.to_bytes(2, "big") + reason.encode())
