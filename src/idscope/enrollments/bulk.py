"""Owns bulk operations: each item for itself, in the order given, its failure told by its id.
It must not know how one item is carried out."""

from __future__ import annotations

from typing import Final

from idscope.enrollments.enrollments import Enrollments
from idscope.errors import EnrollmentExists, InvalidArgument, PreconditionFailed, ProvisioningError
from idscope.model.document import given
from idscope.model.enrollment import (
    BulkEnrollmentOperation,
    BulkEnrollmentOperationError,
    BulkEnrollmentOperationResult,
    BulkMode,
    IndividualEnrollment,
)
from idscope.model.etag import check_body_etag, parse_if_match

LARGEST_BULK: Final = 10  # published


async def run_bulk_operation(
    enrollments: Enrollments, service_id: str, operation: BulkEnrollmentOperation
) -> BulkEnrollmentOperationResult:
    """Raises InvalidArgument for more than ten items; everything else is told item by item."""
    if len(operation.enrollments) > LARGEST_BULK:
        raise InvalidArgument(f"A bulk operation takes at most {LARGEST_BULK} enrollments.")
    errors: list[BulkEnrollmentOperationError] = []
    for item in operation.enrollments:
        try:
            await _carry_out(enrollments, service_id, operation.mode, item)
        except ProvisioningError as error:
            if error.status >= 500:  # not the item's fault: the caller must know that the rest was not tried
                raise
            errors.append(
                BulkEnrollmentOperationError(
                    registration_id=item.registration_id, error_code=error.error_code, error_status=error.message
                )
            )
    return BulkEnrollmentOperationResult(errors=errors, is_successful=not errors)


async def _carry_out(enrollments: Enrollments, service_id: str, mode: BulkMode, item: IndividualEnrollment) -> None:
    """The item's etag is the only condition available; `update` without one finds the existing item in its way."""
    etag = given(item.etag)
    check_body_etag(etag)
    expect = parse_if_match(etag)
    if mode == "create":
        await enrollments.put(service_id, item, None)
    elif mode == "delete":
        await enrollments.delete(service_id, item.registration_id, expect)
    elif expect is None:
        await enrollments.get(service_id, item.registration_id)  # 404201 where there is none
        raise EnrollmentExists
    else:
        try:
            await enrollments.put(service_id, item, expect)
        except PreconditionFailed:
            await enrollments.get(service_id, item.registration_id)
            raise
