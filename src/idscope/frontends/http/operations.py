"""Owns the shape of the operation table: method, path, api-version rule, right, types, handler. It must not know how
a request is read off the wire, nor what a handler does.

One table serves routing, authorization, decoding, encoding and the OpenAPI documents. The rows stand with their
handlers, one file per API, and `every_operation` in router.py joins them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, Final

import msgspec

from idscope.access import Caller
from idscope.directory import EmbeddedHub, ProvisioningService, Right
from idscope.frontends.http.answers import Answer
from idscope.model.api_version import ApiVersion

KIBIBYTE: Final = 1024
DEVICE_BODY_LIMIT: Final = 96 * KIBIBYTE  # published message size
SERVICE_BODY_LIMIT: Final = 1024 * KIBIBYTE  # a bulk of ten enrollments with certificates and twins

# The path parameter that names a provisioning service (published).
SERVICE_NAME: Final = "provisioningServiceName"


class Api(Enum):
    """Which API a row belongs to: says who authenticates the caller and how errors look.

    The named service is the service API once more, on the operator listener: the path says which provisioning service
    is meant, and the admin token opens it.
    """

    DEVICE = "device"
    SERVICE = "service"
    HUB = "hub"
    OPERATOR = "operator"
    CONTROL_PLANE = "control-plane"
    NAMED_SERVICE = "named-service"


class Request(msgspec.Struct, frozen=True):
    """A request after routing, authorization and decoding.

    `path` holds the percent-decoded parameters by name; `headers` has lower-case names; `body` is the decoded
    document of the row's `request_type`, None where none was sent; `chain` is the client's certificate chain in DER,
    leaf first, as the TLS layer got it; `peer` is the client's address.
    """

    operation: Operation
    path: dict[str, str]
    query: Mapping[str, str]
    headers: dict[str, str]
    api_version: ApiVersion
    tracking_id: str
    host: str
    peer: str
    body: Any = None
    chain: tuple[bytes, ...] = ()
    caller: Caller | None = None
    service: ProvisioningService | None = None
    hub: EmbeddedHub | None = None


Handler = Callable[[Any, Request], Awaitable[Answer]]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    `path` is a template such as `/enrollments/{id}/attestationmechanism`; fixed segments compare without case.
    `right` is None where the handler's use case authenticates (device API) or nobody must (health).
    `handler` takes the use cases of its API and the request. `responses` maps status to the document type, None for
    an empty body. `required_headers` are those of `request_headers` that the handler insists on. A `request_type` of
    `bytes` takes any body as it is.
    """

    operation_id: str
    api: Api
    method: str
    path: str
    handler: Handler
    right: Right | None = None
    request_type: Any = None
    body_required: bool = False
    body_limit: int = SERVICE_BODY_LIMIT
    responses: dict[int, Any]
    request_headers: tuple[str, ...] = ()
    required_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()
    query_parameters: tuple[str, ...] = ()
    summary: str
