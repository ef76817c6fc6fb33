"""Who may call the service API and the hub's: audiences in every form, policies, rights, wrong kinds of token."""

from __future__ import annotations

import asyncio

import pytest

from idscope.access.service_sas import every_right
from idscope.directory import AccessPolicy, Right
from idscope.directory.documents import policy_row, service_owner
from idscope.secret import Secret
from idscope.storage import Put, Unit
from idscope.testing.application import ID_SCOPE, Application, sas_token

READ = "/enrollments/device?api-version=2021-10-01"
KEY = "cHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHA="


def with_application(scenario):
    async def inside():
        async with Application() as app:
            await app.enroll("device")
            return await scenario(app)

    return asyncio.run(inside())


def owner_key(app):
    return app.directory.snapshot.services[0].policies["provisioningserviceowner"].primary_key.reveal()


@pytest.mark.parametrize(
    ("audience", "good"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:443", True),
        ("https://127.0.0.1", True),
        ("https://127.0.0.1:8443/", True),
        ("LOCALHOST", True),
        ("127.0.0.1/enrollments", True),
        ("127.0.0.1/enrollments/device", True),
        ("127.0.0.1/enrollments/dev", False),
        ("127.0.0.1/enrollments/device/x", False),
        ("127.0.0.1/registrations", False),
        ("127.0.0.2", False),
        ("127.0.0.1.evil.test", False),
        ("evil.test/127.0.0.1", False),
        ("", False),
    ],
)
def test_the_audience(audience, good):
    async def inside(app):
        token = sas_token(audience, owner_key(app), app.expiry, "provisioningserviceowner")
        return await app.request("GET", READ, authorization=token)

    answer = with_application(inside)
    assert answer.status == (200 if good else 401)


@pytest.mark.parametrize(
    "token",
    [
        lambda app: None,
        lambda app: sas_token("127.0.0.1", owner_key(app), app.expiry),
        lambda app: sas_token("127.0.0.1", owner_key(app), app.expiry, "nobody"),
        lambda app: sas_token("127.0.0.1", KEY, app.expiry, "provisioningserviceowner"),
        lambda app: sas_token("127.0.0.1", owner_key(app), app.expiry - 3600 - 301, "provisioningserviceowner"),
        lambda app: app.hub_token(),
        lambda app: app.device_token("device", owner_key(app)),
        lambda app: "Bearer an-admin-token",
    ],
)
def test_what_lets_nobody_in(token):
    async def inside(app):
        return await app.request("GET", READ, authorization=token(app))

    answer = with_application(inside)
    assert (answer.status, answer.json()["errorCode"]) == (401, 401002)
    assert answer.json()["message"] == "Unauthorized"


@pytest.mark.parametrize(
    ("rights", "may_read", "may_write"),
    [
        ({Right.ENROLLMENT_READ}, True, False),
        ({Right.ENROLLMENT_WRITE}, True, True),
        ({Right.REGISTRATION_STATUS_WRITE, Right.SERVICE_CONFIG}, False, False),
    ],
)
def test_rights_per_operation(rights, may_read, may_write):
    async def inside(app):
        policy = AccessPolicy("limited", frozenset(rights), Secret(KEY), Secret(KEY))
        row = policy_row(ID_SCOPE, service_owner(ID_SCOPE), policy, app.sealer, app.clock.now())
        await app.store.commit(Unit.of(Put(row)))
        await app.directory.load()
        token = app.service_token("limited")
        reads = [("GET", "/enrollments/device", None), ("POST", "/enrollments/query", {"query": "SELECT *"})]
        writes = [
            ("PUT", "/enrollments/device", {"registrationId": "device", "attestation": {"type": "none"}}),
            ("POST", "/enrollments/device/attestationmechanism", None),
            ("POST", "/enrollments", {"mode": "create", "enrollments": []}),
            ("DELETE", "/enrollments/absent", None),
        ]
        answers = []
        for method, path, body in reads + writes:
            answers.append(await app.request(method, f"{path}?api-version=2021-10-01", body, authorization=token))
        return answers

    answers = with_application(inside)
    refused = [answer.status == 401 for answer in answers]
    assert refused == [not may_read] * 2 + [not may_write] * 4
    for answer in answers:
        if answer.status == 401:
            assert "lacks the right Enrollment" in answer.json()["message"]


def test_write_contains_read_and_nothing_else():
    assert every_right({Right.ENROLLMENT_WRITE}) == {Right.ENROLLMENT_WRITE, Right.ENROLLMENT_READ}
    assert every_right({Right.ENROLLMENT_READ}) == {Right.ENROLLMENT_READ}


def test_a_hub_takes_its_own_token_only_and_answers_in_its_own_words():
    async def inside(app):
        path = "/devices/absent?api-version=2021-04-12"
        own = await app.request("GET", path, authorization=app.hub_token())
        foreign = await app.request("GET", path, authorization=app.service_token())
        weak = await app.request("GET", path, authorization=app.hub_token("device"))
        return own, foreign, weak

    own, foreign, weak = with_application(inside)
    assert own.status == 404
    assert foreign.status == weak.status == 401
    assert foreign.headers["iothub-errorcode"] == "IotHubUnauthorizedAccess"
    assert foreign.json()["Message"] == "ErrorCode:IotHubUnauthorizedAccess;Unauthorized"
    assert foreign.json()["ExceptionMessage"].startswith("Tracking ID:")
