"""Owns which members of an enrollment stand in columns of their own, for searches. It must not know how one searches.

What is searched is what is shown: a null member counts as absent.
"""

from __future__ import annotations

from typing import Any

from idscope.clock import parse_time
from idscope.model.attestation import X509Certificates, X509CertificateWithInfo
from idscope.model.document import UnsetType, given
from idscope.model.enrollment import Enrollment, IndividualEnrollment

Columns = dict[str, Any]


def searched_columns(enrollment: Enrollment) -> Columns:
    """The columns that enrollments and groups share."""
    capabilities, reprovision = given(enrollment.capabilities), given(enrollment.reprovision_policy)
    columns: Columns = {
        "provisioning_status": given(enrollment.provisioning_status),
        "allocation_policy": given(enrollment.allocation_policy),
        "iot_edge": None if capabilities is None else int(capabilities.iot_edge),
        "update_hub_assignment": None if reprovision is None else int(reprovision.update_hub_assignment),
        "migrate_device_data": None if reprovision is None else int(reprovision.migrate_device_data),
    }
    x509 = given(enrollment.attestation.x509)
    if x509 is not None:
        references = given(x509.ca_references)
        columns |= _certificate_columns("signing", x509.signing_certificates)
        columns["primary_ca_reference"] = None if references is None else _lower(given(references.primary))
        columns["secondary_ca_reference"] = None if references is None else _lower(given(references.secondary))
    return columns


def searched_columns_of_one_device(enrollment: IndividualEnrollment) -> Columns:
    """The columns that an individual enrollment has beside those."""
    x509 = given(enrollment.attestation.x509)
    certificates = {} if x509 is None else _certificate_columns("client", x509.client_certificates)
    return {"device_id": given(enrollment.device_id), **certificates}


def _certificate_columns(name: str, certificates: X509Certificates | UnsetType | None) -> Columns:
    pair = given(certificates)
    if pair is None:
        return {}
    return _slot_columns(f"{name}_primary", given(pair.primary)) | _slot_columns(
        f"{name}_secondary", given(pair.secondary)
    )


def _slot_columns(name: str, slot: X509CertificateWithInfo | None) -> Columns:
    info = None if slot is None else given(slot.info)
    if info is None:
        return {}
    return {f"{name}_thumbprint": info.sha256_thumbprint, f"{name}_not_after": parse_time(info.not_after_utc)}


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()
