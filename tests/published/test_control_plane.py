"""The control plane beside what is published and observed of it: documents, sample requests, shapes of answers.
It must not know how an answer is made."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.frontends.http.control_plane_api import CONTROL_PLANE_OPERATIONS
from idscope.frontends.http.openapi import openapi_document
from idscope.model.document import encode
from idscope.testing.application import ADMIN_TOKEN, Application, Response
from idscope.testing.certificates import CertificateMaker
from published import HERE, OBSERVED, PublishedOperation, deviations, operations, problems

SCHEMA = "control-plane-2022-12-12"
PUBLISHED = {one.operation_id: one for one in operations(SCHEMA)}
EXAMPLES = {path.stem: json.loads(path.read_text()) for path in (HERE / "examples" / "control-plane").glob("*.json")}
ERROR = {"$ref": "#/definitions/ErrorDetails"}
AUTHORITY = CertificateMaker.authority("testdevice1")
PEM = AUTHORITY.certificate.public_bytes(Encoding.PEM).decode()
SERVICE = "idscope"


def in_any_case(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path).lower()


def test_every_published_operation_is_served_with_its_path_statuses_headers_and_query() -> None:
    assert {row.operation_id for row in CONTROL_PLANE_OPERATIONS} == set(PUBLISHED)
    document = json.loads(encode(openapi_document(CONTROL_PLANE_OPERATIONS, "control-plane", "2022-12-12")))
    for path, methods in document["paths"].items():
        for method, ours in methods.items():
            theirs = PUBLISHED[ours["operationId"]]
            assert (in_any_case(path), method.upper()) == (in_any_case(theirs.path), theirs.method)
            assert {status for status in ours["responses"] if status != "default"} == set(map(str, theirs.success))
            for place in ("header", "query"):
                assert parameters(ours, place) == parameters(theirs.definition, place), ours["operationId"]


def parameters(definition: dict[str, Any], place: str) -> dict[str, bool]:
    return {one["name"]: bool(one.get("required")) for one in definition["parameters"] if one["in"] == place}


class Caller:
    """Sends sample requests, and keeps every answer with its operation."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.answers: list[tuple[PublishedOperation, Response]] = []

    async def send(self, operation_id: str, sample: dict[str, Any], **changes: Any) -> Response:
        """The sample's request with some of its parameters replaced; its service is this server's."""
        operation = PUBLISHED[operation_id]
        values = {**sample["parameters"], "provisioningServiceName": SERVICE, **changes}
        body = values.get("certificateDescription", values.get("request"))
        headers = {"If-Match": values["If-Match"]} if values.get("If-Match") else {}
        target = f"{operation.path.format(**values)}?api-version={values['api-version']}"
        bearer = f"Bearer {ADMIN_TOKEN}"
        answer = await self.app.request(operation.method, target, body, headers, authorization=bearer)
        self.answers.append((operation, answer))
        return answer


async def every_sample(caller: Caller) -> None:
    """The samples in the order of a proof of possession: as printed, which no certificate is; then with real ones."""
    upload, generate = EXAMPLES["DPSCertificateCreateOrUpdate"], EXAMPLES["DPSGenerateVerificationCode"]
    get, listing = EXAMPLES["DPSGetCertificate"], EXAMPLES["DPSGetCertificates"]
    check, delete = EXAMPLES["DPSVerifyCertificate"], EXAMPLES["DPSDeleteCertificate"]
    send = caller.send
    assert (await send("DpsCertificate_CreateOrUpdate", upload)).status == 400
    real = {"properties": {"certificate": PEM}}
    assert (await send("DpsCertificate_CreateOrUpdate", upload, certificateDescription=real)).status == 200
    for operation_id, sample in (
        ("DpsCertificate_GenerateVerificationCode", generate),
        ("DpsCertificate_Delete", delete),
    ):
        assert (await send(operation_id, sample)).status == 412  # their etag is not ours
    assert (await send("DpsCertificate_VerifyCertificate", check)).status == 400
    generated = (await send("DpsCertificate_GenerateVerificationCode", generate, **{"If-Match": "*"})).json()
    proof = AUTHORITY.device(generated["properties"]["verificationCode"]).certificate
    changes = {"If-Match": generated["etag"], "request": {"certificate": proof.public_bytes(Encoding.PEM).decode()}}
    assert (await send("DpsCertificate_VerifyCertificate", check, **changes)).status == 200
    assert (await send("DpsCertificate_Get", get)).status == 200
    assert (await send("DpsCertificate_Get", get, certificateName="other")).status == 404
    assert (await send("DpsCertificate_List", listing)).status == 200
    assert (await send("DpsCertificate_List", listing, provisioningServiceName="other")).status == 404
    assert (await send("DpsCertificate_Delete", delete, **{"If-Match": "*"})).status == 200
    assert (await send("DpsCertificate_Delete", delete)).status == 204


@pytest.fixture(scope="module")
def answers() -> list[tuple[PublishedOperation, Response]]:
    async def run() -> list[tuple[PublishedOperation, Response]]:
        async with Application() as app:
            caller = Caller(app)
            await every_sample(caller)
            return caller.answers

    return asyncio.run(run())


def test_every_difference_from_the_schema_has_a_row_and_every_row_a_difference(
    answers: list[tuple[PublishedOperation, Response]],
) -> None:
    found = set()
    for operation, answer in answers:
        node = operation.success[answer.status].get("schema") if answer.status < 400 else ERROR
        if node is None:
            assert answer.body == b""
            continue
        found |= {(operation.operation_id, *problem) for problem in problems(SCHEMA, node, answer.json())}
    rows = {(row["operation"], row["at"], row["keyword"]) for row in deviations("control plane")}
    assert found == rows


@pytest.mark.parametrize(
    ("operation_id", "sample"),
    [
        ("DpsCertificate_CreateOrUpdate", "DPSCertificateCreateOrUpdate"),
        ("DpsCertificate_Get", "DPSGetCertificate"),
        ("DpsCertificate_List", "DPSGetCertificates"),
        ("DpsCertificate_GenerateVerificationCode", "DPSGenerateVerificationCode"),
        ("DpsCertificate_VerifyCertificate", "DPSVerifyCertificate"),
    ],
)
def test_an_answer_has_the_members_of_the_sample(
    answers: list[tuple[PublishedOperation, Response]], operation_id: str, sample: str
) -> None:
    (ours,) = [one.json() for operation, one in answers if (operation.operation_id, one.status) == (operation_id, 200)]
    theirs = EXAMPLES[sample]["responses"]["200"]["body"]
    if operation_id == "DpsCertificate_List":
        (ours,), (theirs,) = ours["value"], theirs["value"]
    # The sample of the code leaves out what the schema names.
    assert set(theirs) <= set(ours) <= {"properties", "id", "name", "type", "etag"}
    assert set(ours["properties"]) == set(theirs["properties"])


def test_answers_look_as_observed(answers: list[tuple[PublishedOperation, Response]]) -> None:
    observed = OBSERVED["arm_2021-10-15"]["put_certificate"]["body"]
    by_id = {operation.operation_id: one.json() for operation, one in answers if one.status == 200 and one.body}
    for operation_id in ("DpsCertificate_CreateOrUpdate", "DpsCertificate_VerifyCertificate"):
        ours = by_id[operation_id]
        assert list(ours) == list(observed)
        assert list(ours["properties"]) == list(observed["properties"])
        assert ours["type"] == observed["type"]
        assert ours["properties"]["created"] == observed["properties"]["created"]
        assert ours["properties"]["certificate"] is observed["properties"]["certificate"] is None
        assert ours["properties"]["subject"] == "testdevice1"
        assert re.fullmatch("[0-9A-F]{40}", ours["properties"]["thumbprint"])
    generated = by_id["DpsCertificate_GenerateVerificationCode"]["properties"]
    assert re.fullmatch("[0-9A-F]{48}", generated["verificationCode"])
