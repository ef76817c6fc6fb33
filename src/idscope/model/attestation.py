"""Owns the documents of attestation mechanisms. It must not know how a device proves one."""

from __future__ import annotations

from typing import Literal

from idscope.model.document import UNSET, Document, UnsetType
from idscope.secret import Secret

AttestationType = Literal["none", "tpm", "x509", "symmetricKey"]


class TpmAttestation(Document):
    """Base64 of TPM2B_PUBLIC structures."""

    endorsement_key: str
    storage_root_key: str | UnsetType | None = UNSET


class X509CertificateInfo(Document):
    """What is read back of a certificate; thumbprints and serial number in upper-case hex."""

    subject_name: str
    sha1_thumbprint: str
    sha256_thumbprint: str
    issuer_name: str
    not_before_utc: str
    not_after_utc: str
    serial_number: str
    version: int


class X509CertificateWithInfo(Document):
    """`certificate`: PEM, Base64 of DER, or Base64 of the PEM text; never echoed."""

    certificate: str | UnsetType | None = UNSET
    info: X509CertificateInfo | UnsetType | None = UNSET


class X509Certificates(Document):
    primary: X509CertificateWithInfo | UnsetType | None = UNSET
    secondary: X509CertificateWithInfo | UnsetType | None = UNSET


class X509CAReferences(Document):
    """Names of certificates uploaded to the service."""

    primary: str | UnsetType | None = UNSET
    secondary: str | UnsetType | None = UNSET


class X509Attestation(Document):
    client_certificates: X509Certificates | UnsetType | None = UNSET
    signing_certificates: X509Certificates | UnsetType | None = UNSET
    ca_references: X509CAReferences | UnsetType | None = UNSET


class SymmetricKeyAttestation(Document):
    """Base64 of 16 to 64 bytes each; null, absent and empty are one case."""

    primary_key: Secret | UnsetType | None = UNSET
    secondary_key: Secret | UnsetType | None = UNSET


class AttestationMechanism(Document):
    type: AttestationType
    tpm: TpmAttestation | UnsetType | None = UNSET
    x509: X509Attestation | UnsetType | None = UNSET
    symmetric_key: SymmetricKeyAttestation | UnsetType | None = UNSET
