"""Owns how secrets are kept at rest: AES-256-GCM, bound to the place where they stand.
It must not know what is sealed, nor where the key came from.

A sealed text is `v1:{key id}:{nonce}:{ciphertext}`, the last two in unpadded Base64. The associated data is
the place (service, table, key, column), so that a sealed text moved to another row does not open.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_VERSION: Final = "v1"


class CannotOpen(Exception):
    """The sealed text is damaged, from another place, or sealed with a key that is not here."""


class Place:
    """Where a sealed text stands: `Place("enrollment", service_id, registration_key, column="sealed")`."""

    __slots__ = ("associated_data",)

    def __init__(self, table: str, *key: str, column: str = "sealed") -> None:
        parts = (table, *key, column)
        self.associated_data = "".join([f"{len(part)}:{part};" for part in parts]).encode()


def key_id(key: bytes) -> str:
    """A short public name of a key, so that an old one can be told from a new one."""
    return hashlib.sha256(b"idscope sealing key" + key).hexdigest()[:8]


class Sealer:
    """Seals with one key and opens with any that it was given (32 bytes each)."""

    def __init__(self, key: bytes, *older_keys: bytes) -> None:
        for each in (key, *older_keys):
            if len(each) != KEY_BYTES:
                raise ValueError(f"a sealing key has {KEY_BYTES} bytes")
        self._key_id = key_id(key)
        self._ciphers: Mapping[str, AESGCM] = {key_id(each): AESGCM(each) for each in (*older_keys, key)}

    def seal(self, plaintext: bytes, place: Place) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._ciphers[self._key_id].encrypt(nonce, plaintext, place.associated_data)
        return f"{_VERSION}:{self._key_id}:{_text(nonce)}:{_text(ciphertext)}"

    def open(self, sealed: str, place: Place) -> bytes:
        """Raises CannotOpen."""
        try:
            version, name, nonce, ciphertext = sealed.split(":")
            if version != _VERSION:
                raise CannotOpen("unknown version of sealing")
            cipher = self._ciphers[name]
            return cipher.decrypt(_bytes(nonce), _bytes(ciphertext), place.associated_data)
        except KeyError:
            raise CannotOpen("the key that sealed this is not in the key file") from None
        except (ValueError, InvalidTag):
            raise CannotOpen("the sealed text is damaged or stands in another place") from None


def _text(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
