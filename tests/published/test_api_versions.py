"""Which api-versions both APIs take, what they refuse, and what an older version is not shown. It must not know how a
version is read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from answered import KEY, SYMMETRIC

from idscope.testing.application import ID_SCOPE, Application, Response

# rest-api facts: every version that a published document or SDK names, oldest first.
PUBLISHED = (
    *("2017-08-31-preview", "2017-11-15", "2018-04-01", "2018-09-01-preview", "2018-11-01", "2019-03-31"),
    *("2021-06-01", "2021-10-01", "2021-11-01-preview", "2025-07-01-preview", "2026-04-01", "2026-07-01-preview"),
    *("2026-11-01", "2026-11-02-preview", "2026-11-15-preview"),
)
SINCE_2025 = ("credentialPolicyName",)
SINCE_2026 = ("namespaceName", "certificateAuthorityName", "certificatePolicyName")
NO_VERSION = (
    *(None, "", "2021-10", "2021-10-01x", "2021-10-01-PREVIEW", "2021-13-01", "2021-02-30", "latest", "20211001"),
    *("2021-10-01%20", "%20", "2021-10-01-preview-preview", "%ff", "2021-10-01%00"),
)
ALLOWED_UNLISTED = ("2018-01-01", "2030-01-01", "2021-10-01-preview", "1999-12-31")


def with_version(path: str, version: str | None) -> str:
    return path if version is None else f"{path}?api-version={version}"


async def on_service(app: Application, version: str | None) -> Response:
    return await app.request("GET", with_version("/enrollments/x", version), authorization=app.service_token())


async def on_device(app: Application, version: str | None, rest: str = "/register", method: str = "PUT") -> Response:
    path = with_version(f"/{ID_SCOPE}/registrations/x{rest}", version)
    return await app.request(method, path, {}, authorization=app.device_token("x", KEY))


def ask(*versions: str | None, strict: bool = False) -> list[tuple[Response, Response]]:
    """The service's and the device's answer to each version."""

    async def run() -> list[tuple[Response, Response]]:
        async with Application(strict_api_versions=strict) as app:
            await app.enroll("x", attestation=SYMMETRIC)
            return [(await on_service(app, version), await on_device(app, version)) for version in versions]

    return asyncio.run(run())


def assert_unsupported(answer: Response) -> None:
    assert answer.status == 400
    body = answer.json()
    assert list(body) == ["errorCode", "trackingId", "message", "timestampUtc"]
    assert (body["errorCode"], answer.headers["x-ms-error-code"]) == (400004, "400004")
    assert body["message"]


@pytest.mark.parametrize("strict", [False, True])
def test_every_published_version_is_taken_by_both_apis(strict: bool) -> None:
    for service, device in ask(*PUBLISHED, strict=strict):
        assert (service.status, device.status) == (200, 202)


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_no_version_is_refused_by_both_apis(strict: bool) -> None:
    for service, device in ask(*NO_VERSION, strict=strict):
        assert_unsupported(service)
        assert_unsupported(device)


def test_an_unlisted_version_is_taken_from_devices_unless_strict() -> None:
    for service, device in ask(*ALLOWED_UNLISTED):
        assert_unsupported(service)
        assert device.status == 202
    for service, device in ask(*ALLOWED_UNLISTED, strict=True):
        assert_unsupported(service)
        assert_unsupported(device)


@pytest.mark.parametrize("version", NO_VERSION[:3])
def test_the_version_is_asked_for_on_every_path(version: str | None) -> None:
    async def run() -> list[Response]:
        async with Application() as app:
            token = app.service_token()
            service = [
                await app.request(method, with_version(path, version), authorization=token)
                for method, path in (
                    ("PUT", "/enrollments/x"),
                    ("DELETE", "/enrollments/x"),
                    ("POST", "/enrollments/query"),
                    ("POST", "/enrollments"),
                    ("POST", "/enrollments/x/attestationmechanism"),
                )
            ]
            device = [await on_device(app, version, "", "POST"), await on_device(app, version, "/operations/o", "GET")]
            return service + device

    for answer in asyncio.run(run()):
        assert_unsupported(answer)


def newer_members() -> dict[str, str]:
    return {name: f"a-{name.lower()}" for name in (*SINCE_2025, *SINCE_2026)}


def test_a_version_is_shown_the_members_it_knows_and_all_are_kept() -> None:
    body = {"registrationId": "x", "attestation": SYMMETRIC, **newer_members()}

    async def run() -> dict[str, dict[str, Any]]:
        shown = {}
        async with Application() as app:
            await app.service("PUT", "/enrollments/x?api-version=2026-11-01", body)
            for version in PUBLISHED:
                shown[version] = (await app.service("GET", f"/enrollments/x?api-version={version}")).json()
                query = await app.service("POST", f"/enrollments/query?api-version={version}", {"query": "SELECT *"})
                assert [set(one) for one in query.json()] == [set(shown[version]) - {"registrationState"}]
        return shown

    for version, document in asyncio.run(run()).items():
        known = [*(SINCE_2025 if version >= "2025-07-01" else ()), *(SINCE_2026 if version >= "2026-11-01" else ())]
        assert set(newer_members()) & set(document) == set(known), version
        assert all(document[name] == newer_members()[name] for name in known)


def test_an_answer_to_put_is_masked_by_its_own_version() -> None:
    body = {"registrationId": "x", "attestation": SYMMETRIC, **newer_members()}

    async def run() -> Response:
        async with Application() as app:
            return await app.service("PUT", "/enrollments/x?api-version=2021-10-01", body)

    answer = asyncio.run(run())
    assert answer.status == 200
    assert not set(newer_members()) & set(answer.json())


@pytest.mark.parametrize(("version", "status"), [("2021-10-01", 202), ("2025-07-01-preview", 400), ("2026-04-01", 400)])
def test_a_csr_is_read_since_2025(version: str, status: int) -> None:
    async def run() -> tuple[Response, Response]:
        async with Application() as app:
            await app.enroll("x", attestation=SYMMETRIC)
            token = app.device_token("x", KEY)
            path = f"/{ID_SCOPE}/registrations/x"
            body = {"registrationId": "x", "csr": "MIIB"}
            register = await app.request("PUT", f"{path}/register?api-version={version}", body, authorization=token)
            look_up = await app.request("POST", f"{path}?api-version={version}", body, authorization=token)
            return register, look_up

    register, look_up = asyncio.run(run())
    assert register.status == status
    assert look_up.status == (200 if status == 202 else 400)
    if status == 400:
        assert register.json()["message"] == "Device sent CSR but it is not configured in the service."
