"""Owns the six rows of an enrollment resource, the same for individual enrollments and for groups.
It must not know in what the two differ beyond names and documents."""

from __future__ import annotations

from collections.abc import Callable
from types import GenericAlias
from typing import Any, Final

import msgspec

from idscope.directory import Right
from idscope.enrollments import Enrollments, run_bulk_operation
from idscope.enrollments.attestation import with_keys
from idscope.enrollments.faces import after_get, after_put, in_query
from idscope.enrollments.query import page_size
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.operations import DEVICE_BODY_LIMIT, Api, Operation, Request
from idscope.frontends.http.service_answers import (
    PAGING_REQUEST_HEADERS,
    PAGING_RESPONSE_HEADERS,
    page_answer,
    service_answer,
    service_id_of,
)
from idscope.model.attestation import AttestationMechanism
from idscope.model.enrollment import QuerySpecification
from idscope.model.etag import parse_if_match

_IF_MATCH: Final = ("If-Match",)


class EnrollmentResource(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two resources: its words in the published description, and its documents.

    `use_case` picks the enrollments out of the service API's use cases; `items` is the bulk document's list.
    """

    name: str
    path: str
    words: str
    use_case: Callable[[Any], Enrollments[Any]]
    document: Any
    bulk: Any
    bulk_error: Any
    bulk_result: Any
    items: str
    with_registration: bool = False

    async def get(self, service: Any, request: Request) -> Answer:
        enrollments, enrollment_id = self.use_case(service), request.path["id"]
        if not self.with_registration:
            record = await enrollments.get(service_id_of(request), enrollment_id)
            return service_answer(in_query(record, request.api_version))
        record, registration = await enrollments.get_with_registration(service_id_of(request), enrollment_id)
        return service_answer(after_get(record, registration, request.api_version))

    async def put(self, service: Any, request: Request) -> Answer:
        expect = parse_if_match(request.headers.get("if-match"))
        service_id, path_id = service_id_of(request), request.path["id"]
        record = await self.use_case(service).put(service_id, request.body, expect, path_id=path_id)
        return service_answer(after_put(record, request.api_version))

    async def delete(self, service: Any, request: Request) -> Answer:
        expect = parse_if_match(request.headers.get("if-match"))
        await self.use_case(service).delete(service_id_of(request), request.path["id"], expect)
        return Answer(204)

    async def query(self, service: Any, request: Request) -> Answer:
        enrollments = self.use_case(service)
        size = page_size(request.headers.get("x-ms-max-item-count"))
        continuation = request.headers.get("x-ms-continuation")
        page = await enrollments.query(service_id_of(request), request.body.query, continuation, size)
        shown = [in_query(record, request.api_version) for record in page.records]
        return page_answer(shown, enrollments.kind.item_type, page.continuation)

    async def get_attestation_mechanism(self, service: Any, request: Request) -> Answer:
        record = await self.use_case(service).get(service_id_of(request), request.path["id"])
        return service_answer(with_keys(record.enrollment.attestation))

    async def run_bulk(self, service: Any, request: Request) -> Answer:
        enrollments, operation = self.use_case(service), request.body
        items = getattr(operation, self.items)
        failures = await run_bulk_operation(enrollments, service_id_of(request), operation.mode, items)
        errors = [
            self.bulk_error(
                **{enrollments.kind.id_member: failure.enrollment_id},
                error_code=failure.error.error_code,
                error_status=failure.error.message,
            )
            for failure in failures
        ]
        return service_answer(self.bulk_result(errors=errors, is_successful=not errors))


def enrollment_rows(resource: EnrollmentResource) -> tuple[Operation, ...]:
    """The rows of the operation table."""
    one = f"{resource.path}/{{id}}"
    documents: Any = GenericAlias(list, (resource.document,))
    return (
        Operation(
            operation_id=f"{resource.name}_Get",
            api=Api.SERVICE,
            method="GET",
            path=one,
            handler=resource.get,
            right=Right.ENROLLMENT_READ,
            responses={200: resource.document},
            summary=f"Get a {resource.words} record.",
        ),
        Operation(
            operation_id=f"{resource.name}_CreateOrUpdate",
            api=Api.SERVICE,
            method="PUT",
            path=one,
            handler=resource.put,
            right=Right.ENROLLMENT_WRITE,
            request_type=resource.document,
            body_required=True,
            request_headers=_IF_MATCH,
            responses={200: resource.document},
            summary=f"Create or update a {resource.words} record.",
        ),
        Operation(
            operation_id=f"{resource.name}_Delete",
            api=Api.SERVICE,
            method="DELETE",
            path=one,
            handler=resource.delete,
            right=Right.ENROLLMENT_WRITE,
            request_headers=_IF_MATCH,
            responses={204: None},
            summary=f"Delete a {resource.words} record.",
        ),
        Operation(
            operation_id=f"{resource.name}_Query",
            api=Api.SERVICE,
            method="POST",
            path=f"{resource.path}/query",
            handler=resource.query,
            right=Right.ENROLLMENT_READ,
            request_type=QuerySpecification,
            body_required=True,
            body_limit=DEVICE_BODY_LIMIT,
            request_headers=PAGING_REQUEST_HEADERS,
            responses={200: documents},
            response_headers=PAGING_RESPONSE_HEADERS,
            summary=f"Query the {resource.words} records.",
        ),
        Operation(
            operation_id=f"{resource.name}_GetAttestationMechanism",
            api=Api.SERVICE,
            method="POST",
            path=f"{one}/attestationmechanism",
            handler=resource.get_attestation_mechanism,
            right=Right.ENROLLMENT_WRITE,
            body_limit=DEVICE_BODY_LIMIT,
            responses={200: AttestationMechanism},
            summary=f"Get the attestation mechanism in the {resource.words} record.",
        ),
        Operation(
            operation_id=f"{resource.name}_RunBulkOperation",
            api=Api.SERVICE,
            method="POST",
            path=resource.path,
            handler=resource.run_bulk,
            right=Right.ENROLLMENT_WRITE,
            request_type=resource.bulk,
            body_required=True,
            responses={200: resource.bulk_result},
            summary=f"Bulk {resource.words} operation with maximum of 10 items.",
        ),
    )
