"""The service API on the operator listener: the same rows for the service that the path names, and the admin token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from idscope.app.front_ends import OPERATOR_LISTENER_OPERATIONS, PUBLIC_OPERATIONS
from idscope.frontends.http.operations import Api
from idscope.frontends.http.service_api import NAMED_SERVICE_OPERATIONS, SERVICE_OPERATIONS
from idscope.testing.application import ADMIN_TOKEN, Application, Response

SERVICE = "/provisioningServices/idscope"
VERSION = "api-version=2021-10-01"
ADMIN = f"Bearer {ADMIN_TOKEN}"


def run(test: Callable[[Application], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with Application() as app:
            await test(app)

    asyncio.run(inside())


def test_every_row_of_the_service_api_is_there_once_more_and_differs_in_nothing_but_path_and_door() -> None:
    assert len(NAMED_SERVICE_OPERATIONS) == len(SERVICE_OPERATIONS) == 15
    for named, row in zip(NAMED_SERVICE_OPERATIONS, SERVICE_OPERATIONS, strict=True):
        assert named.path == f"/provisioningServices/{{provisioningServiceName}}{row.path}"
        assert named.api is Api.NAMED_SERVICE
        for field in set(row.__struct_fields__) - {"path", "api"}:
            assert getattr(named, field) == getattr(row, field), field


def test_no_row_stands_on_the_public_listener() -> None:
    assert not set(map(id, NAMED_SERVICE_OPERATIONS)) & set(map(id, PUBLIC_OPERATIONS))
    assert {row.api for row in PUBLIC_OPERATIONS} == {Api.DEVICE, Api.SERVICE, Api.HUB}
    assert set(map(id, NAMED_SERVICE_OPERATIONS)) <= set(map(id, OPERATOR_LISTENER_OPERATIONS))


def test_what_is_written_here_is_read_there() -> None:
    async def test(app: Application) -> None:
        body = {"registrationId": "D", "attestation": {"type": "symmetricKey"}}
        made = await app.request("PUT", f"{SERVICE}/enrollments/D?{VERSION}", body, authorization=ADMIN)
        assert made.status == 200
        read = await app.service("GET", "/enrollments/D")
        assert read.json()["etag"] == made.json()["etag"]
        here = await app.request("GET", f"/PROVISIONINGSERVICES/IdScope/enrollments/d?{VERSION}", authorization=ADMIN)
        assert here.json() == read.json()
        again = await app.request("PUT", f"{SERVICE}/enrollments/D?{VERSION}", body, authorization=ADMIN)
        assert (again.status, again.json()["errorCode"]) == (409, 409201)

    run(test)


def test_nothing_but_the_admin_token_opens_it() -> None:
    async def test(app: Application) -> None:
        await app.enroll("d")
        for authorization in (None, "", "Bearer", "Bearer wrong", app.service_token(), app.hub_token()):
            for row in NAMED_SERVICE_OPERATIONS:
                for name in ("idscope", "other"):
                    path = row.path.replace("{provisioningServiceName}", name).replace("{id}", "d")
                    answer = await app.request(row.method, f"{path}?{VERSION}", authorization=authorization)
                    assert (answer.status, answer.json()["errorCode"]) == (401, 401002), (row, authorization)
                    assert "idscope" not in answer.body.decode()
        assert (await app.request("GET", f"/enrollments/d?{VERSION}", authorization=ADMIN)).status == 401

    run(test)


def test_another_service_is_not_found_and_the_message_names_those_that_are() -> None:
    async def test(app: Application) -> None:
        answer: Response = await app.request(
            "GET", f"/provisioningServices/other/enrollments/d?{VERSION}", authorization=ADMIN
        )
        assert (answer.status, answer.json()["errorCode"]) == (404, 404000)
        assert "'other'" in answer.json()["message"]
        assert "'idscope'" in answer.json()["message"]

    run(test)


def test_the_api_version_is_one_that_is_published() -> None:
    async def test(app: Application) -> None:
        for version in ("", "?api-version=1999-01-01"):
            answer = await app.request("GET", f"{SERVICE}/enrollments/d{version}", authorization=ADMIN)
            assert (answer.status, answer.json()["errorCode"]) == (400, 400004)

    run(test)
