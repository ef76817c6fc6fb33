"""Owns the HTTP face of the embedded hub's service API: its rows and their handlers.
It must not know how a caller is authenticated, nor how devices and twins are kept.

Errors are the hub branch of `idscope.errors`; the router writes them as a hub does.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final

import msgspec

from idscope.directory import Right
from idscope.embedded_hub import BulkRegistry, Delivery, Identities, Twins
from idscope.embedded_hub.documents import (
    BulkRegistryOperationResult,
    Device,
    DeviceChange,
    ExportImportDevice,
    QuerySpecification,
    RegistryStatistics,
    ServiceStatistics,
    Twin,
    TwinChange,
)
from idscope.embedded_hub.identities import PAGE_LIMIT
from idscope.embedded_hub.query import parse_query
from idscope.errors import HubArgumentInvalid, HubDeviceNotFound, InvalidETag
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.operations import KIBIBYTE, Api, Operation, Request
from idscope.model.document import encode, encode_revealing
from idscope.model.etag import ABSENT, PRESENT, Expectation, parse_if_match

QUERY_PAGE: Final = 100
BULK_BODY_LIMIT: Final = 100 * 64 * KIBIBYTE  # a hundred devices with the largest twins
BULK_FAILED: Final = (b"iothub-errorcode", b"BulkRegistryOperationFailure")  # .NET reads the result only with this


# One status for two documents: the published one of items that failed, and the error of a request that is no good.
BulkRefusal = Annotated[Any, msgspec.Meta(description="A BulkRegistryOperationResult, or the hub's error")]


class HubUseCases(msgspec.Struct, frozen=True):
    """What the handlers call; without `delivery` no device can be reached."""

    identities: Identities
    twins: Twins
    bulk: BulkRegistry
    delivery: Delivery | None = None


def hub_id_of(request: Request) -> str:
    if request.hub is None:
        raise HubDeviceNotFound("There is no hub on this server.")
    return request.hub.hub_id


def _if_match(request: Request) -> Expectation | None:
    try:
        return parse_if_match(request.headers.get("if-match"))
    except InvalidETag as error:
        raise HubArgumentInvalid(error.message) from None


def _check_body_id(request: Request, said: str | None) -> str:
    device_id = request.path["id"]
    if said is not None and said != device_id:
        raise HubArgumentInvalid("The deviceId in the body is not the one in the path.")
    return device_id


def _device_answer(device: Device, shown: Device) -> Answer:
    return Answer(200, encode_revealing(shown), ((b"etag", f'"{device.etag}"'.encode()),))


def _without_zone(device: Device) -> Device:
    """quirk: PUT answers times without Z, GET with it (observed)."""
    return msgspec.structs.replace(
        device,
        connection_state_updated_time=device.connection_state_updated_time.removesuffix("Z"),
        status_updated_time=device.status_updated_time.removesuffix("Z"),
        last_activity_time=device.last_activity_time.removesuffix("Z"),
    )


async def get_device(hub: HubUseCases, request: Request) -> Answer:
    device = await hub.identities.get(hub_id_of(request), request.path["id"])
    return _device_answer(device, device)


async def put_device(hub: HubUseCases, request: Request) -> Answer:
    """Without If-Match the device must be new (published)."""
    change: DeviceChange = request.body
    device_id = _check_body_id(request, change.device_id)
    device = await hub.identities.create_or_update(hub_id_of(request), device_id, change, _if_match(request) or ABSENT)
    return _device_answer(device, _without_zone(device))


async def delete_device(hub: HubUseCases, request: Request) -> Answer:
    await hub.identities.delete(hub_id_of(request), request.path["id"], _if_match(request) or PRESENT)
    return Answer(204)


async def list_devices(hub: HubUseCases, request: Request) -> Answer:
    """Any `top` outside of 1 to 1000 counts as 1000 (published)."""
    top = request.query.get("top", "")
    asked = int(top) if top.isdecimal() and len(top) <= len(str(PAGE_LIMIT)) else 0
    limit = asked if 0 < asked <= PAGE_LIMIT else PAGE_LIMIT
    return Answer(200, encode_revealing(await hub.identities.page(hub_id_of(request), None, limit)))


async def bulk_devices(hub: HubUseCases, request: Request) -> Answer:
    items: list[ExportImportDevice] = request.body
    result = await hub.bulk.apply(hub_id_of(request), items)
    if result.is_successful:
        return Answer(200, encode(result))
    return Answer(400, encode(result), (BULK_FAILED,))


async def query_devices(hub: HubUseCases, request: Request) -> Answer:
    specification: QuerySpecification = request.body
    wanted = parse_query(specification.query)
    if wanted is None:
        return await _twin_page(hub, request)
    try:
        found = [await hub.twins.get(hub_id_of(request), wanted)]
    except HubDeviceNotFound:
        found = []
    return _twins_answer(found, None)


async def _twin_page(hub: HubUseCases, request: Request) -> Answer:
    after, limit = _continuation(request), _page_size(request)
    twins = await hub.twins.page(hub_id_of(request), after, limit + 1)
    more = len(twins) > limit
    return _twins_answer(twins[:limit], twins[limit - 1].device_id if more else None)


def _page_size(request: Request) -> int:
    text = request.headers.get("x-ms-max-item-count", "")
    asked = int(text) if text.isdecimal() and len(text) <= len(str(PAGE_LIMIT)) else 0
    return min(asked, PAGE_LIMIT) or QUERY_PAGE


def _continuation(request: Request) -> str | None:
    token = request.headers.get("x-ms-continuation")
    if not token:
        return None
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError):
        raise HubArgumentInvalid("The x-ms-continuation is not one of this hub's.") from None


def _twins_answer(twins: list[Twin], last: str | None) -> Answer:
    headers = [(b"x-ms-item-type", b"twin")]
    if last is not None:
        headers.append((b"x-ms-continuation", base64.b64encode(last.encode())))
    return Answer(200, encode(twins), tuple(headers))


async def get_twin(hub: HubUseCases, request: Request) -> Answer:
    return Answer(200, encode(await hub.twins.get(hub_id_of(request), request.path["id"])))


async def patch_twin(hub: HubUseCases, request: Request) -> Answer:
    change: TwinChange = request.body
    device_id = _check_body_id(request, change.device_id)
    twin = await hub.twins.patch(hub_id_of(request), device_id, change, _if_match(request) or PRESENT)
    return Answer(200, encode(twin))


async def replace_twin(hub: HubUseCases, request: Request) -> Answer:
    change: TwinChange = request.body
    device_id = _check_body_id(request, change.device_id)
    twin = await hub.twins.replace(hub_id_of(request), device_id, change, _if_match(request) or PRESENT)
    return Answer(200, encode(twin))


async def device_statistics(hub: HubUseCases, request: Request) -> Answer:
    return Answer(200, encode(await hub.identities.statistics(hub_id_of(request))))


async def service_statistics(hub: HubUseCases, request: Request) -> Answer:
    count = await hub.identities.connected(hub_id_of(request))
    return Answer(200, encode(ServiceStatistics(connected_device_count=count)))


HUB_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        operation_id="Devices_GetIdentity",
        api=Api.HUB,
        method="GET",
        path="/devices/{id}",
        handler=get_device,
        right=Right.REGISTRY_READ,
        responses={200: Device},
        response_headers=("ETag",),
        summary="Get a device identity.",
    ),
    Operation(
        operation_id="Devices_CreateOrUpdateIdentity",
        api=Api.HUB,
        method="PUT",
        path="/devices/{id}",
        handler=put_device,
        right=Right.REGISTRY_WRITE,
        request_type=DeviceChange,
        body_required=True,
        responses={200: Device},
        request_headers=("If-Match",),
        response_headers=("ETag",),
        summary="Create a device identity, or update it where If-Match is given.",
    ),
    Operation(
        operation_id="Devices_DeleteIdentity",
        api=Api.HUB,
        method="DELETE",
        path="/devices/{id}",
        handler=delete_device,
        right=Right.REGISTRY_WRITE,
        responses={204: None},
        request_headers=("If-Match",),
        summary="Delete a device identity and its twin.",
    ),
    Operation(
        operation_id="Devices_GetDevices",
        api=Api.HUB,
        method="GET",
        path="/devices",
        handler=list_devices,
        right=Right.REGISTRY_READ,
        responses={200: list[Device]},
        query_parameters=("top",),
        summary="List device identities.",
    ),
    Operation(
        operation_id="BulkRegistry_UpdateRegistry",
        api=Api.HUB,
        method="POST",
        path="/devices",
        handler=bulk_devices,
        right=Right.REGISTRY_WRITE,
        request_type=list[ExportImportDevice],
        body_required=True,
        body_limit=BULK_BODY_LIMIT,
        responses={200: BulkRegistryOperationResult, 400: BulkRefusal},
        summary="Create, update or delete up to 100 device identities.",
    ),
    Operation(
        operation_id="Query_GetTwins",
        api=Api.HUB,
        method="POST",
        path="/devices/query",
        handler=query_devices,
        right=Right.REGISTRY_READ,
        request_type=QuerySpecification,
        body_required=True,
        responses={200: list[Twin]},
        request_headers=("x-ms-continuation", "x-ms-max-item-count"),
        response_headers=("x-ms-continuation", "x-ms-item-type"),
        summary="Query device twins: all of them, or one by its device id.",
    ),
    Operation(
        operation_id="Devices_GetTwin",
        api=Api.HUB,
        method="GET",
        path="/twins/{id}",
        handler=get_twin,
        right=Right.SERVICE_CONNECT,
        responses={200: Twin},
        summary="Get a device twin.",
    ),
    Operation(
        operation_id="Devices_ReplaceTwin",
        api=Api.HUB,
        method="PUT",
        path="/twins/{id}",
        handler=replace_twin,
        right=Right.SERVICE_CONNECT,
        request_type=TwinChange,
        body_required=True,
        responses={200: Twin},
        request_headers=("If-Match",),
        summary="Replace the tags and desired properties of a device twin.",
    ),
    Operation(
        operation_id="Devices_UpdateTwin",
        api=Api.HUB,
        method="PATCH",
        path="/twins/{id}",
        handler=patch_twin,
        right=Right.SERVICE_CONNECT,
        request_type=TwinChange,
        body_required=True,
        responses={200: Twin},
        request_headers=("If-Match",),
        summary="Update the tags and desired properties of a device twin; null removes a member.",
    ),
    Operation(
        operation_id="Statistics_GetDeviceStatistics",
        api=Api.HUB,
        method="GET",
        path="/statistics/devices",
        handler=device_statistics,
        right=Right.REGISTRY_READ,
        responses={200: RegistryStatistics},
        summary="Count the device identities.",
    ),
    Operation(
        operation_id="Statistics_GetServiceStatistics",
        api=Api.HUB,
        method="GET",
        path="/statistics/service",
        handler=service_statistics,
        right=Right.REGISTRY_READ,
        responses={200: ServiceStatistics},
        summary="Count the connected devices.",
    ),
)
