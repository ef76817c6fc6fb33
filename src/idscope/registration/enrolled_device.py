"""Owns what an enrollment of either kind says about one device: its ids and its credential at the hub.
It must not know which hub that is."""

from __future__ import annotations

import msgspec

from idscope.attestation import Proof, client_thumbprints
from idscope.errors import NoHubAvailable
from idscope.model.device_identity import HubCredential, SymmetricKeys, Thumbprints
from idscope.model.document import given
from idscope.model.enrollment import Enrollment, IndividualEnrollment
from idscope.records import RegistrationRecord, symmetric_keys
from idscope.secret import Secret
from idscope.security.keys import derive_device_key
from idscope.security.tpm_public import same_key


class EnrolledDevice(msgspec.Struct, frozen=True):
    """One device as its enrollment wants it; `group_id` is None for an individual enrollment."""

    registration_id: str
    device_id: str
    group_id: str | None
    enrollment: Enrollment


def enrolled_device(enrollment: Enrollment, presented_id: str, before: RegistrationRecord | None) -> EnrolledDevice:
    """In the enrollment's spelling; for a group's device in that of its first registration."""
    if isinstance(enrollment, IndividualEnrollment):
        registration_id = enrollment.registration_id
        device_id = given(enrollment.device_id) or registration_id
        return EnrolledDevice(registration_id, device_id, None, enrollment)
    registration_id = presented_id if before is None else before.registration_id
    return EnrolledDevice(registration_id, registration_id, enrollment.enrollment_group_id, enrollment)


def hub_credential(device: EnrolledDevice, proof: Proof, made_key: Secret | None = None) -> HubCredential:
    """The primary key or thumbprint is the one that was used (observed); a group's device gets both keys derived from
    the group's, a TPM's the one that was made for it. Raises NoHubAvailable."""
    if device.enrollment.attestation.type != proof.mechanism:
        raise NoHubAvailable("The enrollment changed its attestation while the device registered.", lasting=True)
    if proof.mechanism == "x509":
        return _thumbprints(device.enrollment, proof)
    if proof.mechanism == "tpm":
        return _made_key(device.enrollment, proof, made_key)
    keys = symmetric_keys(device.enrollment)
    if len(keys) < 2:
        raise NoHubAvailable("The enrollment has no symmetric keys any more.", lasting=True)
    if proof.derived_for is not None:
        keys = tuple(derive_device_key(key, proof.derived_for) for key in keys)
    primary, secondary = keys
    return SymmetricKeys(secondary, primary) if proof.slot == "secondary" else SymmetricKeys(primary, secondary)


def _made_key(enrollment: Enrollment, proof: Proof, key: Secret | None) -> SymmetricKeys:
    """Both keys are the one: nobody has another."""
    tpm = given(enrollment.attestation.tpm)
    if key is None or tpm is None or not same_key(tpm.endorsement_key, proof.endorsement_key or ""):
        raise NoHubAvailable("The enrollment changed its endorsement key while the device registered.", lasting=True)
    return SymmetricKeys(key, key)


def _thumbprints(enrollment: Enrollment, proof: Proof) -> Thumbprints:
    """That of the leaf, and beside it the other one that is enrolled, if the leaf itself is."""
    used = proof.thumbprint or ""
    enrolled = [thumbprint for _, thumbprint in client_thumbprints(enrollment.attestation)]
    others = [thumbprint for thumbprint in enrolled if thumbprint != used]
    return Thumbprints(used, others[0] if used in enrolled and others else None)
