"""Owns the device API over HTTPS: three rows of the operation table and how their answers look.
It must not decide anything: the workflow does.

register answers 202, also when it is finished (one client accepts nothing else); a finished poll answers 200. A TPM is
challenged by a 401: its clients expect nothing else of their first request.
"""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote

import msgspec

from idscope.attestation import Authenticated, Challenge, Claim, Refused
from idscope.errors import TpmChallenged
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.operations import DEVICE_BODY_LIMIT, Api, Operation, Request
from idscope.frontends.registrations import check_named, operation_status, register_request
from idscope.model.document import encode, given
from idscope.model.registration import DeviceRegistration, DeviceRegistrationResult, RegistrationOperationStatus
from idscope.registration import RegistrationResult, RegistrationWorkflow
from idscope.secret import Secret

_MAX_OPERATION_ID: Final = 256


class DeviceUseCases(msgspec.Struct, frozen=True):
    """`retry_after`: seconds, an integer from 2 to 5, the only range that all clients treat alike."""

    workflow: RegistrationWorkflow
    retry_after: int = 2


async def register_device(devices: DeviceUseCases, request: Request) -> Answer:
    registration = _body(request)
    device = await _authenticated(devices, request, registration)
    result = await devices.workflow.register(device, register_request(request.tracking_id, registration))
    headers = _accepted_headers(devices, request, result)
    return Answer(202, operation_status(result), headers)


async def look_up_operation(devices: DeviceUseCases, request: Request) -> Answer:
    operation_id = request.path["operationId"]
    device = await _authenticated(devices, request, DeviceRegistration())
    result = await devices.workflow.look_up(device, operation_id[:_MAX_OPERATION_ID])
    if result.finished:
        return Answer(200, operation_status(result))
    return Answer(202, operation_status(result), _accepted_headers(devices, request, result))


async def look_up_registration(devices: DeviceUseCases, request: Request) -> Answer:
    registration = _body(request)
    device = await _authenticated(devices, request, registration)
    result = await devices.workflow.look_up(device, None, csr=given(registration.csr))
    return Answer(200, encode(result.state))


def _body(request: Request) -> DeviceRegistration:
    """The body, empty where none was sent. Raises InvalidRegistrationId where it names another id than the path."""
    return check_named(request.body or DeviceRegistration(), request.path["registrationId"])


async def _authenticated(devices: DeviceUseCases, request: Request, registration: DeviceRegistration) -> Authenticated:
    """Raises what the device is told when it is not let in."""
    authorization = request.headers.get("authorization")
    verdict = await devices.workflow.authenticate(
        Claim(
            id_scope=request.path["idScope"],
            registration_id=request.path["registrationId"],
            api_version=request.api_version,
            wire="Http",
            peer=request.peer,
            tracking_id=request.tracking_id,
            sas=Secret(authorization) if authorization else None,
            chain=request.chain,
            tpm=given(registration.tpm),
        )
    )
    if isinstance(verdict, Challenge):
        raise TpmChallenged(base64.b64encode(verdict.activation_blob()).decode())
    if isinstance(verdict, Refused):
        raise verdict.error
    return verdict


def _accepted_headers(
    devices: DeviceUseCases, request: Request, result: RegistrationResult
) -> tuple[tuple[bytes, bytes], ...]:
    scope, registration_id = request.path["idScope"], quote(request.path["registrationId"], safe=":")
    host = request.headers.get("host", request.host)
    location = f"https://{host}/{quote(scope)}/registrations/{registration_id}/register"
    headers = ((b"location", location.encode()),)
    if result.finished:
        return headers
    return (*headers, (b"retry-after", str(devices.retry_after).encode()))


DEVICE_OPERATIONS: Final = (
    Operation(
        operation_id="RuntimeRegistration_RegisterDevice",
        api=Api.DEVICE,
        method="PUT",
        path="/{idScope}/registrations/{registrationId}/register",
        handler=register_device,
        request_type=DeviceRegistration,
        body_limit=DEVICE_BODY_LIMIT,
        responses={202: RegistrationOperationStatus},
        response_headers=("Location", "Retry-After"),
        query_parameters=("forceRegistration",),
        summary="Registers the device.",
    ),
    Operation(
        operation_id="RuntimeRegistration_OperationStatusLookup",
        api=Api.DEVICE,
        method="GET",
        path="/{idScope}/registrations/{registrationId}/operations/{operationId}",
        handler=look_up_operation,
        body_limit=DEVICE_BODY_LIMIT,
        responses={200: RegistrationOperationStatus, 202: RegistrationOperationStatus},
        response_headers=("Location", "Retry-After"),
        summary="Gets the registration operation status.",
    ),
    Operation(
        operation_id="RuntimeRegistration_DeviceRegistrationStatusLookup",
        api=Api.DEVICE,
        method="POST",
        path="/{idScope}/registrations/{registrationId}",
        handler=look_up_registration,
        request_type=DeviceRegistration,
        body_limit=DEVICE_BODY_LIMIT,
        responses={200: DeviceRegistrationResult},
        summary="Gets the device registration status.",
    ),
)
