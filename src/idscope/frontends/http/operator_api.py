"""Owns the operator listener's rows: is it alive, is it ready, what does it serve, the OpenAPI documents.
It must not be reachable by devices: these rows stand on a listener of their own."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from idscope import __version__
from idscope.clock import Clock, format_time
from idscope.directory import Directory, Right
from idscope.embedded_hub import Telemetry
from idscope.embedded_hub.cloud_messages import CloudMessages
from idscope.errors import RouteNotFound, ServiceUnavailable
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.openapi import openapi_document, openapi_index
from idscope.frontends.http.operations import Api, Handler, Operation, Request
from idscope.model.document import Document, encode
from idscope.registration import Explanations
from idscope.storage import Store

READY_SECONDS: Final = 2.0
"""Who asks for readiness has a limit of its own, and learns more from a no than from silence."""


class Health(Document):
    status: str


class Status(Document):
    """`services` are the names of the provisioning services whose `id_scopes` and `host_names` (what devices connect
    to) stand beside them."""

    version: str
    started_utc: str
    id_scopes: list[str]
    services: list[str]
    host_names: list[str]
    hubs: list[str]


class HubTraffic(msgspec.Struct, frozen=True):
    """What devices of embedded hubs send, and what they are sent."""

    telemetry: Telemetry
    messages: CloudMessages


class OperatorUseCases(msgspec.Struct, frozen=True):
    """`operations` are the rows that are documented; `started` in microseconds; `hub_traffic` where devices connect,
    `explanations` where they register."""

    store: Store
    directory: Directory
    clock: Clock
    operations: tuple[Operation, ...]
    started: int
    hub_traffic: HubTraffic | None = None
    explanations: Explanations | None = None


async def healthz(_: OperatorUseCases, __: Request) -> Answer:
    """The process answers."""
    return Answer(200, encode(Health(status="ok")))


async def readyz(operator: OperatorUseCases, _: Request) -> Answer:
    """The store can be read and written, and there is a service to serve; an answer comes in any case."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await operator.store.check()
    except TimeoutError:
        raise ServiceUnavailable(reason=f"the store did not take a write within {READY_SECONDS:g} s") from None
    if not operator.directory.snapshot.services:
        raise ServiceUnavailable("No provisioning service is loaded.")
    return Answer(200, encode(Health(status="ready")))


async def status(operator: OperatorUseCases, _: Request) -> Answer:
    snapshot = operator.directory.snapshot
    document = Status(
        version=__version__,
        started_utc=format_time(operator.started),
        id_scopes=[service.service_id for service in snapshot.services],
        services=[service.name for service in snapshot.services],
        host_names=[service.host_names[0] for service in snapshot.services],
        hubs=[hub.host_names[0] for hub in snapshot.hubs],
    )
    return Answer(200, encode(document))


async def openapi_list(operator: OperatorUseCases, _: Request) -> Answer:
    return Answer(200, encode(openapi_index(operator.operations)))


async def openapi(operator: OperatorUseCases, request: Request) -> Answer:
    document = openapi_document(
        operator.operations, request.path["api"].lower(), request.path["version"].lower().removesuffix(".json")
    )
    if document is None:
        raise RouteNotFound("There is no such OpenAPI document; GET /openapi lists them.")
    return Answer(200, encode(document))


def operator_row(
    operation_id: str,
    path: str,
    handler: Handler,
    document: Any,
    summary: str,
    right: Right | None,
    query: tuple[str, ...] = (),
) -> Operation:
    """One GET of the operator listener."""
    return Operation(
        operation_id=operation_id,
        api=Api.OPERATOR,
        method="GET",
        path=path,
        handler=handler,
        right=right,
        query_parameters=query,
        responses={200: document},
        summary=summary,
    )


OPERATOR_OPERATIONS: Final = (
    operator_row("Health", "/healthz", healthz, Health, "Whether the process answers.", None),
    operator_row(
        "Readiness", "/readyz", readyz, Health, "Whether it can serve: the store can be read and written.", None
    ),
    operator_row(
        "OpenApi_List", "/openapi", openapi_list, dict[str, list[str]], "The OpenAPI documents there are.", None
    ),
    operator_row("OpenApi_Get", "/openapi/{api}/{version}", openapi, dict[str, Any], "One OpenAPI 3.1 document.", None),
    operator_row("Status_Get", "/admin/status", status, Status, "What runs here.", Right.SERVICE_CONFIG),
)

# What a probe may ask in plain HTTP: nothing that a token opens, so that none is sent there.
PLAIN_OPERATIONS: Final = tuple(row for row in OPERATOR_OPERATIONS if row.handler in (healthz, readyz))
