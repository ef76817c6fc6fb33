"""Owns what an enrollment must look like to be stored. It must not know what stands in the store.

Deliberately lenient where the live service is: hubs that are not linked, `static` without hubs, a webhook beside
another policy and unknown CA references are stored, and judged when a device registers.
"""

from __future__ import annotations

from typing import Final, TypeVar

from idscope.enrollments.kinds import Kind
from idscope.errors import InvalidArgument, InvalidRegistrationId
from idscope.model.attestation import AttestationMechanism, TpmAttestation, X509Attestation
from idscope.model.device_identity import check_device_id
from idscope.model.document import UNSET, FreeObject, UnsetType, given, is_present
from idscope.model.enrollment import Enrollment, EnrollmentGroup, IndividualEnrollment
from idscope.model.etag import check_body_etag
from idscope.model.registration_id import registration_key
from idscope.security.tpm_public import TpmKeyRefused, read_key

E = TypeVar("E", IndividualEnrollment, EnrollmentGroup)

_MAX_TEXT: Final = 1024


def check_enrollment(kind: Kind[E], enrollment: E, path_id: str | None) -> str:
    """The enrollment's key. Raises InvalidArgument and its kin; `path_id` None in bulk operations."""
    key = registration_key(kind.id_of(enrollment))
    if path_id is not None and registration_key(path_id) != key:
        raise InvalidRegistrationId("Invalid RegistrationId: the id in the path is not the one in the body.")
    check_body_etag(given(enrollment.etag))
    if isinstance(enrollment, IndividualEnrollment):
        _check_one_device(enrollment)
    _check_attestation(kind, enrollment.attestation)
    _check_free_objects(enrollment)
    for hub in (*(given(enrollment.iot_hubs) or ()), given(enrollment.iot_hub_host_name) or ""):
        if len(hub) > _MAX_TEXT:
            raise InvalidArgument("An IoT hub host name is too long.")
    definition = given(enrollment.custom_allocation_definition)
    if given(enrollment.allocation_policy) == "custom" and definition is None:
        raise InvalidArgument("A CustomAllocationDefinition is required when the allocation policy is set to 'Custom'")
    if definition is not None and not (definition.webhook_url and definition.api_version):
        raise InvalidArgument("webhookUrl and apiVersion of customAllocationDefinition must not be empty.")
    return key


def _check_one_device(enrollment: IndividualEnrollment) -> None:
    device_id = given(enrollment.device_id)
    if device_id is not None:
        check_device_id(device_id)
    information = enrollment.optional_device_information
    _check_object("optionalDeviceInformation", information)


def _check_attestation(kind: Kind[E], attestation: AttestationMechanism) -> None:
    """Whatever is there must be usable, and what `type` names must be there (symmetric keys may be left out)."""
    if attestation.type not in kind.attestation_types:
        raise InvalidArgument(f"Attestation by {attestation.type} is not possible for {kind.collection.name}.")
    tpm, x509 = given(attestation.tpm), given(attestation.x509)
    if (attestation.type == "tpm" and tpm is None) or (attestation.type == "x509" and not _names_any(kind, x509)):
        raise InvalidArgument("TPM or X509 attestation is required.")
    if tpm is not None:
        _check_tpm(tpm)
    _check_ca_references(x509)


def _names_any(kind: Kind[E], x509: X509Attestation | None) -> bool:
    """Whether there is a certificate or a reference of those that this kind attests by."""
    if x509 is None:
        return False
    pairs = (given(getattr(x509, name)) for name in kind.x509_members)
    return any(pair is not None and (given(pair.primary) or given(pair.secondary)) for pair in pairs)


def _check_ca_references(x509: X509Attestation | None) -> None:
    """Any name will do, as long as it can be searched."""
    references = None if x509 is None else given(x509.ca_references)
    if references is None:
        return
    for name in (given(references.primary), given(references.secondary)):
        if name is not None and len(name) > _MAX_TEXT:
            raise InvalidArgument("The name of a CA certificate is too long.")


def _check_tpm(tpm: TpmAttestation) -> None:
    """A key for which no challenge can be made would be found out by the device only."""
    keys = {"endorsementKey": tpm.endorsement_key, "storageRootKey": given(tpm.storage_root_key) or None}
    for name, text in keys.items():
        try:
            if text is not None:
                read_key(text)
        except TpmKeyRefused as refusal:
            raise InvalidArgument(f"{name} {refusal}") from None


def _check_free_objects(enrollment: Enrollment) -> None:
    twin = given(enrollment.initial_twin)
    properties = None if twin is None else given(twin.properties)
    _check_object("initialTwin.tags", UNSET if twin is None else twin.tags)
    _check_object("initialTwin.properties.desired", UNSET if properties is None else properties.desired)


def _check_object(name: str, value: FreeObject | UnsetType) -> None:
    if is_present(value) and not bytes(value).startswith(b"{"):  # type: ignore[arg-type]  # present, so not UNSET
        raise InvalidArgument(f"Invalid request body: {name} must be an object.")
