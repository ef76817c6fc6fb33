"""Owns the rows of device registration states: read and delete one, list those of a group.
It must not write one: states come about by registering only."""

from __future__ import annotations

from typing import Any, Final

from idscope.directory import Right
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
from idscope.model.document import given
from idscope.model.enrollment import RegistrationQuerySpecification
from idscope.model.etag import parse_if_match
from idscope.model.registration import DeviceRegistrationState
from idscope.records import registration_state


async def get_registration(service: Any, request: Request) -> Answer:
    record = await service.registrations.get(service_id_of(request), request.path["id"])
    return service_answer(registration_state(record))


async def delete_registration(service: Any, request: Request) -> Answer:
    expect = parse_if_match(request.headers.get("if-match"))
    await service.registrations.delete(service_id_of(request), request.path["id"], expect)
    return Answer(204)


async def query_registrations(service: Any, request: Request) -> Answer:
    """quirk: Node sends a query document here, the specification and the CLI send none."""
    size = page_size(request.headers.get("x-ms-max-item-count"))
    continuation = request.headers.get("x-ms-continuation")
    query = "" if request.body is None else given(request.body.query) or ""
    page = await service.registrations.of_group(service_id_of(request), request.path["id"], query, continuation, size)
    shown = [registration_state(record) for record in page.records]
    return page_answer(shown, "DeviceRegistration", page.continuation)


REGISTRATION_STATE_ROWS: Final = (
    Operation(
        operation_id="DeviceRegistrationState_Get",
        api=Api.SERVICE,
        method="GET",
        path="/registrations/{id}",
        handler=get_registration,
        right=Right.REGISTRATION_STATUS_READ,
        responses={200: DeviceRegistrationState},
        summary="Gets the device registration state.",
    ),
    Operation(
        operation_id="DeviceRegistrationState_Delete",
        api=Api.SERVICE,
        method="DELETE",
        path="/registrations/{id}",
        handler=delete_registration,
        right=Right.REGISTRATION_STATUS_WRITE,
        request_headers=("If-Match",),
        responses={204: None},
        summary="Deletes the device registration.",
    ),
    Operation(
        operation_id="DeviceRegistrationState_Query",
        api=Api.SERVICE,
        method="POST",
        path="/registrations/{id}/query",
        handler=query_registrations,
        right=Right.REGISTRATION_STATUS_READ,
        request_type=RegistrationQuerySpecification,
        body_limit=DEVICE_BODY_LIMIT,
        request_headers=PAGING_REQUEST_HEADERS,
        responses={200: list[DeviceRegistrationState]},
        response_headers=PAGING_RESPONSE_HEADERS,
        summary="Gets the registration state of devices in this enrollmentGroup.",
    ),
)
