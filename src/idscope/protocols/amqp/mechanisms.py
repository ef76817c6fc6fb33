"""Owns the SASL mechanisms: generators that turn what a client says into what it presents. They must not know what
makes it true, nor how their steps travel.

A mechanism is sent the client's responses, the initial one first (None where there was none), and yields steps:
`Say` (the next response comes back), `NeedBlob` (the activation blob comes back). It returns what was presented, and
raises Garbled where a client breaks its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final

import msgspec

from idscope.protocols.amqp.codec import FRAME_LIMIT

_SEGMENT_PRESENT: Final = 0x80
_SEGMENT_FINAL: Final = 0x40
_FRAME_OVERHEAD: Final = 32  # header, descriptor, list and binary heads, control byte
_SEGMENT_LIMIT: Final = FRAME_LIMIT - _FRAME_OVERHEAD
_ASK_ROOT_KEY: Final = b"\0"
_MORE: Final = b"\0"


class Garbled(Exception):
    """A response that the mechanism does not allow; the text never holds what was sent."""


class Password(msgspec.Struct, frozen=True):
    """What PLAIN presents (RFC 4616)."""

    identity: str
    password: str

    def __repr__(self) -> str:
        return f"Password(identity={self.identity!r}, password=***)"


class TpmKeys(msgspec.Struct, frozen=True):
    """Who a TPM says it is: a name within a scope, and its two public keys (TPM2B_PUBLIC)."""

    scope: str
    name: str
    endorsement_key: bytes
    storage_root_key: bytes


class TpmToken(msgspec.Struct, frozen=True):
    """What the mechanism TPM presents: a token signed with the key from the blob."""

    keys: TpmKeys
    token: str

    def __repr__(self) -> str:
        return f"TpmToken(keys={self.keys!r}, token=***)"


class Say(msgspec.Struct, frozen=True):
    """A challenge to be sent."""

    challenge: bytes


class NeedBlob(msgspec.Struct, frozen=True):
    """The activation blob for these keys is wanted."""

    keys: TpmKeys


Step = Say | NeedBlob
Presented = Password | TpmToken
Mechanism = Generator[Step, bytes | None, Presented]
MechanismFactory = Callable[[bytes | None], Mechanism]


def plain(initial: bytes | None) -> Mechanism:
    """`authzid NUL authcid NUL passwd`; another authzid than the authcid is refused."""
    response = (yield Say(b"")) if initial is None else initial
    parts = _text(response).split("\0")
    if len(parts) != 3:
        raise Garbled("PLAIN wants three parts")
    authorization, identity, password = parts
    if authorization not in {"", identity}:
        raise Garbled("PLAIN on behalf of somebody else")
    return Password(identity, password)


def tpm(initial: bytes | None) -> Mechanism:
    """The clients' own mechanism (observed): keys up, a blob down in exactly two segments, a token up."""
    scope, name, endorsement_key = _tpm_identity(initial)
    storage_root_key = _after_zero((yield Say(_ASK_ROOT_KEY)))
    keys = TpmKeys(scope, name, endorsement_key, storage_root_key)
    first, second = segments((yield NeedBlob(keys)) or b"")
    if (yield Say(first)) != _MORE:
        raise Garbled("TPM wants one zero byte between the segments")
    token = _text(_after_zero((yield Say(second))))
    return TpmToken(keys, token)


def segments(blob: bytes) -> tuple[bytes, bytes]:
    """The blob's two halves behind their control bytes: 0x80, then 0xC1.

    Never more, never fewer: one client knows only these two bytes. Raises ValueError where they cannot hold it.
    """
    half = (len(blob) + 1) // 2
    if not 1 < len(blob) <= 2 * _SEGMENT_LIMIT:
        raise ValueError("an activation blob that does not fit into two segments")
    return bytes((_SEGMENT_PRESENT,)) + blob[:half], bytes((_SEGMENT_PRESENT | _SEGMENT_FINAL | 1,)) + blob[half:]


def _tpm_identity(initial: bytes | None) -> tuple[str, str, bytes]:
    """`00 scope 00 name 00 EK`; the key holds zeros of its own."""
    parts = (initial or b"").split(b"\0", 3)
    if len(parts) != 4 or parts[0] or not all(parts[1:]):
        raise Garbled("TPM wants a scope, a name and an endorsement key")
    return _text(parts[1]), _text(parts[2]), parts[3]


def _after_zero(response: bytes | None) -> bytes:
    if not response or response[0] or len(response) == 1:
        raise Garbled("TPM wants a zero byte, then what it asked for")
    return response[1:]


def _text(response: bytes | None) -> str:
    try:
        return (response or b"").decode()
    except UnicodeDecodeError:
        raise Garbled("a text that is not UTF-8") from None
