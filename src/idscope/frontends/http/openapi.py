"""Owns the OpenAPI 3.1 documents, made from the same table that serves the requests. It must not add anything that
the table does not say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from idscope import __version__
from idscope.frontends.http.operations import Api, Operation
from idscope.model.api_version import CONTROL_PLANE_PUBLISHED, PUBLISHED, SINCE, ApiVersion, parse_api_version
from idscope.model.ca_certificate import PROPERTIES_SINCE, CertificateContent, CertificateDescription, ErrorDetails
from idscope.model.registration import DeviceRegistrationState, ProvisioningServiceErrorDetails
from idscope.secret import Secret

# The versions documented for a hub: the one that the official clients send most, and the one that was recorded.
HUB_VERSIONS: Final = ("2020-03-13", "2021-04-12")
_OPENED_BY_ADMIN_TOKEN: Final = frozenset({Api.OPERATOR, Api.CONTROL_PLANE, Api.NAMED_SERVICE})
_REF: Final = "#/components/schemas/{name}"
_INTEGER_HEADERS: Final = frozenset({"x-ms-max-item-count", "Retry-After"})


def openapi_index(operations: Iterable[Operation]) -> dict[str, list[str]]:
    """API → the paths of its documents."""
    apis = dict.fromkeys(operation.api for operation in operations)
    return {api.value: [f"/openapi/{api.value}/{version}.json" for version in _versions(api)] for api in apis}


def openapi_document(operations: Iterable[Operation], api: str, version: str) -> dict[str, Any] | None:
    """The document of one API at one api-version, None where there is none."""
    rows = [operation for operation in operations if operation.api.value == api]
    if not rows or version not in _versions(rows[0].api):
        return None
    types: list[Any] = [ProvisioningServiceErrorDetails, DeviceRegistrationState, ErrorDetails]
    for row in rows:
        types += [kind for kind in (row.request_type, *row.responses.values()) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_schema_of, ref_template=_REF)
    by_type = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, version, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"idscope {api} API", "version": version, "x-idscope-version": __version__},
        "paths": paths,
        "components": {
            "schemas": _masked(components, version),
            "securitySchemes": {
                "sharedAccessSignature": {"type": "apiKey", "in": "header", "name": "Authorization"},
                "adminToken": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _versions(api: Api) -> tuple[str, ...]:
    if api is Api.HUB:
        return HUB_VERSIONS
    if api is Api.CONTROL_PLANE:
        return CONTROL_PLANE_PUBLISHED
    return ("current",) if api is Api.OPERATOR else PUBLISHED


def _operation(row: Operation, version: str, schemas: dict[str, Any]) -> dict[str, Any]:
    documented: dict[str, Any] = {
        "operationId": row.operation_id,
        "summary": row.summary,
        "parameters": _parameters(row, version),
        "responses": {str(status): _response(row, kind, schemas) for status, kind in row.responses.items()},
    }
    documented["responses"]["default"] = _error_response(row)
    if row.right is not None or row.api is Api.DEVICE:
        documented["security"] = [{"adminToken" if row.api in _OPENED_BY_ADMIN_TOKEN else "sharedAccessSignature": []}]
    if row.api is Api.DEVICE:
        documented["security"].append({})  # a client certificate, or a TPM that asks for its challenge
    if row.request_type is not None:
        media_type = "application/octet-stream" if row.request_type is bytes else "application/json"
        content = {media_type: {"schema": {} if row.request_type is bytes else schemas[repr(row.request_type)]}}
        documented["requestBody"] = {"required": row.body_required, "content": content}
    return documented


def _parameters(row: Operation, version: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", row.path)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    if row.api is not Api.OPERATOR:
        schema = {"type": "string", "enum": [version]}
        parameters.append({"name": "api-version", "in": "query", "required": True, "schema": schema})
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in row.query_parameters
    ]
    parameters += [
        {"name": name, "in": "header", "required": name in row.required_headers, "schema": _header_schema(name)}
        for name in row.request_headers
    ]
    return parameters


def _header_schema(name: str) -> dict[str, Any]:
    if name in _INTEGER_HEADERS:
        return {"type": "integer", "format": "int32", "minimum": 0, "maximum": 2**31 - 1}
    return {"type": "string"}


def _response(row: Operation, kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {"description": "Success"}
    if kind is not None:
        response["content"] = {"application/json": {"schema": schemas[repr(kind)]}}
    if row.response_headers:
        response["headers"] = {name: {"schema": _header_schema(name)} for name in row.response_headers}
    return response


def _error_response(row: Operation) -> dict[str, Any]:
    if row.api is Api.HUB:
        schema: dict[str, Any] = {
            "type": "object",
            "required": ["Message", "ExceptionMessage"],
            "properties": {"Message": {"type": "string"}, "ExceptionMessage": {"type": "string"}},
        }
        header = "iothub-errorcode"
    elif row.api is Api.CONTROL_PLANE:
        schema = {"$ref": _REF.format(name=ErrorDetails.__name__)}
        header = "x-ms-error-code"
    else:
        schema = {"$ref": _REF.format(name=ProvisioningServiceErrorDetails.__name__)}
        header = "x-ms-error-code"
    return {
        "description": "An unexpected error response.",
        "headers": {header: {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": schema}},
    }


def _schema_of(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string"}
    raise NotImplementedError  # so msgspec is told that this type is not ours to describe


def _masked(components: dict[str, Any], version: str) -> dict[str, Any]:
    """Without the members that the version does not know yet."""
    asked: ApiVersion | None = None if version == "current" else parse_api_version(version)
    for schema in components.values():
        for name, since in SINCE.items():
            if asked is not None and asked < since:
                schema.get("properties", {}).pop(name, None)
    if asked is not None and CertificateDescription.__name__ in components:
        # flat before that version, nested since
        flat = {field.encode_name for field in msgspec.structs.fields(CertificateContent)}
        gone = {"properties"} if asked < PROPERTIES_SINCE else flat
        members = components[CertificateDescription.__name__]["properties"]
        components[CertificateDescription.__name__]["properties"] = {
            name: member for name, member in members.items() if name not in gone
        }
    return components
