"""Owns the public areas of TPM 2.0 keys: reading those that devices present, and their names.
It must not know whose they are, nor what is encrypted for them.

Structures as in TPM 2.0 Library part 2 (TPMT_PUBLIC, 12.2.4; TPMS_RSA_PARMS, 12.2.3.5). Only one kind is read: the RSA
storage key of 2048 bits, SHA-256 and AES-128-CFB, which every SDK creates (observed).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

ALG_RSA: Final = 0x0001
ALG_AES: Final = 0x0006
ALG_KEYEDHASH: Final = 0x0008
ALG_SHA256: Final = 0x000B
ALG_NULL: Final = 0x0010
ALG_CFB: Final = 0x0043

_TYPES: Final = {ALG_KEYEDHASH: "a keyed hash", 0x0023: "an ECC key", 0x0025: "a symmetric key"}
_RESTRICTED: Final = 1 << 16
_DECRYPT: Final = 1 << 17
_SIGN: Final = 1 << 18
_USAGE: Final = _RESTRICTED | _DECRYPT | _SIGN

_SIZE_BYTES: Final = 2
_MAX_STRUCTURE: Final = 1024
_MAX_POLICY: Final = 64  # the longest digest, SHA-512
_RSA_BITS: Final = 2048
_DEFAULT_EXPONENT: Final = 65537


class TpmKeyRefused(Exception):
    """Why a key cannot be used, in words for whoever sent it; they follow the name of the member."""


class TpmKey(msgspec.Struct, frozen=True):
    """A key that a TPM can open what is encrypted for; `area` is its TPMT_PUBLIC."""

    area: bytes
    modulus: int

    @property
    def name(self) -> bytes:
        """How TPMs refer to it (part 1, 16): the algorithm, then the digest."""
        return name_of(self.area)

    @property
    def structure(self) -> bytes:
        """The whole TPM2B_PUBLIC."""
        return sized(self.area)

    @property
    def text(self) -> str:
        """The structure in Base64, as it stands in documents."""
        return base64.b64encode(self.structure).decode()

    @property
    def rsa(self) -> RSAPublicKey:
        return RSAPublicNumbers(_DEFAULT_EXPONENT, self.modulus).public_key()


def name_of(area: bytes) -> bytes:
    """The name of the object with this TPMT_PUBLIC, whose nameAlg is SHA-256."""
    return uint16(ALG_SHA256) + hashlib.sha256(area).digest()


def uint16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def sized(content: bytes) -> bytes:
    """A TPM2B: two bytes of size before the content."""
    return uint16(len(content)) + content


def read_structure(text: str) -> bytes:
    """The bytes of a TPM2B_PUBLIC in Base64, its size checked and nothing else. Raises TpmKeyRefused."""
    if len(text) > 2 * _MAX_STRUCTURE:
        raise TpmKeyRefused("is not a TPM2B_PUBLIC structure.")
    try:
        structure = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise TpmKeyRefused("is not Base64.") from None
    if not _SIZE_BYTES < len(structure) <= _MAX_STRUCTURE or sized(structure[_SIZE_BYTES:]) != structure:
        raise TpmKeyRefused("is not a TPM2B_PUBLIC structure.")
    return structure


def same_key(one: str, other: str) -> bool:
    """Whether both texts are of one structure; false where either is none."""
    try:
        return read_structure(one) == read_structure(other)
    except TpmKeyRefused:
        return False


def read_key(text: str) -> TpmKey:
    """The key in a TPM2B_PUBLIC in Base64. Raises TpmKeyRefused."""
    area = read_structure(text)[_SIZE_BYTES:]
    reader = _Reader(area)
    _check_kind(reader)
    _check_parameters(reader)
    modulus = reader.take_sized(_RSA_BITS // 8)
    if reader.left:
        raise _not_a_structure()
    number = int.from_bytes(modulus, "big")
    if number.bit_length() != _RSA_BITS or not number & 1:
        raise TpmKeyRefused("has a modulus that is none of RSA with 2048 bits.")
    return TpmKey(area, number)


def _check_kind(reader: _Reader) -> None:
    kind = reader.take_number(2)
    if kind != ALG_RSA:
        raise _unsupported(_TYPES.get(kind, f"of the unknown type {kind:#06x}"))
    name_algorithm = reader.take_number(2)
    if name_algorithm != ALG_SHA256:
        raise _unsupported(f"named by the algorithm {name_algorithm:#06x}")
    if reader.take_number(4) & _USAGE != _RESTRICTED | _DECRYPT:
        raise _unsupported("not a restricted decryption key")
    reader.take_sized(_MAX_POLICY)


def _check_parameters(reader: _Reader) -> None:
    symmetric = reader.take_number(2)
    bits, mode = (0, 0) if symmetric == ALG_NULL else (reader.take_number(2), reader.take_number(2))
    if (symmetric, bits, mode) != (ALG_AES, 128, ALG_CFB):
        raise _unsupported("one whose symmetric algorithm is another")
    if reader.take_number(2) != ALG_NULL:
        raise _unsupported("one with a scheme of its own")
    rsa_bits = reader.take_number(2)
    if rsa_bits != _RSA_BITS:
        raise _unsupported(f"an RSA key of {rsa_bits} bits")
    if reader.take_number(4) not in (0, _DEFAULT_EXPONENT):  # 0 stands for the default
        raise _unsupported("an RSA key with an exponent of its own")


def _unsupported(what: str) -> TpmKeyRefused:
    return TpmKeyRefused(
        f"is {what}; what is supported is an RSA storage key of 2048 bits with SHA-256 and AES-128-CFB."
    )


def _not_a_structure() -> TpmKeyRefused:
    return TpmKeyRefused("is not a TPM2B_PUBLIC structure.")


class _Reader:
    """Takes a public area apart; raises TpmKeyRefused where it is too short."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take_number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def take_sized(self, limit: int) -> bytes:
        size = self.take_number(_SIZE_BYTES)
        if size > limit:
            raise _not_a_structure()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        if size > self.left:
            raise _not_a_structure()
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken
