"""The OpenAPI documents: sound in themselves, whole, and made from the table alone. It must not know what is
published."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from schemathesis.core.result import Ok

from idscope.directory import Right
from idscope.frontends.http.control_plane_api import CONTROL_PLANE_OPERATIONS
from idscope.frontends.http.device_api import DEVICE_OPERATIONS
from idscope.frontends.http.hub_api import HUB_OPERATIONS
from idscope.frontends.http.openapi import HUB_VERSIONS, openapi_document, openapi_index
from idscope.frontends.http.operations import Operation, Request
from idscope.frontends.http.operator_api import OPERATOR_OPERATIONS, OperatorUseCases, openapi, openapi_list
from idscope.frontends.http.service_api import NAMED_SERVICE_OPERATIONS, SERVICE_OPERATIONS
from idscope.model.api_version import CONTROL_PLANE_PUBLISHED, CURRENT, PUBLISHED, SINCE, parse_api_version
from idscope.model.document import encode
from idscope.testing.application import Application

ROWS: tuple[Operation, ...] = (
    *DEVICE_OPERATIONS,
    *SERVICE_OPERATIONS,
    *HUB_OPERATIONS,
    *OPERATOR_OPERATIONS,
    *CONTROL_PLANE_OPERATIONS,
    *NAMED_SERVICE_OPERATIONS,
)
VERSIONS = {
    "device": PUBLISHED,
    "service": PUBLISHED,
    "hub": HUB_VERSIONS,
    "operator": ("current",),
    "control-plane": CONTROL_PLANE_PUBLISHED,
    "named-service": PUBLISHED,
}
NEWEST = {api: versions[-1] for api, versions in VERSIONS.items()}
ALL = [(api, version) for api, versions in VERSIONS.items() for version in versions]


def document(api: str, version: str) -> dict[str, Any]:
    found = openapi_document(ROWS, api, version)
    assert found is not None
    parsed: dict[str, Any] = json.loads(encode(found))  # as it goes out
    return parsed


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


@pytest.mark.parametrize(("api", "version"), ALL)
def test_a_document_is_sound(api: str, version: str) -> None:
    whole = document(api, version)
    assert whole["openapi"].startswith("3.1")
    assert whole["info"]["version"] == version
    for schema in whole["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for node in nodes(whole):
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/components/schemas/") in whole["components"]["schemas"]
        for required in node.get("required", []) if isinstance(node.get("required"), list) else []:
            assert required in node["properties"]


@pytest.mark.parametrize(("api", "version"), NEWEST.items())
def test_an_independent_reader_finds_every_operation(api: str, version: str) -> None:
    schema = schemathesis.openapi.from_dict(document(api, version))
    read = {(one.ok().method.upper(), one.ok().path) for one in schema.get_all_operations() if isinstance(one, Ok)}
    assert read == {(row.method, row.path) for row in ROWS if row.api.value == api}


@pytest.mark.parametrize(("api", "version"), ALL)
def test_every_row_of_the_table_is_documented_as_it_is_served(api: str, version: str) -> None:
    paths = document(api, version)["paths"]
    rows = [row for row in ROWS if row.api.value == api]
    assert sum(len(methods) for methods in paths.values()) == len(rows)
    operation_ids = [one["operationId"] for methods in paths.values() for one in methods.values()]
    assert len(set(operation_ids)) == len(operation_ids)
    for row in rows:
        documented = paths[row.path][row.method.lower()]
        assert documented["operationId"] == row.operation_id
        assert documented["summary"] == row.summary
        assert set(documented["responses"]) == {*map(str, row.responses), "default"}
        parameters = {(one["in"], one["name"]): one for one in documented["parameters"]}
        assert len(parameters) == len(documented["parameters"])
        assert {name for place, name in parameters if place == "path"} == set(re.findall(r"\{(\w+)\}", row.path))
        assert {name for place, name in parameters if place == "header"} == set(row.request_headers)
        if api != "operator":
            assert parameters["query", "api-version"]["schema"] == {"type": "string", "enum": [version]}
            assert parameters["query", "api-version"]["required"] is True
        assert ("requestBody" in documented) is (row.request_type is not None)
        if row.request_type is not None:
            assert documented["requestBody"]["required"] is row.body_required
        assert ("security" in documented) is (row.right is not None or api == "device")
        for status, kind in row.responses.items():
            response = documented["responses"][str(status)]
            assert ("content" in response) is (kind is not None)
            assert set(response.get("headers", {})) == set(row.response_headers)


def test_each_api_names_the_credential_that_opens_it() -> None:
    schemes = {"device": "sharedAccessSignature", "service": "sharedAccessSignature", "hub": "sharedAccessSignature"}
    for api, version in NEWEST.items():
        whole = document(api, version)
        named = {
            scheme
            for methods in whole["paths"].values()
            for one in methods.values()
            for requirement in one.get("security", [])
            for scheme in requirement
        }
        assert named == {schemes.get(api, "adminToken")}
        assert named < set(whole["components"]["securitySchemes"])
    # RFC 6750 as OpenAPI 3.1 writes it, and the shared access signature as published
    assert document("named-service", NEWEST["named-service"])["components"]["securitySchemes"] == {
        "sharedAccessSignature": {"type": "apiKey", "in": "header", "name": "Authorization"},
        "adminToken": {"type": "http", "scheme": "bearer"},
    }


@pytest.mark.parametrize("api", ["device", "service"])
def test_versions_differ_only_by_the_members_that_came_since(api: str) -> None:
    newest = document(api, PUBLISHED[-1])
    for version in PUBLISHED:
        reduced = json.loads(json.dumps(newest).replace(PUBLISHED[-1], version))
        for schema in reduced["components"]["schemas"].values():
            for name, since in SINCE.items():
                if parse_api_version(version) < since:
                    schema.get("properties", {}).pop(name, None)
        assert document(api, version) == reduced, version
    oldest, members = json.dumps(document(api, PUBLISHED[0])), json.dumps(newest)
    masked = [name for name in SINCE if f'"{name}"' in members]
    assert masked
    assert not any(f'"{name}"' in oldest for name in masked)


def test_every_member_that_is_masked_stands_in_some_document() -> None:
    text = json.dumps([document(api, PUBLISHED[-1]) for api in ("device", "service")])
    assert all(f'"{name}": {{' in text for name in SINCE)


@pytest.mark.parametrize(
    ("api", "version"), [("device", "1999-01-01"), ("nothing", "2021-10-01"), ("hub", "2021-10-01")]
)
def test_there_is_no_document_of_what_is_not_served(api: str, version: str) -> None:
    assert openapi_document(ROWS, api, version) is None


def test_no_secret_is_described_as_anything_but_a_text() -> None:
    schemas = document("service", "2021-10-01")["components"]["schemas"]
    keys = schemas["SymmetricKeyAttestation"]["properties"]
    for name in ("primaryKey", "secondaryKey"):
        assert {"type": "string"} in keys[name]["anyOf"]
    assert schemas["CustomAllocationDefinition"]["properties"]["webhookUrl"] == {"type": "string"}


def test_the_index_lists_every_document_and_each_is_served() -> None:
    async def run() -> None:
        async with Application() as app:
            use_cases = OperatorUseCases(app.store, app.directory, app.clock, ROWS, 0)
            listing, getting = (
                next(row for row in OPERATOR_OPERATIONS if row.handler is handler)
                for handler in (openapi_list, openapi)
            )
            request = Request(
                operation=listing, path={}, query={}, headers={}, api_version=CURRENT, tracking_id="", host="", peer=""
            )
            index = json.loads((await openapi_list(use_cases, request)).body)
            assert index == openapi_index(ROWS)
            for api, paths in index.items():
                assert [path.rpartition("/")[2] for path in paths] == [f"{version}.json" for version in VERSIONS[api]]
                for path in paths:
                    _, _, name, version = path.split("/")
                    asked = Request(
                        operation=getting,
                        path={"api": name, "version": version},
                        query={},
                        headers={},
                        api_version=CURRENT,
                        tracking_id="",
                        host="",
                        peer="",
                    )
                    answer = await openapi(use_cases, asked)
                    assert json.loads(answer.body)["info"]["version"] == version.removesuffix(".json")

    asyncio.run(run())


def test_the_only_operations_without_a_right_are_those_that_authenticate_themselves_or_need_no_caller() -> None:
    open_to_all = {row.operation_id for row in ROWS if row.right is None and row.api.value != "device"}
    assert open_to_all == {"Health", "Readiness", "OpenApi_List", "OpenApi_Get"}
    assert {row.right for row in OPERATOR_OPERATIONS} == {None, Right.SERVICE_CONFIG}


def test_the_body_of_an_uploaded_certificate_is_flat_before_2022_02_05_and_nested_since() -> None:
    for version in CONTROL_PLANE_PUBLISHED:
        members = set(
            document("control-plane", version)["components"]["schemas"]["CertificateDescription"]["properties"]
        )
        assert members == ({"properties"} if version >= "2022-02-05" else {"certificate", "isVerified"}), version


def test_a_header_that_is_needed_is_documented_as_needed() -> None:
    """Published: If-Match is optional to read and to upload, required for the rest."""
    required = {
        definition["operationId"]: one["required"]
        for methods in document("control-plane", "2022-12-12")["paths"].values()
        for definition in methods.values()
        for one in definition["parameters"]
        if one["name"] == "If-Match"
    }
    assert required == {
        "DpsCertificate_Get": False,
        "DpsCertificate_CreateOrUpdate": False,
        "DpsCertificate_Delete": True,
        "DpsCertificate_GenerateVerificationCode": True,
        "DpsCertificate_VerifyCertificate": True,
    }
