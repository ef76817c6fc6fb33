"""Every published example of an operation that is built: it decodes without a member unknown or lost, is refused as
documented where it is noise, and is accepted once its noise is replaced. It must not judge other answers."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from tpm_samples import ENDORSEMENT_KEY, STORAGE_ROOT_KEY

from idscope.frontends.http.device_api import DEVICE_OPERATIONS
from idscope.frontends.http.operations import Operation
from idscope.frontends.http.service_api import SERVICE_OPERATIONS
from idscope.model.document import decode, encode_revealing
from idscope.model.registration import DeviceRegistrationState
from idscope.testing.application import ID_SCOPE, Application, Response
from idscope.testing.certificates import CertificateMaker
from published import Example, deviations, examples

EXAMPLES = {example.title: example for example in examples()}
ROWS: dict[str, Operation] = {row.operation_id: row for row in (*DEVICE_OPERATIONS, *SERVICE_OPERATIONS)}
BUILT = [example for example in EXAMPLES.values() if example.operation_id in ROWS]
ANSWERED = [(example, status) for example in BUILT for status in example.responses]
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2)]


def title(example: Any) -> str:
    return example.title if isinstance(example, Example) else str(example)


def with_required_members(document_name: str, answer: Any) -> Any:
    """The sample answer with the members that this server always answers, which the schema calls optional."""
    if isinstance(answer, list):
        return [with_required_members(document_name, one) for one in answer]
    rows = [row for row in deviations("required") if row["document"] == document_name]
    return {**{row["member"]: row["value"] for row in rows}, **answer}


@pytest.mark.parametrize("example", [one for one in BUILT if one.request is not None], ids=title)
def test_a_sample_request_decodes_with_no_member_unknown_or_lost(example: Example) -> None:
    document = decode(json.dumps(example.request).encode(), ROWS[example.operation_id].request_type)
    assert json.loads(encode_revealing(document)) == example.request


@pytest.mark.parametrize(("example", "status"), ANSWERED, ids=title)
def test_a_sample_answer_decodes_with_no_member_unknown_or_lost(example: Example, status: int) -> None:
    types = ROWS[example.operation_id].responses
    kind = types.get(status) or next(iter(types.values()))
    kind_of_one = get_args(kind)[0] if get_args(kind) else kind
    answer = with_required_members(kind_of_one.__name__, example.responses[status])
    assert json.loads(encode_revealing(decode(json.dumps(answer).encode(), kind))) == answer


def test_the_sample_registration_states_decode_with_no_member_unknown_or_lost() -> None:
    states = EXAMPLES["DeviceRegistrationState_Query_MaximumSet_Gen"].responses[200]
    sample = EXAMPLES["IndividualEnrollment_CreateOrUpdate_MaximumSet_Gen"].responses[200]["registrationState"]
    for state in (*states, sample):
        document = decode(json.dumps(state).encode(), DeviceRegistrationState)
        assert json.loads(encode_revealing(document)) == state


def test_each_member_that_is_always_answered_is_missing_in_some_sample() -> None:
    for row in deviations("required"):
        samples = [one.responses[status] for one, status in ANSWERED if _document(one, status) == row["document"]]
        assert any(row["member"] not in sample for sample in samples), row


def _document(example: Example, status: int) -> str:
    types = ROWS[example.operation_id].responses
    kind = types.get(status) or next(iter(types.values()))
    name: str = (get_args(kind)[0] if get_args(kind) else kind).__name__
    return name


def as_printed(title_: str) -> Response:
    """The answer to the sample request exactly as it is printed, by a caller who may."""
    example = EXAMPLES[title_]

    async def run() -> Response:
        async with Application() as app:
            token = app.service_token() if example.path.startswith("/enrollments") else app.device_token("x", KEYS[0])
            return await app.request(example.method, example.path, example.request, authorization=token)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("title_", "code"),
    [
        ("IndividualEnrollment_CreateOrUpdate_MaximumSet_Gen", 400004),  # path id ≠ body id
        ("IndividualEnrollment_CreateOrUpdate_MinimumSet_Gen", 400004),
        ("RuntimeRegistration_RegisterDevice_MaximumSet_Gen", 400004),
        ("RuntimeRegistration_RegisterDevice_MinimumSet_Gen", 404000),  # no such id scope
        ("RuntimeRegistration_DeviceRegistrationStatusLookup_MaximumSet_Gen", 400004),
        ("RuntimeRegistration_DeviceRegistrationStatusLookup_MinimumSet_Gen", 404000),
    ],
)
def test_as_printed_a_sample_request_gets_the_documented_refusal(title_: str, code: int) -> None:
    answer = as_printed(title_)
    assert (answer.status, answer.json()["errorCode"]) == (code // 1000, code)
    assert answer.headers["x-ms-error-code"] == str(code)


def test_as_printed_the_sample_bulk_operation_tells_its_item_the_refusal() -> None:
    answer = as_printed("IndividualEnrollment_RunBulkOperation_MaximumSet_Gen")
    assert answer.status == 200
    assert answer.json()["isSuccessful"] is False
    (error,) = answer.json()["errors"]
    assert (error["registrationId"], error["errorCode"]) == ("kz", 400004)


def made_real(enrollment: Any) -> Any:
    """The sample enrollment with keys, certificates and endorsement key that are some."""
    real = copy.deepcopy(enrollment)
    attestation = real["attestation"]
    if "symmetricKey" in attestation:
        attestation["symmetricKey"] = {"primaryKey": KEYS[0], "secondaryKey": KEYS[1]}
        attestation["tpm"] = {"endorsementKey": ENDORSEMENT_KEY, "storageRootKey": STORAGE_ROOT_KEY}
        for pair in ("clientCertificates", "signingCertificates"):
            for slot in attestation["x509"][pair].values():
                (der,) = CertificateMaker.self_signed("kz").der_chain()
                slot["certificate"] = base64.b64encode(der).decode()
    return real


# What the service makes or recomputes, and what it never echoes.
NOT_ECHOED = ("etag", "registrationState", "certificate", "info")


def missing(sent: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where `got` does not hold what was sent."""
    if isinstance(sent, dict) and isinstance(got, dict):
        for name, value in sent.items():
            if name in NOT_ECHOED:
                continue
            if name not in got:
                yield f"{path}.{name}"
            else:
                yield from missing(value, got[name], f"{path}.{name}")
    elif sent != got:
        yield path


async def put_and_get(app: Application, enrollment: Any) -> tuple[Any, Any]:
    put = await app.service("PUT", f"/enrollments/{enrollment['registrationId']}", enrollment)
    assert put.status == 200, put
    get = await app.service("GET", f"/enrollments/{enrollment['registrationId']}")
    return put.json(), get.json()


async def bulk_and_get(app: Application, enrollment: Any) -> tuple[Any, Any]:
    bulk = await app.service("POST", "/enrollments", {"enrollments": [enrollment], "mode": "create"})
    assert bulk.json() == {"errors": [], "isSuccessful": True}
    get = (await app.service("GET", f"/enrollments/{enrollment['registrationId']}")).json()
    keys = await app.service("POST", f"/enrollments/{enrollment['registrationId']}/attestationmechanism")
    return {**get, "attestation": keys.json()}, get


@pytest.mark.parametrize(
    ("title_", "send"),
    [
        ("IndividualEnrollment_CreateOrUpdate_MaximumSet_Gen", put_and_get),
        ("IndividualEnrollment_CreateOrUpdate_MinimumSet_Gen", put_and_get),
        ("IndividualEnrollment_RunBulkOperation_MaximumSet_Gen", bulk_and_get),
    ],
)
def test_with_its_noise_replaced_a_sample_enrollment_is_kept_whole(title_: str, send: Callable[..., Any]) -> None:
    request = EXAMPLES[title_].request
    enrollment = made_real(request["enrollments"][0] if "enrollments" in request else request)

    async def run() -> tuple[Any, Any]:
        async with Application() as app:
            result: tuple[Any, Any] = await send(app, enrollment)
            return result

    whole, shown = asyncio.run(run())
    assert list(missing(enrollment, whole)) == []
    without_keys = copy.deepcopy(enrollment)
    had_keys = without_keys["attestation"].pop("symmetricKey", None) is not None
    assert list(missing(without_keys, shown)) == []
    assert "symmetricKey" not in shown["attestation"] or not had_keys
    assert whole["etag"] not in (enrollment.get("etag"), None)


@pytest.mark.parametrize(
    ("title_", "status"),
    [
        ("RuntimeRegistration_RegisterDevice_MaximumSet_Gen", 202),
        ("RuntimeRegistration_RegisterDevice_MinimumSet_Gen", 202),
        ("RuntimeRegistration_DeviceRegistrationStatusLookup_MaximumSet_Gen", 200),
        ("RuntimeRegistration_DeviceRegistrationStatusLookup_MinimumSet_Gen", 200),
    ],
)
def test_with_its_noise_replaced_a_sample_device_request_is_accepted(title_: str, status: int) -> None:
    example = EXAMPLES[title_]
    scope, registration_id = example.path.split("/")[1], example.path.split("/")[3].partition("?")[0]
    request = copy.deepcopy(example.request)
    if "registrationId" in request:
        request["registrationId"] = registration_id

    async def run() -> Response:
        async with Application() as app:
            keys = {"primaryKey": KEYS[0], "secondaryKey": KEYS[1]}
            await app.enroll(registration_id, attestation={"type": "symmetricKey", "symmetricKey": keys})
            path = example.path.replace(scope, ID_SCOPE, 1)
            token = app.device_token(registration_id, KEYS[1])
            return await app.request(example.method, path, request, authorization=token)

    answer = asyncio.run(run())
    assert answer.status == status, answer
    state = answer.json()["registrationState"] if status == 202 else answer.json()
    assert state["registrationId"] == registration_id
    assert state["status"] == ("assigned" if status == 202 else "unassigned")
