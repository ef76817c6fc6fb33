"""Owns the service API over individual enrollments: the rows of the operation table and how their answers look.
It must not check rights (the router does) nor decide anything (the use cases do)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from idscope.directory import ProvisioningService, Right
from idscope.enrollments import Enrollments, run_bulk_operation
from idscope.enrollments.attestation import with_keys
from idscope.enrollments.faces import after_get, after_put, in_query
from idscope.enrollments.query import page_size, read_continuation
from idscope.errors import InternalError
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.operations import DEVICE_BODY_LIMIT, Api, Operation, Request
from idscope.model.attestation import AttestationMechanism
from idscope.model.document import encode_revealing
from idscope.model.enrollment import (
    BulkEnrollmentOperation,
    BulkEnrollmentOperationResult,
    IndividualEnrollment,
    QuerySpecification,
)
from idscope.model.etag import parse_if_match
from idscope.model.registration import DeviceRegistrationState

_NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_ITEM_TYPE: Final = (b"x-ms-item-type", b"Enrollment")


class ServiceUseCases(msgspec.Struct, frozen=True):
    enrollments: Enrollments


async def get_enrollment(service: ServiceUseCases, request: Request) -> Answer:
    record, registration = await service.enrollments.get(_service_id(request), request.path["id"])
    return _answer(after_get(record, registration, request.api_version))


async def put_enrollment(service: ServiceUseCases, request: Request) -> Answer:
    expect = parse_if_match(request.headers.get("if-match"))
    record = await service.enrollments.put(_service_id(request), request.body, expect, path_id=request.path["id"])
    return _answer(after_put(record, request.api_version))


async def delete_enrollment(service: ServiceUseCases, request: Request) -> Answer:
    expect = parse_if_match(request.headers.get("if-match"))
    await service.enrollments.delete(_service_id(request), request.path["id"], expect)
    return Answer(204)


async def query_enrollments(service: ServiceUseCases, request: Request) -> Answer:
    size = page_size(request.headers.get("x-ms-max-item-count"))
    after = read_continuation(request.headers.get("x-ms-continuation"))
    page = await service.enrollments.query(_service_id(request), request.body.query, after, size)
    headers = [_ITEM_TYPE, _NO_SNIFF]
    if page.continuation is not None:
        headers.append((b"x-ms-continuation", page.continuation.encode()))
    return _answer([in_query(record, request.api_version) for record in page.records], *headers)


async def get_attestation_mechanism(service: ServiceUseCases, request: Request) -> Answer:
    record, _ = await service.enrollments.get(_service_id(request), request.path["id"])
    return _answer(with_keys(record.enrollment.attestation))


async def run_bulk(service: ServiceUseCases, request: Request) -> Answer:
    return _answer(await run_bulk_operation(service.enrollments, _service_id(request), request.body))


def _service_id(request: Request) -> str:
    return selected_service(request).service_id


def selected_service(request: Request) -> ProvisioningService:
    """The service that the router selected by Host."""
    if request.service is None:
        raise InternalError(reason="the router selects a service for every row of the service API")
    return request.service


def _answer(document: Any, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(200, encode_revealing(document), headers)


SERVICE_OPERATIONS: Final = (
    Operation(
        operation_id="IndividualEnrollment_Get",
        api=Api.SERVICE,
        method="GET",
        path="/enrollments/{id}",
        handler=get_enrollment,
        right=Right.ENROLLMENT_READ,
        responses={200: IndividualEnrollment},
        summary="Get a device enrollment record.",
    ),
    Operation(
        operation_id="IndividualEnrollment_CreateOrUpdate",
        api=Api.SERVICE,
        method="PUT",
        path="/enrollments/{id}",
        handler=put_enrollment,
        right=Right.ENROLLMENT_WRITE,
        request_type=IndividualEnrollment,
        body_required=True,
        request_headers=("If-Match",),
        responses={200: IndividualEnrollment},
        summary="Create or update a device enrollment record.",
    ),
    Operation(
        operation_id="IndividualEnrollment_Delete",
        api=Api.SERVICE,
        method="DELETE",
        path="/enrollments/{id}",
        handler=delete_enrollment,
        right=Right.ENROLLMENT_WRITE,
        request_headers=("If-Match",),
        responses={204: None},
        summary="Delete a device enrollment record.",
    ),
    Operation(
        operation_id="IndividualEnrollment_Query",
        api=Api.SERVICE,
        method="POST",
        path="/enrollments/query",
        handler=query_enrollments,
        right=Right.ENROLLMENT_READ,
        request_type=QuerySpecification,
        body_required=True,
        body_limit=DEVICE_BODY_LIMIT,
        request_headers=("x-ms-max-item-count", "x-ms-continuation"),
        responses={200: list[IndividualEnrollment]},
        response_headers=("x-ms-continuation", "x-ms-item-type"),
        summary="Query the device enrollment records.",
    ),
    Operation(
        operation_id="IndividualEnrollment_GetAttestationMechanism",
        api=Api.SERVICE,
        method="POST",
        path="/enrollments/{id}/attestationmechanism",
        handler=get_attestation_mechanism,
        right=Right.ENROLLMENT_WRITE,
        body_limit=DEVICE_BODY_LIMIT,
        responses={200: AttestationMechanism},
        summary="Get the attestation mechanism in the device enrollment record.",
    ),
    Operation(
        operation_id="IndividualEnrollment_RunBulkOperation",
        api=Api.SERVICE,
        method="POST",
        path="/enrollments",
        handler=run_bulk,
        right=Right.ENROLLMENT_WRITE,
        request_type=BulkEnrollmentOperation,
        body_required=True,
        responses={200: BulkEnrollmentOperationResult},
        summary="Bulk device enrollment operation with maximum of 10 enrollments.",
    ),
)

# Documents that only stand inside free members, named by their schema reference.
REFERENCED_DOCUMENTS: Final = (DeviceRegistrationState,)
