"""Owns the documents of the device API and of registration states. It must not know how a state comes about."""

from __future__ import annotations

from typing import Literal

from idscope.model.attestation import TpmAttestation, X509CertificateInfo
from idscope.model.document import UNSET, Document, FreeObject, RawJson, UnsetType

EnrollmentStatus = Literal["unassigned", "assigning", "assigned", "failed", "disabled"]
AssignedDeviceSubstatus = Literal[
    "initialAssignment", "deviceDataMigrated", "deviceDataReset", "reprovisionedToInitialAssignment"
]


class DeviceRegistration(Document):
    """The body of register and of the status lookup; every member may be missing, and so may the body."""

    registration_id: str | UnsetType | None = UNSET
    tpm: TpmAttestation | UnsetType | None = UNSET
    payload: RawJson | UnsetType = UNSET
    csr: str | UnsetType | None = UNSET


class TpmRegistrationResult(Document):
    authentication_key: str


class X509RegistrationResult(Document):
    """The two infos are given whole or not at all (Java refuses a partial one)."""

    certificate_info: X509CertificateInfo | UnsetType = UNSET
    enrollment_group_id: str | UnsetType = UNSET
    signing_certificate_info: X509CertificateInfo | UnsetType = UNSET


class SymmetricKeyRegistrationResult(Document):
    enrollment_group_id: str | UnsetType = UNSET


class DeviceRegistrationState(Document, kw_only=True):
    """What the service API shows of a registration. Answers hold no null."""

    registration_id: str
    created_date_time_utc: str | UnsetType = UNSET
    assigned_hub: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    status: EnrollmentStatus
    substatus: AssignedDeviceSubstatus | UnsetType = UNSET
    error_code: int | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    last_updated_date_time_utc: str | UnsetType = UNSET
    etag: str | UnsetType = UNSET
    payload: FreeObject | UnsetType = UNSET


class DeviceRegistrationResult(DeviceRegistrationState):
    """What the device is shown: the state, and one member for the way in which it proved itself."""

    tpm: TpmRegistrationResult | UnsetType = UNSET
    x509: X509RegistrationResult | UnsetType = UNSET
    symmetric_key: SymmetricKeyRegistrationResult | UnsetType = UNSET
    issued_certificate_chain: list[str] | UnsetType = UNSET


class RegistrationOperationStatus(Document):
    """`registration_state` is left out of an assigning answer to register, and present everywhere else."""

    operation_id: str
    status: EnrollmentStatus
    registration_state: DeviceRegistrationResult | UnsetType = UNSET


class ProvisioningServiceErrorDetails(Document, kw_only=True):
    error_code: int
    tracking_id: str
    message: str
    info: dict[str, str] | UnsetType = UNSET
    timestamp_utc: str


class TpmChallengeDetails(ProvisioningServiceErrorDetails):
    """The error by which a TPM is challenged; its clients look for these two members."""

    authentication_key: str
    key_name: str
