"""Owns the activation blob: a key wrapped so that one TPM alone can take it in. Pure but for the random seeds in it.
It must not know what the key is for.

The key travels as a duplicated HMAC object below the storage root key, encrypted with an inner key; the inner key
travels as a credential that only the TPM with this endorsement key releases, and only while it holds this very storage
root key. So whoever asks in a device's name gets nothing that he can read.

TPM 2.0 Library part 1: KDFa 11.4.10.2, credentials 24, duplication 23.3. How clients cut the blob apart: their sources.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256

from idscope.security.tpm_public import ALG_KEYEDHASH, ALG_SHA256, TpmKey, name_of, sized, uint16

HMAC_KEY_BYTES: Final = 32

_ALG_HMAC: Final = 0x0005
_AES_BYTES: Final = 16
_AES_BITS: Final = 128
_DIGEST_BYTES: Final = 32
_DIGEST_BITS: Final = 256
# userWithAuth, noDA, sign: what may be duplicated must not be fixed to a TPM or a parent.
_HMAC_ATTRIBUTES: Final = (0x00040440).to_bytes(4, "big")
_MAX_NOTE: Final = 64  # what TPM2B_DATA has room for in C (inferred)


def activation_blob(endorsement_key: TpmKey, storage_root_key: TpmKey, key: bytes, note: str) -> bytes:
    """What the SDKs call the authentication key: six structures, one behind the other.

    `key` (32 bytes) is in the TPM afterwards, as an HMAC key. `note` says what it is for, not empty: no SDK uses it,
    one decrypts it. At most 64 bytes of it are sent.
    """
    inner_key = secrets.token_bytes(_AES_BYTES)
    seed = secrets.token_bytes(_DIGEST_BYTES)
    area, sensitive = _hmac_object(key, secrets.token_bytes(_DIGEST_BYTES))
    duplicate, duplicate_seed = _duplicated(storage_root_key, area, sensitive, inner_key)
    return b"".join(
        (
            credential(storage_root_key.name, inner_key, seed),
            _encrypted_seed(endorsement_key, seed, b"IDENTITY\0"),
            duplicate,
            duplicate_seed,
            sized(area),
            sized(_encrypted(inner_key, note.encode()[:_MAX_NOTE])),
        )
    )


def kdfa(key: bytes, label: str, context: bytes, bits: int) -> bytes:
    """The TPM's key derivation with SHA-256; `context` is contextU and contextV, one behind the other."""
    return derive_by_counter(key, label.encode() + b"\0" + context + bits.to_bytes(4, "big"), bits)


def derive_by_counter(key: bytes, fixed: bytes, bits: int) -> bytes:
    """SP 800-108 in counter mode: HMAC-SHA256, a counter of 32 bits before the fixed data."""
    blocks = -(-bits // _DIGEST_BITS)
    stream = b"".join(_mac(key, count.to_bytes(4, "big") + fixed) for count in range(1, blocks + 1))
    return stream[: bits // 8]


def credential(name: bytes, secret: bytes, seed: bytes) -> bytes:
    """The TPM2B_ID_OBJECT that releases the secret to a TPM that holds the object of this name and knows the seed."""
    return sized(_protected(seed, name, sized(secret)))


def _hmac_object(key: bytes, seed: bytes) -> tuple[bytes, bytes]:
    """TPMT_PUBLIC and TPMT_SENSITIVE of an HMAC key."""
    unique = hashlib.sha256(seed + key).digest()
    scheme = uint16(_ALG_HMAC) + uint16(ALG_SHA256)
    area = uint16(ALG_KEYEDHASH) + uint16(ALG_SHA256) + _HMAC_ATTRIBUTES + sized(b"") + scheme + sized(unique)
    return area, uint16(ALG_KEYEDHASH) + sized(b"") + sized(seed) + sized(key)


def _duplicated(parent: TpmKey, area: bytes, sensitive: bytes, inner_key: bytes) -> tuple[bytes, bytes]:
    """TPM2B_PRIVATE, wrapped with the inner key and then for the parent, and the seed of the outer wrap."""
    name = name_of(area)
    seed = secrets.token_bytes(_DIGEST_BYTES)
    content = sized(sensitive)
    integrity = sized(hashlib.sha256(content + name).digest())
    inner = _encrypted(inner_key, integrity + content)
    return sized(_protected(seed, name, inner)), _encrypted_seed(parent, seed, b"DUPLICATE\0")


def _protected(seed: bytes, name: bytes, content: bytes) -> bytes:
    """The outer wrap of both: encrypted and signed with keys from the seed, bound to the name."""
    encrypted = _encrypted(kdfa(seed, "STORAGE", name, _AES_BITS), content)
    return sized(_mac(kdfa(seed, "INTEGRITY", b"", _DIGEST_BITS), encrypted + name)) + encrypted


def _encrypted_seed(key: TpmKey, seed: bytes, label: bytes) -> bytes:
    """TPM2B_ENCRYPTED_SECRET."""
    return sized(key.rsa.encrypt(seed, OAEP(MGF1(SHA256()), SHA256(), label)))


def _encrypted(key: bytes, content: bytes) -> bytes:
    """AES-128-CFB from an initial value of zeros, as a TPM does it: each key is used once."""
    encryptor = Cipher(AES(key), CFB(bytes(_AES_BYTES))).encryptor()
    return encryptor.update(content) + encryptor.finalize()


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
