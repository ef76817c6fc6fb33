"""Owns the server's side of AMQP's SASL layer (AMQP 1.0 part 5, section 5.3): protocol headers, frames, who may speak
when. It must not know who is let in, nor what is spoken after it.

    HEADER ────── the SASL header ────────────────▶ MECHANISMS   header and mechanisms are sent
    MECHANISMS ── sasl-init, known mechanism ─────▶ by step
    CHALLENGED ── sasl-response ──────────────────▶ by step
    BLOB ──────── provide(blob) ──────────────────▶ by step
    PRESENTED ─── conclude(outcome) ──────────────▶ DONE          the outcome is sent
    any ───────── an unknown mechanism, or a response that its mechanism does not allow ─▶ DONE, outcome AUTH

    by step: the mechanism says something ▶ CHALLENGED; wants a blob ▶ BLOB; has all it wants ▶ PRESENTED

In BLOB and PRESENTED it is the server's turn: what comes is kept unread. So is everything after the outcome: a client
may send its first AMQP frames along. Anything else that comes is a ProtocolViolation, and ends the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum, auto
from typing import Final

from idscope.protocols.amqp.codec import (
    Malformed,
    binary,
    frame,
    frame_size,
    read_frame,
    symbols,
    ubyte,
)
from idscope.protocols.amqp.mechanisms import Garbled, Mechanism, MechanismFactory, NeedBlob, Presented, Say, TpmKeys

SASL_HEADER: Final = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER: Final = b"AMQP\x00\x01\x00\x00"
HEADER_SIZE: Final = 8

_MECHANISMS: Final = 0x40
_INIT: Final = 0x41
_CHALLENGE: Final = 0x42
_RESPONSE: Final = 0x43
_OUTCOME: Final = 0x44

_UNREAD_LIMIT: Final = 64 * 1024
_ROUNDS: Final = 8  # no mechanism has more responses than this


class ProtocolViolation(Exception):
    """The client does not speak the protocol, or out of turn; the text never holds what it sent."""


class Outcome(IntEnum):
    """Section 5.3.3.6."""

    OK = 0
    AUTH = 1
    SYS = 2
    SYS_PERM = 3
    SYS_TEMP = 4


class State(Enum):
    """What is waited for."""

    HEADER = auto()
    MECHANISMS = auto()
    CHALLENGED = auto()
    BLOB = auto()
    PRESENTED = auto()
    DONE = auto()


_EXPECTED: Final = {State.MECHANISMS: _INIT, State.CHALLENGED: _RESPONSE}


class SaslServer:
    """One connection's SASL layer: bytes in by `receive`, bytes out by `take_output`."""

    __slots__ = (
        "_mechanism",
        "_mechanisms",
        "_output",
        "_rounds",
        "_unread",
        "outcome",
        "presented",
        "state",
        "wanted",
    )

    def __init__(self, mechanisms: Mapping[str, MechanismFactory]) -> None:
        self._mechanisms = mechanisms
        self._mechanism: Mechanism | None = None
        self._unread = bytearray()
        self._output = bytearray()
        self._rounds = 0
        self.state = State.HEADER
        self.presented: Presented | None = None
        self.wanted: TpmKeys | None = None
        self.outcome: Outcome | None = None

    def receive(self, data: bytes) -> None:
        """Raises ProtocolViolation; `state` says whose turn it is then."""
        self._unread += data
        self._read()

    def provide(self, blob: bytes) -> None:
        """The blob for the keys in `wanted`."""
        if self.state is not State.BLOB:
            raise RuntimeError("no blob is wanted")
        self.wanted = None
        self._step(blob)
        self._read()

    def conclude(self, outcome: Outcome) -> None:
        """Whether the client is let in by what it `presented`, or why it is not."""
        if self.state not in (State.PRESENTED, State.BLOB):
            raise RuntimeError("the client has presented nothing yet")
        self._end(outcome)

    def take_output(self) -> bytes:
        """What is to be sent now."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def take_rest(self) -> bytes:
        """What the client sent after the outcome; only once that is OK."""
        rest = bytes(self._unread)
        self._unread.clear()
        return rest

    def _read(self) -> None:
        while self._read_one():
            pass
        if len(self._unread) > _UNREAD_LIMIT:
            raise ProtocolViolation("too much sent ahead of the outcome")

    def _read_one(self) -> bool:
        """Whether another one may follow."""
        if self.state is State.HEADER:
            return self._read_header()
        if self.state not in _EXPECTED or len(self._unread) < HEADER_SIZE:
            return False
        try:
            size = frame_size(self._unread)
            if len(self._unread) < size:
                return False
            descriptor, fields = read_frame(bytes(self._unread[:size]))
        except Malformed as error:
            raise ProtocolViolation(str(error)) from None
        del self._unread[:size]
        if descriptor != _EXPECTED[self.state]:
            raise ProtocolViolation("a SASL frame out of turn")
        self._take(descriptor, fields)
        return True

    def _read_header(self) -> bool:
        begun = bytes(self._unread[:HEADER_SIZE])
        if not SASL_HEADER.startswith(begun):
            raise ProtocolViolation("not the SASL header")
        if len(begun) < HEADER_SIZE:
            return False
        del self._unread[:HEADER_SIZE]
        self._output += SASL_HEADER + frame(_MECHANISMS, symbols(tuple(self._mechanisms)))
        self.state = State.MECHANISMS
        return True

    def _take(self, descriptor: int, fields: list[str | bytes | None]) -> None:
        if descriptor == _RESPONSE:
            (response,) = fields if len(fields) == 1 else (None,)
            if not isinstance(response, bytes):
                raise ProtocolViolation("sasl-response has one field, a binary")
            self._step(response)
            return
        name, initial, host = [*fields, None, None, None][:3] if len(fields) <= 3 else (None, None, None)
        if not isinstance(name, str) or isinstance(initial, str) or isinstance(host, bytes):
            raise ProtocolViolation("sasl-init has a mechanism, a binary response and a host name")
        factory = self._mechanisms.get(name)
        if factory is None:
            self._end(Outcome.AUTH)
            return
        self._mechanism = factory(initial)
        self._step(None)

    def _step(self, answer: bytes | None) -> None:
        mechanism = self._mechanism
        self._rounds += 1
        if mechanism is None or self._rounds > _ROUNDS:
            raise ProtocolViolation("a mechanism without end")
        try:
            step = mechanism.send(answer)
        except StopIteration as stop:
            self.presented = stop.value
            self.state = State.PRESENTED
        except Garbled:
            self._end(Outcome.AUTH)
        else:
            self._do(step)

    def _do(self, step: Say | NeedBlob) -> None:
        if isinstance(step, Say):
            self._output += frame(_CHALLENGE, binary(step.challenge))
            self.state = State.CHALLENGED
        else:
            self.wanted = step.keys
            self.state = State.BLOB

    def _end(self, outcome: Outcome) -> None:
        self._output += frame(_OUTCOME, ubyte(outcome))
        self._mechanism = self.presented = self.wanted = None
        self.outcome = outcome
        self.state = State.DONE
