"""Owns bulk operations: each item for itself, in the order given, its failure told by its id.
It must not know how one item is carried out, nor of which kind it is."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from idscope.enrollments.enrollments import Enrollments
from idscope.errors import InvalidArgument, PreconditionFailed, ProvisioningError
from idscope.model.document import given
from idscope.model.enrollment import BulkMode, EnrollmentGroup, IndividualEnrollment
from idscope.model.etag import check_body_etag, parse_if_match

LARGEST_BULK: Final = 10  # published

E = TypeVar("E", IndividualEnrollment, EnrollmentGroup)


class Failure(msgspec.Struct, frozen=True):
    """An item that was not carried out, and why."""

    enrollment_id: str
    error: ProvisioningError


async def run_bulk_operation(
    enrollments: Enrollments[E], service_id: str, mode: BulkMode, items: list[E]
) -> list[Failure]:
    """What failed. Raises InvalidArgument for more than ten items, and what is not an item's own fault."""
    if len(items) > LARGEST_BULK:
        raise InvalidArgument(f"A bulk operation takes at most {LARGEST_BULK} enrollments.")
    failures: list[Failure] = []
    for item in items:
        try:
            await _carry_out(enrollments, service_id, mode, item)
        except ProvisioningError as error:
            if error.status >= 500:  # not the item's fault: the caller must know that the rest was not tried
                raise
            failures.append(Failure(enrollments.kind.id_of(item), error))
    return failures


async def _carry_out(enrollments: Enrollments[E], service_id: str, mode: BulkMode, item: E) -> None:
    """The item's etag is the only condition available; `update` without one finds the existing item in its way."""
    etag = given(item.etag)
    check_body_etag(etag)
    expect = parse_if_match(etag)
    enrollment_id = enrollments.kind.id_of(item)
    if mode == "create":
        await enrollments.put(service_id, item, None)
    elif mode == "delete":
        await enrollments.delete(service_id, enrollment_id, expect)
    elif expect is None:
        await enrollments.get(service_id, enrollment_id)  # 404 where there is none
        raise enrollments.kind.exists
    else:
        try:
            await enrollments.put(service_id, item, expect)
        except PreconditionFailed:
            await enrollments.get(service_id, enrollment_id)
            raise
