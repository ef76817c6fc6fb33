"""Owns the key of a TPM's device at its hub: made once, kept sealed with the registration, wrapped anew for the TPM at
every registration. It must not know which hub that is, nor how a key is wrapped."""

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


class HubKeys:
    """The keys of one registration under way; it may ask again after every failure, and gets the same one."""

    def __init__(self, sealer: Sealer, service_id: str, registration_key: str) -> None:
        self._sealer = sealer
        self._place = Place("registration", service_id, registration_key)
        self._new: Secret | None = None

    def key_for(self, proof: Proof, before: RegistrationRecord | None) -> Secret:
        """The kept one while it is the same TPM, a new one for another. Raises CannotOpen."""
        if before is not None and before.sealed:
            kept = decode(self._sealer.open(before.sealed, self._place), _HubKey)
            if kept.endorsement_key == proof.endorsement_key:
                return kept.key
        self._new = self._new or new_symmetric_key(HMAC_KEY_BYTES)
        return self._new

    def kept_with(self, record: RegistrationRecord, proof: Proof, key: Secret, hub: str) -> RegistrationRecord:
        """The record with the key of this hub, sealed, and wrapped for the TPM. Raises InvalidArgument."""
        endorsement_key, storage_root_key = keys_of(proof)
        blob = activation_blob(read_key(endorsement_key), read_key(storage_root_key), key_bytes(key), hub)
        sealed = self._sealer.seal(encode_revealing(_HubKey(key=key, endorsement_key=endorsement_key)), self._place)
        return msgspec.structs.replace(record, tpm=TpmResult(blob, storage_root_key), sealed=sealed)


def keys_of(proof: Proof) -> tuple[str, str]:
    """The endorsement key and the storage root key. Raises InvalidArgument where the latter is not known."""
    if proof.endorsement_key is None or proof.storage_root_key is None:
        raise InvalidArgument("storageRootKey is missing: it is not known any more, send the tpm member again.")
    return proof.endorsement_key, proof.storage_root_key
