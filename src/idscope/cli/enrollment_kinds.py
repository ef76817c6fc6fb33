"""Owns in what `idscope enrollment` and `idscope enrollment-group` differ, as one table. It must not know what a
command does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec


class EnrollmentKind(msgspec.Struct, frozen=True, kw_only=True):
    """`certificates` is where a certificate goes that is given as a file; `columns` are those of a list."""

    words: str
    command: str
    path: str
    id_member: str
    id_flags: tuple[str, ...]
    attestation_types: tuple[str, ...]
    certificates: Literal["client_certificates", "signing_certificates"]
    columns: Mapping[str, str]
    one_device: bool


_COLUMNS: Final = {
    "attestation": "attestation.type",
    "status": "provisioningStatus",
    "allocation": "allocationPolicy",
    "hubs": "iotHubs",
    "updated": "lastUpdatedDateTimeUtc",
}

INDIVIDUAL: Final = EnrollmentKind(
    words="enrollment",
    command="enrollment",
    path="/enrollments",
    id_member="registrationId",
    id_flags=("--enrollment-id", "--eid"),
    attestation_types=("symmetricKey", "x509", "tpm", "none"),
    certificates="client_certificates",
    columns={"registrationId": "registrationId", **_COLUMNS},
    one_device=True,
)
GROUP: Final = EnrollmentKind(
    words="enrollment group",
    command="enrollment-group",
    path="/enrollmentGroups",
    id_member="enrollmentGroupId",
    id_flags=("--enrollment-id", "--eid", "--group-id", "--gid"),
    attestation_types=("symmetricKey", "x509", "none"),
    certificates="signing_certificates",
    columns={"enrollmentGroupId": "enrollmentGroupId", **_COLUMNS},
    one_device=False,
)
