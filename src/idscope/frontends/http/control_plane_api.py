"""Owns the control plane's rows: CA certificates, below ARM's paths. It must not check rights (the router does) nor
decide anything (the use cases do).

Any subscription and resource group will do: this server knows neither, and answers with those that were asked for.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from idscope.clock import format_http_date, from_datetime
from idscope.control_plane import CaCertificates
from idscope.directory import Directory, Right
from idscope.errors import ControlPlaneResourceNotFound, InvalidCaCertificate
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.operations import SERVICE_NAME, Api, Operation, Request
from idscope.model.ca_certificate import (
    CERTIFICATE_TYPE,
    CREATED,
    PROPERTIES_SINCE,
    CertificateContent,
    CertificateDescription,
    CertificateListDescription,
    CertificateProperties,
    CertificateResponse,
    VerificationCodeProperties,
    VerificationCodeRequest,
    VerificationCodeResponse,
)
from idscope.model.document import encode, given, is_present
from idscope.model.etag import Expectation, parse_if_match
from idscope.records import CaCertificateRecord
from idscope.security.certificates import distinguished_name
from idscope.security.proof_of_possession import common_name

_CERTIFICATES: Final = (
    "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Devices"
    "/provisioningServices/{provisioningServiceName}/certificates"
)
_CERTIFICATE: Final = _CERTIFICATES + "/{certificateName}"
# Published, optional, and of no effect: what they say stands in the stored certificate.
_QUERY: Final = tuple(
    f"certificate.{name}"
    for name in ("name", "rawBytes", "isVerified", "purpose", "created", "lastUpdated", "hasPrivateKey", "nonce")
)


class ControlPlaneUseCases(msgspec.Struct, frozen=True):
    directory: Directory
    certificates: CaCertificates


async def list_certificates(control_plane: ControlPlaneUseCases, request: Request) -> Answer:
    service_id, place = _place(control_plane, request)
    records = await control_plane.certificates.list(service_id)
    return Answer(200, encode(CertificateListDescription(value=[_response(record, place) for record in records])))


async def get_certificate(control_plane: ControlPlaneUseCases, request: Request) -> Answer:
    service_id, place = _place(control_plane, request)
    record = await control_plane.certificates.get(service_id, _name(request), _expectation(request))
    return Answer(200, encode(_response(record, place)))


async def put_certificate(control_plane: ControlPlaneUseCases, request: Request) -> Answer:
    service_id, place = _place(control_plane, request)
    record = await control_plane.certificates.put(service_id, _name(request), _content(request), _expectation(request))
    return Answer(200, encode(_response(record, place)))


async def delete_certificate(control_plane: ControlPlaneUseCases, request: Request) -> Answer:
    service_id, _ = _place(control_plane, request)
    there = await control_plane.certificates.delete(service_id, _name(request), _required_expectation(request))
    return Answer(200 if there else 204)


async def generate_verification_code(control_plane: ControlPlaneUseCases, request: Request) -> Answer:
    service_id, place = _place(control_plane, request)
    record = await control_plane.certificates.generate_verification_code(
        service_id, _name(request), _required_expectation(request)
    )
    members = msgspec.structs.asdict(_properties(record))
    document = VerificationCodeResponse(
        properties=VerificationCodeProperties(
            **{**members, "certificate": base64.b64encode(record.certificate).decode()},
            verification_code=record.verification_code or "",
        ),
        id=f"{place}/{record.name}",
        name=record.name,
        type=CERTIFICATE_TYPE,
        etag=record.etag,
    )
    return Answer(200, encode(document))


async def verify_certificate(control_plane: ControlPlaneUseCases, request: Request) -> Answer:
    service_id, place = _place(control_plane, request)
    record = await control_plane.certificates.verify(
        service_id, _name(request), request.body.certificate, _required_expectation(request)
    )
    return Answer(200, encode(_response(record, place)))


def _place(control_plane: ControlPlaneUseCases, request: Request) -> tuple[str, str]:
    """The service's id, and the path of its certificates. Raises ControlPlaneResourceNotFound."""
    asked, snapshot = request.path[SERVICE_NAME], control_plane.directory.snapshot
    service = snapshot.service_by_name(asked)
    if service is None:
        raise ControlPlaneResourceNotFound(snapshot.no_service_named(asked))
    return service.service_id, _CERTIFICATES.format(**{**request.path, SERVICE_NAME: service.name})


def _name(request: Request) -> str:
    return request.path["certificateName"]


def _expectation(request: Request) -> Expectation | None:
    return parse_if_match(request.headers.get("if-match"))


def _required_expectation(request: Request) -> Expectation:
    expect = _expectation(request)
    if expect is None:
        raise InvalidCaCertificate("The header If-Match is required: the certificate's ETag, or '*'.")
    return expect


def _content(request: Request) -> CertificateContent:
    """The version says which form is meant; the other one is read where that one is absent."""
    body: CertificateDescription = request.body
    nested = given(body.properties)
    if nested is None or (request.api_version < PROPERTIES_SINCE and is_present(body.certificate)):
        return body
    return nested


def _response(record: CaCertificateRecord, place: str) -> CertificateResponse:
    return CertificateResponse(
        properties=_properties(record),
        id=f"{place}/{record.name}",
        name=record.name,
        type=CERTIFICATE_TYPE,
        etag=record.etag,
    )


def _properties(record: CaCertificateRecord) -> CertificateProperties:
    certificate = x509.load_der_x509_certificate(record.certificate)
    return CertificateProperties(
        subject=common_name(certificate) or distinguished_name(certificate.subject),
        expiry=format_http_date(from_datetime(certificate.not_valid_after_utc)),
        thumbprint=certificate.fingerprint(SHA1()).hex().upper(),  # noqa: S303 - a published member
        is_verified=record.is_verified,
        created=CREATED,
        updated=format_http_date(record.updated),
        certificate=None,
    )


def _row(
    name: str, method: str, path: str, handler: Any, responses: dict[int, Any], summary: str, **more: Any
) -> Operation:
    return Operation(
        operation_id=f"DpsCertificate_{name}",
        api=Api.CONTROL_PLANE,
        method=method,
        path=path,
        handler=handler,
        right=Right.SERVICE_CONFIG,
        responses=responses,
        summary=summary,
        **more,
    )


_IF_MATCH: Final[dict[str, Any]] = {"request_headers": ("If-Match",)}
_IF_MATCH_REQUIRED: Final[dict[str, Any]] = {
    "request_headers": ("If-Match",),
    "required_headers": ("If-Match",),
    "query_parameters": _QUERY,
}

CONTROL_PLANE_OPERATIONS: Final[tuple[Operation, ...]] = (
    _row(
        "List",
        "GET",
        _CERTIFICATES,
        list_certificates,
        {200: CertificateListDescription},
        "Get all the certificates tied to the provisioning service.",
    ),
    _row(
        "Get",
        "GET",
        _CERTIFICATE,
        get_certificate,
        {200: CertificateResponse},
        "Get the certificate from the provisioning service.",
        **_IF_MATCH,
    ),
    _row(
        "CreateOrUpdate",
        "PUT",
        _CERTIFICATE,
        put_certificate,
        {200: CertificateResponse},
        "Upload the certificate to the provisioning service.",
        request_type=CertificateDescription,
        body_required=True,
        **_IF_MATCH,
    ),
    _row(
        "Delete",
        "DELETE",
        _CERTIFICATE,
        delete_certificate,
        {200: None, 204: None},
        "Delete the Provisioning Service Certificate.",
        **_IF_MATCH_REQUIRED,
    ),
    _row(
        "GenerateVerificationCode",
        "POST",
        f"{_CERTIFICATE}/generateVerificationCode",
        generate_verification_code,
        {200: VerificationCodeResponse},
        "Generate verification code for Proof of Possession.",
        **_IF_MATCH_REQUIRED,
    ),
    _row(
        "VerifyCertificate",
        "POST",
        f"{_CERTIFICATE}/verify",
        verify_certificate,
        {200: CertificateResponse},
        "Verify certificate's private key possession.",
        request_type=VerificationCodeRequest,
        body_required=True,
        **_IF_MATCH_REQUIRED,
    ),
)
