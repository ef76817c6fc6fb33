"""What this server answers and accepts, held against the published schemas: every difference is a row of
`deviations.toml`, and every row is a difference. It must not know how an answer is made."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from typing import Any

import pytest
from answered import KEY, SYMMETRIC, Gathered, gathered

from idscope.frontends.http.device_api import DEVICE_OPERATIONS
from idscope.frontends.http.service_api import SERVICE_OPERATIONS
from idscope.testing.application import ID_SCOPE, Application, Response
from published import DEVIATIONS, PublishedOperation, deviations, operations, problems

PUBLISHED: dict[str, PublishedOperation] = {
    one.operation_id: one for name in ("service-2021-10-01", "device-2021-10-01") for one in operations(name)
}
BUILT = {row.operation_id: row for row in (*DEVICE_OPERATIONS, *SERVICE_OPERATIONS)}
ERROR = {"$ref": "#/definitions/ProvisioningServiceErrorDetails"}

Problem = tuple[str, str, str]


def answer_problems(one: Gathered) -> list[Problem]:
    """Operation, path and keyword of everything in an answer that its published schema refuses."""
    operation = PUBLISHED[one.operation_id]
    response = one.response
    node = operation.success.get(response.status, {}).get("schema") if response.status < 400 else ERROR
    if node is None:
        assert response.body == b"", one
        return []
    found = problems(operation.schema, node, response.json())
    return [(one.operation_id, path, keyword) for path, keyword in found]


def matching(row: dict[str, Any], found: set[Problem]) -> set[Problem]:
    return {
        problem
        for problem in found
        if fnmatch.fnmatch(problem[0], row["operation"]) and (problem[1], problem[2]) == (row["at"], row["keyword"])
    }


def test_every_difference_of_an_answer_has_a_row_and_every_row_a_difference() -> None:
    found = {problem for one in gathered() for problem in answer_problems(one)}
    explained: set[Problem] = set()
    for row in deviations("answer"):
        used = matching(row, found)
        assert used, f"nothing needs this row: {row}"
        explained |= used
    assert sorted(found - explained) == []


def test_answers_were_gathered_of_every_operation_that_is_built_and_of_every_status() -> None:
    assert {one.operation_id for one in gathered()} == set(BUILT)
    for row in BUILT.values():
        statuses = {one.response.status for one in gathered() if one.operation_id == row.operation_id}
        assert statuses >= set(row.responses), row.operation_id
        assert any(status >= 400 for status in statuses), row.operation_id
    assert all(one.response.status < 500 for one in gathered())


def test_every_published_success_is_answered_or_has_a_row() -> None:
    rows = {(row["operation"], row["status"]) for row in deviations("success")}
    published = {(name, status) for name in BUILT for status in PUBLISHED[name].success}
    built = {(name, status) for name, row in BUILT.items() for status in row.responses}
    assert published - built == rows
    assert built <= published


def test_every_published_response_header_is_sent_or_has_a_row() -> None:
    rows = {(row["operation"], row["header"]) for row in deviations("header")}
    published = {
        (name, header.lower())
        for name in BUILT
        for success in PUBLISHED[name].success.values()
        for header in success.get("headers", {})
    }
    sent = {(one.operation_id, header) for one in gathered() for header in one.response.headers}
    assert published - sent == rows


def test_an_error_has_the_published_header_and_only_an_error() -> None:
    for one in gathered():
        refused = one.response.status >= 400
        assert ("x-ms-error-code" in one.response.headers) is refused
        if refused:
            body = one.response.json()
            assert one.response.headers["x-ms-error-code"] == str(body["errorCode"])
            assert body["errorCode"] // 1000 == one.response.status


def test_device_answers_hold_no_null() -> None:
    for one in gathered():
        if one.operation_id.startswith("RuntimeRegistration"):
            assert b"null" not in one.response.body


def is_refused_by_the_schema(row: dict[str, Any]) -> bool:
    operation = PUBLISHED[row["operation"]]
    body = operation.body
    assert body is not None
    return bool(problems(operation.schema, body, json.loads(row["body"])))


async def accepted(row: dict[str, Any]) -> Response:
    async with Application() as app:
        if row["operation"] == "IndividualEnrollment_CreateOrUpdate":
            body = json.loads(row["body"]) if "body" in row else {"registrationId": row["id"], "attestation": SYMMETRIC}
            return await app.service("PUT", f"/enrollments/{body['registrationId']}", body)
        await app.enroll("x", attestation=SYMMETRIC)
        return await app.request(
            "PUT",
            f"/{ID_SCOPE}/registrations/x/register?api-version=2021-10-01",
            row["body"].encode(),
            authorization=app.device_token("x", KEY),
        )


@pytest.mark.parametrize("row", deviations("request"), ids=lambda row: row.get("id") or row["body"][:60])
def test_a_request_beyond_the_published_form_is_accepted_where_a_row_says_so(row: dict[str, Any]) -> None:
    if "body" in row:
        assert is_refused_by_the_schema(row), "the schema allows it: no row is needed"
    answer = asyncio.run(accepted(row))
    assert answer.status in (200, 202), answer


def test_every_kind_of_row_is_read() -> None:
    kinds = {"answer", "request", "body", "required", "success", "header", "name", "observed", "control plane"}
    assert {row["kind"] for row in DEVIATIONS} == kinds
    assert all(row["source"] for row in DEVIATIONS)
