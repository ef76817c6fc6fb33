"""Our OpenAPI documents beside the published ones: every operation that is built has the published path, method,
statuses and members. It must not know how the documents are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from idscope.frontends.http.device_api import DEVICE_OPERATIONS
from idscope.frontends.http.openapi import openapi_document
from idscope.frontends.http.service_api import SERVICE_OPERATIONS
from idscope.model.document import encode
from published import SCHEMAS, PublishedOperation, deviations, members, operations

BUILT = {row.operation_id for row in (*DEVICE_OPERATIONS, *SERVICE_OPERATIONS)}
RENAMED = {row["published"]: row["operation"] for row in deviations("name")}
APIS = ("service-2021-10-01", "device-2021-10-01", "device-2026-04-01")
PUBLISHED = [
    one for schema in APIS for one in operations(schema) if RENAMED.get(one.operation_id, one.operation_id) in BUILT
]


def our_document(schema: str) -> dict[str, Any]:
    api, _, version = schema.partition("-")
    document = openapi_document((*DEVICE_OPERATIONS, *SERVICE_OPERATIONS), api, version)
    parsed: dict[str, Any] = json.loads(encode(document))
    return parsed


def our_operation(document: dict[str, Any], operation_id: str) -> tuple[str, str, dict[str, Any]]:
    for path, methods in document["paths"].items():
        for method, definition in methods.items():
            if definition["operationId"] == operation_id:
                return path, method.upper(), definition
    raise LookupError(operation_id)


def our_members(document: dict[str, Any], node: dict[str, Any] | None, prefix: str = "") -> Iterator[str]:
    """As `published.members`, of a schema of OpenAPI 3.1: a null beside a type is passed over."""
    if node is None:
        return
    node = _resolved(document, node)
    if node.get("type") == "array":
        yield from our_members(document, node["items"], prefix)
    for name, child in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from our_members(document, child, f"{prefix}{name}.")


def _resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    choices = [one for one in node.get("anyOf", []) if one.get("type") != "null"]
    if len(choices) == 1:
        node = choices[0]
    if "$ref" in node:
        return _resolved(document, document["components"]["schemas"][node["$ref"].rpartition("/")[2]])
    return node


def body_of(definition: dict[str, Any]) -> dict[str, Any] | None:
    content = definition.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
    return schema


def answer_of(definition: dict[str, Any], status: str) -> dict[str, Any] | None:
    content = definition["responses"][status].get("content", {})
    schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
    return schema


def test_every_built_operation_is_published() -> None:
    published = {RENAMED.get(one.operation_id, one.operation_id) for one in PUBLISHED}
    assert published == BUILT
    assert set(RENAMED) <= {one.operation_id for schema in APIS for one in operations(schema)}


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: f"{one.schema}-{one.operation_id}")
def test_an_operation_is_documented_as_it_is_published(published: PublishedOperation) -> None:
    document = our_document(published.schema)
    path, method, ours = our_operation(document, RENAMED.get(published.operation_id, published.operation_id))
    assert (path.lower(), method) == (published.path.lower(), published.method)
    never = {row["status"] for row in deviations("success") if row["operation"] == ours["operationId"]}
    assert {int(status) for status in ours["responses"] if status != "default"} == set(published.success) - never
    headers = {one["name"].lower() for one in ours["parameters"] if one["in"] == "header"}
    assert headers == published.headers
    read = {row["member"] for row in deviations("body") if row["operation"] == ours["operationId"]}
    assert set(our_members(document, body_of(ours))) == members(published.schema, published.body) | read
    for status, success in published.success.items():
        if status not in never:
            wanted = members(published.schema, success.get("schema"))
            assert set(our_members(document, answer_of(ours, str(status)))) == wanted, status
    error = members(published.schema, published.definition["responses"]["default"]["schema"])
    assert set(our_members(document, answer_of(ours, "default"))) == error


def test_required_members_are_required_here_too() -> None:
    """And none more, but in answers, where this server promises more than is published."""
    for schema in APIS:
        document = our_document(schema)
        extra = {(row["document"], row["member"]) for row in deviations("required")}
        for name, ours in document["components"]["schemas"].items():
            theirs = _definition(schema, name)
            if theirs is None or name in ANSWERED_WHOLE:
                continue
            more = set(ours.get("required", [])) - set(theirs.get("required", []))
            assert more == {member for kind, member in extra if kind == name}, name
            assert not set(theirs.get("required", [])) - set(ours.get("required", [])) - LENIENT.get(name, set()), name


# Answers only: the service always writes these.
ANSWERED_WHOLE = {
    "BulkEnrollmentGroupOperationResult",
    "BulkEnrollmentOperationResult",
    "DeviceRegistrationState",
    "ProvisioningServiceErrorDetails",
    "TpmRegistrationResult",
}
# Requests only: what is left out gets its published default.
LENIENT = {
    "DeviceCapabilities": {"iotEdge"},
    "ReprovisionPolicy": {"updateHubAssignment", "migrateDeviceData"},
}


def _definition(schema: str, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = SCHEMAS[schema]["definitions"].get(name)
    return found
