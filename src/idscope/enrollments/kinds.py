"""Owns the two kinds of enrollment and everything in which they differ, as one table.
It must not hold a rule that both share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from idscope.enrollments.attestation import client_thumbprints, signing_thumbprints
from idscope.enrollments.query import ENROLLMENT_GROUPS, ENROLLMENTS, Collection
from idscope.errors import (
    EnrollmentExists,
    EnrollmentGroupExists,
    EnrollmentGroupNotFound,
    EnrollmentNotFound,
    ProvisioningError,
)
from idscope.model.attestation import AttestationMechanism
from idscope.model.enrollment import EnrollmentGroup, IndividualEnrollment
from idscope.records import EnrollmentRecord, enrollment_row, group_row, read_enrollment, read_group
from idscope.security.sealing import Sealer
from idscope.storage import EnrollmentGroupRow, EnrollmentRow, OperationRow, RegistrationRow, Row

E = TypeVar("E", IndividualEnrollment, EnrollmentGroup)


class Kind(msgspec.Struct, Generic[E], frozen=True, kw_only=True):
    """`id_member` is the document's own id; `thumbprints` of a kind stand in one enrollment only.

    `goes_with_it` are the rows that a deletion takes along: the registration of an individual enrollment (by choice),
    nothing of a group, whose registrations stay (published).
    """

    document: type[E]
    row: type[Row]
    id_member: str
    item_type: str
    collection: Collection
    owner: str
    not_found: type[ProvisioningError]
    exists: type[ProvisioningError]
    write: Callable[[str, EnrollmentRecord[E], Sealer], Row]
    read: Callable[[Any, Sealer], EnrollmentRecord[E]]
    thumbprints: Callable[[AttestationMechanism], frozenset[str]]
    attestation_types: frozenset[str]
    x509_members: tuple[str, ...]
    goes_with_it: tuple[type[Row], ...] = ()

    def id_of(self, enrollment: E) -> str:
        text: str = getattr(enrollment, self.id_member)
        return text


INDIVIDUAL: Final = Kind[IndividualEnrollment](
    document=IndividualEnrollment,
    row=EnrollmentRow,
    id_member="registration_id",
    item_type="Enrollment",
    collection=ENROLLMENTS,
    owner="enrollment",
    not_found=EnrollmentNotFound,
    exists=EnrollmentExists,
    write=enrollment_row,
    read=read_enrollment,
    thumbprints=client_thumbprints,
    attestation_types=frozenset({"none", "symmetricKey", "tpm", "x509"}),
    x509_members=("client_certificates", "signing_certificates", "ca_references"),
    goes_with_it=(RegistrationRow, OperationRow),
)
GROUP: Final = Kind[EnrollmentGroup](
    document=EnrollmentGroup,
    row=EnrollmentGroupRow,
    id_member="enrollment_group_id",
    item_type="EnrollmentGroup",
    collection=ENROLLMENT_GROUPS,
    owner="enrollmentGroup",
    not_found=EnrollmentGroupNotFound,
    exists=EnrollmentGroupExists,
    write=group_row,
    read=read_group,
    thumbprints=signing_thumbprints,
    attestation_types=frozenset({"none", "symmetricKey", "x509"}),
    x509_members=("signing_certificates", "ca_references"),
)
