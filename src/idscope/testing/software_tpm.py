"""Owns a TPM 2.0 in software, as far as provisioning needs one: it takes an activation blob in and signs with what was
in it. It must not know how such a blob is made: it undoes by the specification what a server did.

Nothing here protects a key; it is fit for tests only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

_SHA256: Final = hashes.SHA256()
_POLICY: Final = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
# type RSA, nameAlg SHA-256, attributes; then, behind the policy, AES-128-CFB, no scheme, 2048 bits, default exponent
_ENDORSEMENT: Final = bytes.fromhex("0001000b000300b2") + b"\x00\x20" + _POLICY
_STORAGE_ROOT: Final = bytes.fromhex("0001000b000304720000")
_PARAMETERS: Final = bytes.fromhex("00060080004300100800000000000100")


class ActivationFailed(Exception):
    """What a TPM answers with an error: the blob is not for it, or was changed."""


class SoftwareTpm:
    """A TPM with fresh keys (RSA-2048: a tenth of a second), holding no key of a server yet."""

    def __init__(self) -> None:
        self._endorsement = rsa.generate_private_key(65537, 2048)
        self._storage_root = rsa.generate_private_key(65537, 2048)
        self._endorsement_area = _ENDORSEMENT + _PARAMETERS + _modulus(self._endorsement)
        self._storage_root_area = _STORAGE_ROOT + _PARAMETERS + _modulus(self._storage_root)
        self.key = b""

    @property
    def endorsement_key(self) -> str:
        """Base64 of TPM2B_PUBLIC, as SDKs send it."""
        return _text(self._endorsement_area)

    @property
    def storage_root_key(self) -> str:
        """Base64 of TPM2B_PUBLIC, as SDKs send it."""
        return _text(self._storage_root_area)

    @property
    def document(self) -> dict[str, str]:
        """The member `tpm` of a registration."""
        return {"endorsementKey": self.endorsement_key, "storageRootKey": self.storage_root_key}

    def clear(self) -> None:
        """What its owner can do to it: another storage root key, and what it held is gone."""
        self._storage_root = rsa.generate_private_key(65537, 2048)
        self._storage_root_area = _STORAGE_ROOT + _PARAMETERS + _modulus(self._storage_root)
        self.key = b""

    def activate(self, blob: bytes) -> str:
        """Take the key in, and return what the blob says of it. Raises ActivationFailed."""
        id_object, seed, duplicate, duplicate_seed, area, note = _parts(blob)
        inner_key = self._activated(id_object, self._opened(self._endorsement, seed, b"IDENTITY\0"))
        outer_seed = self._opened(self._storage_root, duplicate_seed, b"DUPLICATE\0")
        self.key = _imported(duplicate, area, outer_seed, inner_key)
        return _decrypted(inner_key, note).decode()

    def token(self, resource: str, expiry: int, key_name: str = "registration") -> str:
        """A shared access signature, signed inside."""
        text = base64.b64encode(hmac.digest(self.key, f"{resource}\n{expiry}".encode(), "sha256")).decode()
        signature = text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
        return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={key_name}"

    def _activated(self, id_object: bytes, seed: bytes) -> bytes:
        """TPM2_ActivateCredential of the storage root key."""
        name = _name(self._storage_root_area)
        secret, rest = _take(_unprotected(id_object, seed, name))
        if rest or len(secret) != 16:
            raise ActivationFailed("not a key of AES-128 in the credential")
        return secret

    @staticmethod
    def _opened(key: rsa.RSAPrivateKey, secret: bytes, label: bytes) -> bytes:
        try:
            return key.decrypt(secret, padding.OAEP(padding.MGF1(_SHA256), _SHA256, label))
        except ValueError:
            raise ActivationFailed("a seed that was encrypted for another key") from None


def _imported(duplicate: bytes, area: bytes, seed: bytes, inner_key: bytes) -> bytes:
    """TPM2_Import below the storage root key, and TPM2_Load: the HMAC key."""
    name = _name(area)
    integrity, content = _take(_decrypted(inner_key, _unprotected(duplicate, seed, name)))
    if integrity != hashlib.sha256(content + name).digest():
        raise ActivationFailed("the inner wrap has another integrity")
    sensitive, rest = _take(content)
    auth, after = _take(sensitive[2:])
    blinding, after = _take(after)
    key, end = _take(after)
    # a keyed hash, SHA-256, userWithAuth + noDA + sign, no policy, HMAC with SHA-256, the digest of both secrets
    expected = bytes.fromhex("0008000b0004044000000005000b0020") + hashlib.sha256(blinding + key).digest()
    if rest or end or auth or sensitive[:2] != b"\x00\x08" or area != expected:
        raise ActivationFailed("not an HMAC key that a TPM loads")
    return key


def _unprotected(protected: bytes, seed: bytes, name: bytes) -> bytes:
    integrity, encrypted = _take(protected)
    if integrity != hmac.digest(_derived(seed, b"INTEGRITY", b"", 32), encrypted + name, "sha256"):
        raise ActivationFailed("the outer wrap has another integrity: it was made for another object")
    return _decrypted(_derived(seed, b"STORAGE", name, 16), encrypted)


def _derived(seed: bytes, label: bytes, context: bytes, length: int) -> bytes:
    location = CounterLocation.BeforeFixed
    return KBKDFHMAC(_SHA256, Mode.CounterMode, length, 4, 4, location, label, context, None).derive(seed)


def _decrypted(key: bytes, data: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), CFB(bytes(16))).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def _parts(blob: bytes) -> list[bytes]:
    parts = []
    for _ in range(6):
        part, blob = _take(blob)
        parts.append(part)
    if blob:
        raise ActivationFailed("bytes behind the blob")
    return parts


def _take(data: bytes) -> tuple[bytes, bytes]:
    """A TPM2B's content, and what follows it."""
    end = 2 + int.from_bytes(data[:2], "big")
    if len(data) < end:
        raise ActivationFailed("a structure that is cut off")
    return data[2:end], data[end:]


def _name(area: bytes) -> bytes:
    return b"\x00\x0b" + hashlib.sha256(area).digest()


def _modulus(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_numbers().n.to_bytes(256, "big")


def _text(area: bytes) -> str:
    return base64.b64encode(len(area).to_bytes(2, "big") + area).decode()
