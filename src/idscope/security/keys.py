"""Owns symmetric keys: their form, how new ones are made and how a device's is derived from a group's.
It must not know whose key it is."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from typing import Final

from idscope.errors import InvalidArgument
from idscope.secret import Secret

MIN_BYTES: Final = 16  # D:concepts-symmetric-key-attestation
MAX_BYTES: Final = 64
NEW_KEY_BYTES: Final = 64  # newer generated keys have 88 characters (observed)


def new_symmetric_key(length: int = NEW_KEY_BYTES) -> Secret:
    return Secret(base64.b64encode(secrets.token_bytes(length)).decode())


def check_symmetric_key(key: Secret, name: str) -> Secret:
    """The key; raises InvalidArgument, naming the member and never the value, where it is not of the published form."""
    try:
        length = len(base64.b64decode(key.reveal(), validate=True))
    except (binascii.Error, ValueError):
        length = 0
    if not MIN_BYTES <= length <= MAX_BYTES:
        raise InvalidArgument(f"{name} must be Base64 of {MIN_BYTES} to {MAX_BYTES} bytes.")
    return key


def key_bytes(key: Secret) -> bytes:
    """The bytes of a key that was checked when it was stored; empty where it is none, which never signs anything."""
    try:
        return base64.b64decode(key.reveal(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def derive_device_key(group_key: Secret, registration_id: str) -> Secret:
    """Base64 of HMAC-SHA256 over the id as presented, keyed with the group's key (published)."""
    return Secret(base64.b64encode(derived_bytes(key_bytes(group_key), registration_id)).decode())


def derived_bytes(group_key: bytes, registration_id: str) -> bytes:
    """The bytes of a device's key from the bytes of its group's."""
    return hmac.digest(group_key, registration_id.encode(), "sha256")
