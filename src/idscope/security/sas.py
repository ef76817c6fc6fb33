"""Owns shared access signatures: reading a token and checking its signature and expiry.
It must not know which resource or key is the right one.

The signature is checked over the raw text of `sr` as it was sent: four spellings of it are in use, and re-encoding
would break three of them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final
from urllib.parse import unquote

import msgspec

from idscope.clock import MICROSECONDS, format_duration, format_time
from idscope.refusal import Cause, CredentialRefused
from idscope.secret import Secret
from idscope.security.keys import MIN_BYTES, key_bytes

SCHEME: Final = "SharedAccessSignature"
CLOCK_SKEW_SECONDS: Final = 300  # Microsoft's own verifier allows five minutes
_MAX_TOKEN_LENGTH: Final = 4096
_MAX_NAME_LENGTH: Final = 256
_MAX_EXPIRY_DIGITS: Final = 12


class SasRefused(CredentialRefused):
    """Why a token is not good, in words for the operator; never holds a part of the signature or key."""

    default_cause = Cause.TOKEN_MALFORMED


class SasToken(msgspec.Struct, frozen=True):
    """A token taken apart. `resource` is decoded, `raw_resource` and `raw_expiry` are what was signed."""

    raw_resource: str
    resource: str
    signature: Secret
    raw_expiry: str
    expiry: int
    key_name: str

    def signed_text(self) -> bytes:
        return f"{self.raw_resource}\n{self.raw_expiry}".encode()


def parse_sas(text: str) -> SasToken:
    """Members in any order, names in any case. Raises SasRefused."""
    if len(text) > _MAX_TOKEN_LENGTH:
        raise SasRefused("the token is longer than 4096 characters")
    parts = text.split()
    if len(parts) != 2 or parts[0].lower() != SCHEME.lower():
        raise SasRefused("the authorization is not of the form 'SharedAccessSignature sr=…&sig=…&se=…'")
    members: dict[str, str] = {}
    for member in parts[1].split("&"):
        name, equals, value = member.partition("=")
        if not equals or name.lower() in members:
            raise SasRefused("the token has a member without value, or one twice")
        members[name.lower()] = value
    missing = [name for name in ("sr", "sig", "se") if not members.get(name)]
    if missing:
        raise SasRefused(f"the token lacks {', '.join(missing)}")
    key_name = unquote(members.get("skn", ""))
    if len(key_name) > _MAX_NAME_LENGTH:
        raise SasRefused("skn is longer than 256 characters")
    return SasToken(
        raw_resource=members["sr"],
        resource=unquote(members["sr"]),
        signature=Secret(members["sig"]),
        raw_expiry=members["se"],
        expiry=_expiry(members["se"]),
        key_name=key_name,
    )


def _expiry(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_EXPIRY_DIGITS:
        raise SasRefused("se is not a number of seconds since 1970")
    return int(text)


def signed_with(token: SasToken, key: Secret) -> bool:
    """Whether the key made the signature; constant time, and never true for an empty or short key."""
    return made_by(signature_bytes(token), key_bytes(key), token.signed_text())


def signature_bytes(token: SasToken) -> bytes:
    """Empty where it is no Base64, which no key ever makes."""
    try:
        return base64.b64decode(unquote(token.signature.reveal()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def made_by(signature: bytes, key: bytes, text: bytes) -> bool:
    """`signed_with` with everything decoded, for whoever tries many keys."""
    return len(key) >= MIN_BYTES and hmac.compare_digest(signature, hmac.digest(key, text, "sha256"))


def check_expiry(token: SasToken, now: int) -> None:
    """Raises SasRefused where the token ended more than the allowed skew before `now`."""
    late = now // MICROSECONDS - token.expiry
    if late > CLOCK_SKEW_SECONDS:
        raise SasRefused(
            f"the token expired {format_duration(late)} ago, allowed skew {format_duration(CLOCK_SKEW_SECONDS)}, "
            f"server time {format_time(now)}",
            Cause.TOKEN_EXPIRED,
        )
