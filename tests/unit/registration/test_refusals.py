"""The table of what a refused device sees, row by row, over HTTPS in the words of the published catalogue."""

from __future__ import annotations

import asyncio
import base64
import json
import re

import pytest
from tpm_samples import ENDORSEMENT_KEY

from idscope.errors import HubUnauthorized
from idscope.registration import WorkflowSettings
from idscope.storage import AttemptRow
from idscope.testing import FakeHubConnector, FaultyHubConnector
from idscope.testing.application import ID_SCOPE, Application, Response, sas_token
from idscope.testing.certificates import CertificateMaker

OTHER_KEY = base64.b64encode(b"k" * 32).decode()
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
OPERATION_ID = re.compile(r"4\.[0-9a-f]{16}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
REGISTER = f"/{ID_SCOPE}/registrations/device/register?api-version=2021-06-01"


def run(scenario):
    """Run an async scenario with an application whose individual enrollment `device` exists; returns its result."""

    async def inside():
        async with Application(settings=WorkflowSettings(hub_limit=0)) as app:
            document = await app.enroll("device")
            return await scenario(app, document["attestation"]["symmetricKey"]["primaryKey"])

    return asyncio.run(inside())


def assert_error(answer: Response, status: int, code: int, message: str | None = None) -> None:
    body = answer.json()
    assert (answer.status, body["errorCode"], answer.headers["x-ms-error-code"]) == (status, code, str(code))
    assert GUID.match(body["trackingId"])
    assert answer.headers["x-ms-request-id"] == body["trackingId"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert None not in body.values()
    if message is not None:
        assert body["message"] == message


def good_resource(registration_id: str = "device") -> str:
    return f"{ID_SCOPE}/registrations/{registration_id}"


@pytest.mark.parametrize(
    ("what", "token"),
    [
        ("signed with another key", lambda app, key: sas_token(good_resource(), OTHER_KEY, app.expiry, "registration")),
        ("missing", lambda app, key: None),
        ("empty", lambda app, key: ""),
        ("not a token", lambda app, key: "SharedAccessSignature nonsense"),
        ("another scheme", lambda app, key: "Bearer abc"),
        ("without signature", lambda app, key: f"SharedAccessSignature sr=x&se={app.expiry}"),
        ("without expiry", lambda app, key: "SharedAccessSignature sr=x&sig=x"),
        ("expired beyond the skew", lambda app, key: sas_token(good_resource(), key, app.expiry - 3600 - 301)),
        ("of another scope", lambda app, key: sas_token("0ne00FFFFFF/registrations/device", key, app.expiry)),
        ("of another device", lambda app, key: sas_token(good_resource("other"), key, app.expiry)),
        ("of the service", lambda app, key: app.service_token()),
        ("with another key name", lambda app, key: sas_token(good_resource(), key, app.expiry, "owner")),
        ("with an expiry that is no number", lambda app, key: sas_token(good_resource(), key, app.expiry) + "x"),
    ],
)
def test_a_token_that_is(what, token):
    async def scenario(app, key):
        return await app.request("PUT", REGISTER, {}, authorization=token(app, key))

    assert_error(run(scenario), 401, 401002, "Unauthorized")


def test_a_token_within_the_allowed_skew_is_good():
    async def scenario(app, key):
        token = sas_token(good_resource(), key, app.expiry - 3600 - 299)
        return await app.request("PUT", REGISTER, {}, authorization=token)

    assert run(scenario).json()["status"] == "assigned"


def test_an_unknown_id_looks_like_a_wrong_key():
    async def scenario(app, key):
        return await app.register("unknown", key)

    assert_error(run(scenario), 401, 401002, "Unauthorized")


def test_a_certificate_that_nobody_enrolled():
    async def scenario(app, _):
        chain = CertificateMaker.self_signed("unknown").der_chain()
        path = REGISTER.replace("device", "unknown")
        return await app.request("PUT", path, {}, chain=chain)

    assert_error(run(scenario), 401, 401002, "Invalid certificate.")


def test_a_tpm_with_an_unknown_id():
    async def scenario(app, _):
        body = {"registrationId": "unknown", "tpm": {"endorsementKey": "AAEA", "storageRootKey": "AAEA"}}
        return await app.request("PUT", REGISTER.replace("device", "unknown"), body)

    assert_error(run(scenario), 404, 404201)


@pytest.mark.parametrize("mechanism", ["tpm", "x509", "none"])
def test_a_token_proves_nothing_where_another_mechanism_is_enrolled(mechanism):
    async def scenario(app, key):
        certificate = base64.b64encode(CertificateMaker.self_signed("other").der_chain()[0]).decode()
        attestation = {
            "tpm": {"type": "tpm", "tpm": {"endorsementKey": ENDORSEMENT_KEY}},
            "x509": {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": certificate}}}},
            "none": {"type": "none"},
        }[mechanism]
        await app.enroll("other", attestation=attestation)
        return await app.register("other", key)

    assert_error(run(scenario), 401, 401002, "Unauthorized")


def test_an_unknown_id_scope():
    async def scenario(app, key):
        token = app.device_token("device", key, id_scope="0neFFFFFFFF")
        path = "/0neFFFFFFFF/registrations/device/register?api-version=2021-06-01"
        return await app.request("PUT", path, {}, authorization=token)

    assert_error(run(scenario), 404, 404000)


@pytest.mark.parametrize(
    "registration_id", ["-device", "device_", "device.", "de%20vice", "de@vice", "x" * 129, "%C3%A9"]
)
def test_a_registration_id_that_is_none(registration_id):
    async def scenario(app, key):
        path = f"/{ID_SCOPE}/registrations/{registration_id}/register?api-version=2021-06-01"
        return await app.request("PUT", path, {}, authorization=app.device_token("device", key))

    assert_error(run(scenario), 400, 400004, "Invalid RegistrationId")


def test_an_id_in_the_body_that_is_not_the_one_in_the_path():
    async def scenario(app, key):
        return await app.register("device", key, {"registrationId": "other"})

    answer = run(scenario)
    assert_error(answer, 400, 400004)


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a":"\xff"}', b'{"payload":' + b"[" * 90_000, b"{} {}"])
def test_a_body_that_is_no_json(body):
    async def scenario(app, key):
        return await app.register("device", key, body)

    assert_error(run(scenario), 400, 400006)


def test_a_body_of_the_wrong_types():
    async def scenario(app, key):
        return await app.register("device", key, {"registrationId": 5})

    assert_error(run(scenario), 400, 400004)


@pytest.mark.parametrize("version", ["", "?api-version=", "?api-version=yesterday", "?api-version=2021-13-01"])
def test_an_api_version_that_is_none(version):
    async def scenario(app, key):
        path = f"/{ID_SCOPE}/registrations/device/register{version}"
        return await app.request("PUT", path, {}, authorization=app.device_token("device", key))

    assert_error(run(scenario), 400, 400004)


def test_a_disabled_enrollment_is_told_to_a_good_credential():
    """quirk: the real service sends an empty operationId here, which its own specification forbids."""

    async def scenario(app, key):
        document = (await app.service("GET", "/enrollments/device")).json()
        document["provisioningStatus"] = "disabled"
        await app.service("PUT", "/enrollments/device", document, if_match="*")
        first = await app.register("device", key)
        path = f"/{ID_SCOPE}/registrations/device/operations/{first.json()['operationId']}?api-version=2019-03-31"
        poll = await app.request("GET", path, authorization=app.device_token("device", key))
        again = await app.register("device", key)
        wrong = await app.register("device", OTHER_KEY)
        return first, poll, again, wrong, (await app.service("GET", "/enrollments/device")).json()

    first, poll, again, wrong, enrollment = run(scenario)
    assert (first.status, poll.status) == (202, 200)
    for answer in (first, poll, again):
        body = answer.json()
        assert OPERATION_ID.match(body["operationId"])
        assert body["status"] == body["registrationState"]["status"] == "disabled"
        assert set(body["registrationState"]) == {"registrationId", "status", "etag", "lastUpdatedDateTimeUtc"}
    assert_error(wrong, 401, 401002, "Unauthorized")
    assert enrollment["registrationState"] == poll.json()["registrationState"]


@pytest.mark.parametrize(
    ("members", "code"),
    [
        (
            {
                "allocationPolicy": "custom",
                "customAllocationDefinition": {"webhookUrl": "https://x.test/?code=1", "apiVersion": "2021-10-01"},
            },
            400207,
        ),
        ({"iotHubs": ["elsewhere.azure-devices.net"]}, 400208),
        ({"iotHubHostName": "elsewhere.azure-devices.net"}, 400208),
    ],
)
def test_what_cannot_be_allocated_ends_failed(members, code):
    async def scenario(app, _):
        document = await app.enroll("other", **members)
        key = document["attestation"]["symmetricKey"]["primaryKey"]
        answer = await app.register("other", key)
        record = (await app.service("GET", "/enrollments/other")).json()["registrationState"]
        return answer, record

    answer, record = run(scenario)
    assert answer.status == 202
    state = answer.json()["registrationState"]
    assert answer.json()["status"] == state["status"] == "failed"
    assert state["errorCode"] == code
    assert state["errorMessage"]
    assert "assignedHub" not in state
    assert {"etag", "lastUpdatedDateTimeUtc", "status"} <= set(record)


def test_a_hub_that_refuses_ends_failed_with_its_words():
    async def inside():
        hub = FaultyHubConnector(FakeHubConnector())
        async with Application(settings=WorkflowSettings(hub_limit=0), connector=hub) as app:
            key = (await app.enroll("device"))["attestation"]["symmetricKey"]["primaryKey"]
            hub.refuse_next(HubUnauthorized)
            return await app.register("device", key)

    state = asyncio.run(inside()).json()["registrationState"]
    assert (state["status"], state["errorCode"]) == ("failed", 400209)
    assert state["errorMessage"] == "ErrorCode:IotHubUnauthorizedAccess;Unauthorized"


def test_a_certificate_signing_request_is_refused_in_the_words_a_client_knows():
    async def scenario(app, key):
        new = await app.register("device", key, {"csr": "MIIB"}, version="2025-07-01-preview")
        old = await app.register("device", key, {"csr": "MIIB"}, version="2021-06-01")
        path = f"/{ID_SCOPE}/registrations/device?api-version=2026-04-01"
        lookup = await app.request("POST", path, {"csr": "MIIB"}, authorization=app.device_token("device", key))
        return new, old, lookup

    new, old, lookup = run(scenario)
    assert_error(new, 400, 400004, "Device sent CSR but it is not configured in the service.")
    assert old.json()["status"] == "assigned"
    assert_error(lookup, 400, 400004)


def test_why_it_was_refused_is_kept_for_the_operator_and_holds_no_secret():
    async def scenario(app, key):
        answer = await app.register("device", OTHER_KEY)
        unknown = await app.register("unknown", OTHER_KEY)
        await app.attempts.close()
        known = await app.store.page(AttemptRow, (ID_SCOPE, "device"), None, 10)
        others = await app.store.page(AttemptRow, (ID_SCOPE, ""), None, 10)
        return answer.json()["trackingId"], unknown.json()["trackingId"], known, others, key

    tracking_id, unknown_id, (known,), (other,), key = run(scenario)
    document = json.loads(known.document)
    assert known.attempt_id == tracking_id
    assert document["verdict"] == "refused"
    assert document["reason"] == "the signature was made with neither key of the enrollment"
    assert document["matched_enrollment"] == "device"
    assert document["peer"] == "127.0.0.9"
    assert other.attempt_id == unknown_id
    assert "no individual enrollment" in json.loads(other.document)["reason"]
    assert key not in known.document.decode()
