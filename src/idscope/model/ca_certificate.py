"""Owns the documents of CA certificates in the control plane. It must not know what a certificate is trusted for."""

from __future__ import annotations

from typing import Final, Literal

from idscope.model.api_version import parse_api_version
from idscope.model.document import UNSET, Document, UnsetType

CERTIFICATE_TYPE: Final = "Microsoft.Devices/provisioningServices/Certificates"  # observed
CREATED: Final = "Mon, 01 Jan 0001 00:00:00 GMT"  # observed: the real service never fills it in

# Before this version the body of a PUT is flat (published).
PROPERTIES_SINCE: Final = parse_api_version("2022-02-05")


class CertificateContent(Document):
    """`certificate`: PEM, Base64 of DER, or Base64 of the PEM text."""

    certificate: str | UnsetType | None = UNSET
    is_verified: bool | UnsetType | None = UNSET


class CertificateDescription(CertificateContent):
    """The body of a PUT, flat and nested; members that only the service writes are ignored."""

    properties: CertificateContent | UnsetType | None = UNSET


class CertificateProperties(Document):
    """Dates as in RFC 1123; `subject` is the common name's value alone, and `certificate` null (both observed)."""

    subject: str
    expiry: str
    thumbprint: str
    is_verified: bool
    created: str
    updated: str
    certificate: str | None


class CertificateResponse(Document):
    properties: CertificateProperties
    id: str
    name: str
    type: Literal["Microsoft.Devices/provisioningServices/Certificates"]
    etag: str


class CertificateListDescription(Document):
    value: list[CertificateResponse]


class VerificationCodeProperties(CertificateProperties):
    """`certificate` is Base64 of the DER here (observed)."""

    verification_code: str


class VerificationCodeResponse(Document):
    properties: VerificationCodeProperties
    id: str
    name: str
    type: Literal["Microsoft.Devices/provisioningServices/Certificates"]
    etag: str


class VerificationCodeRequest(Document):
    """`certificate`: the verification certificate, in the forms of `CertificateContent`."""

    certificate: str


class ErrorDetails(Document):
    """What the control plane says of an error; published as all optional, answered whole."""

    code: int
    http_status_code: str
    message: str
    details: str
