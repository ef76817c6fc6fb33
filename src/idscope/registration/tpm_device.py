"""Owns the key of a TPM's device at its hub: kept sealed with the registration, wrapped anew for the TPM at every one.
It must not know which hub that is, nor how a key is wrapped.

The key is made once: a worker that takes a registration over finds it in the operation, a later registration in the
record. Two keys for one device would leave the hub with one and the TPM with the other.
"""

from __future__ import annotations

import msgspec

from idscope.attestation import Proof
from idscope.errors import InvalidArgument
from idscope.model.document import Document, decode, encode_revealing
from idscope.records import RegistrationRecord, TpmResult
from idscope.secret import Secret
from idscope.security.keys import key_bytes, new_symmetric_key
from idscope.security.sealing import Place, Sealer
from idscope.security.tpm_activation import HMAC_KEY_BYTES, activation_blob
from idscope.security.tpm_public import read_key


class _HubKey(Document):
    key: Secret
    endorsement_key: str


def new_hub_key(proof: Proof) -> Secret | None:
    """For a device that brings no credential of its own to its hub; None for all others."""
    return new_symmetric_key(HMAC_KEY_BYTES) if proof.mechanism == "tpm" else None


def kept_hub_key(
    sealer: Sealer, key: tuple[str, str], record: RegistrationRecord | None, proof: Proof
) -> Secret | None:
    """That of the last registration (`key`: service and registration), if it was the same TPM's. Raises CannotOpen."""
    if record is None or not record.sealed:
        return None
    kept = decode(sealer.open(record.sealed, _place(key)), _HubKey)
    return kept.key if kept.endorsement_key == proof.endorsement_key else None


def keep_hub_key(
    sealer: Sealer, key: tuple[str, str], record: RegistrationRecord, proof: Proof, hub_key: Secret, hub: str
) -> RegistrationRecord:
    """The record with the key of this hub, sealed, and wrapped for the TPM. Raises InvalidArgument."""
    endorsement_key, storage_root_key = keys_of(proof)
    blob = activation_blob(read_key(endorsement_key), read_key(storage_root_key), key_bytes(hub_key), hub)
    sealed = sealer.seal(encode_revealing(_HubKey(key=hub_key, endorsement_key=endorsement_key)), _place(key))
    return msgspec.structs.replace(record, tpm=TpmResult(blob, storage_root_key), sealed=sealed)


def keys_of(proof: Proof) -> tuple[str, str]:
    """The endorsement key and the storage root key. Raises InvalidArgument where the latter is not known."""
    if proof.endorsement_key is None or proof.storage_root_key is None:
        raise InvalidArgument("storageRootKey is missing: it is not known any more, send the tpm member again.")
    return proof.endorsement_key, proof.storage_root_key


def _place(key: tuple[str, str]) -> Place:
    return Place("registration", *key)
