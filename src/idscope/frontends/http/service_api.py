"""Owns the service API: its use cases, and its rows of the operation table joined from one file per resource, once for
services that Host names and once for those that the path names. It must not check rights (the router does) nor decide
anything (the use cases do)."""

from __future__ import annotations

from typing import Final

import msgspec

from idscope.enrollments import Enrollments, RegistrationStates
from idscope.frontends.http.enrollment_api import EnrollmentResource, enrollment_rows
from idscope.frontends.http.operations import SERVICE_NAME, Api, Operation
from idscope.frontends.http.registration_state_api import REGISTRATION_STATE_ROWS
from idscope.model.enrollment import (
    BulkEnrollmentGroupOperation,
    BulkEnrollmentGroupOperationError,
    BulkEnrollmentGroupOperationResult,
    BulkEnrollmentOperation,
    BulkEnrollmentOperationError,
    BulkEnrollmentOperationResult,
    EnrollmentGroup,
    IndividualEnrollment,
)


class ServiceUseCases(msgspec.Struct, frozen=True):
    enrollments: Enrollments[IndividualEnrollment]
    groups: Enrollments[EnrollmentGroup]
    registrations: RegistrationStates


SERVICE_OPERATIONS: Final[tuple[Operation, ...]] = (
    *enrollment_rows(
        EnrollmentResource(
            name="IndividualEnrollment",
            path="/enrollments",
            words="device enrollment",
            use_case=lambda service: service.enrollments,
            document=IndividualEnrollment,
            bulk=BulkEnrollmentOperation,
            bulk_error=BulkEnrollmentOperationError,
            bulk_result=BulkEnrollmentOperationResult,
            items="enrollments",
            with_registration=True,
        )
    ),
    *enrollment_rows(
        EnrollmentResource(
            name="EnrollmentGroup",
            path="/enrollmentGroups",
            words="device enrollment group",
            use_case=lambda service: service.groups,
            document=EnrollmentGroup,
            bulk=BulkEnrollmentGroupOperation,
            bulk_error=BulkEnrollmentGroupOperationError,
            bulk_result=BulkEnrollmentGroupOperationResult,
            items="enrollment_groups",
        )
    ),
    *REGISTRATION_STATE_ROWS,
)


def _named(row: Operation) -> Operation:
    return msgspec.structs.replace(
        row, api=Api.NAMED_SERVICE, path=f"/provisioningServices/{{{SERVICE_NAME}}}{row.path}"
    )


NAMED_SERVICE_OPERATIONS: Final[tuple[Operation, ...]] = tuple(map(_named, SERVICE_OPERATIONS))
