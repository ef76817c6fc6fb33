"""Listing enrollments page by page, and bulk operations item by item."""

from __future__ import annotations

import asyncio
import base64

import pytest

from idscope.testing.application import Application

SYMMETRIC = {"type": "symmetricKey"}


def with_application(scenario):
    async def inside():
        async with Application() as app:
            return await scenario(app)

    return asyncio.run(inside())


def item(registration_id, **members):
    return {"registrationId": registration_id, "attestation": SYMMETRIC, **members}


async def query(app, text="SELECT *", **headers):
    return await app.service("POST", "/enrollments/query", {"query": text}, **headers)


async def everything(app, **headers):
    pages, continuation = [], None
    while True:
        more: dict[str, str] = {} if continuation is None else {"x_ms_continuation": continuation}
        answer = await query(app, **headers, **more)
        pages.append([document["registrationId"] for document in answer.json()])
        continuation = answer.headers.get("x-ms-continuation")
        if continuation is None:
            return pages


async def bulk(app, mode, *items):
    return await app.service("POST", "/enrollments", {"mode": mode, "enrollments": list(items)})


async def fill(app, count):
    for first in range(0, count, 10):
        items = [item(f"device-{number:03}") for number in range(first, min(first + 10, count))]
        assert (await bulk(app, "create", *items)).json() == {"errors": [], "isSuccessful": True}


def test_150_enrollments_are_a_page_of_100_and_one_of_50():
    async def inside(app):
        await fill(app, 150)
        pages = await everything(app)
        assert [len(page) for page in pages] == [100, 50]
        assert sorted(name for page in pages for name in page) == [f"device-{number:03}" for number in range(150)]

    with_application(inside)


@pytest.mark.parametrize(("asked", "sizes"), [("50", [50, 50, 20]), ("0", [100, 20]), ("120", [120]), ("5000", [120])])
def test_the_page_size_asked_for(asked, sizes):
    async def inside(app):
        await fill(app, 120)
        assert [len(page) for page in await everything(app, x_ms_max_item_count=asked)] == sizes

    with_application(inside)


def test_a_page_shows_no_keys_no_state_and_its_type():
    async def inside(app):
        await fill(app, 1)
        answer = await query(app)
        (document,) = answer.json()
        assert document["attestation"] == SYMMETRIC
        assert "registrationState" not in document
        assert answer.headers["x-ms-item-type"] == "Enrollment"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "x-ms-continuation" not in answer.headers

    with_application(inside)


def test_pages_go_on_where_they_were_while_enrollments_come_and_go():
    async def inside(app):
        await fill(app, 30)
        answer = await query(app, x_ms_max_item_count="10")
        seen = [document["registrationId"] for document in answer.json()]
        await app.service("DELETE", f"/enrollments/{seen[-1]}")
        await app.service("PUT", "/enrollments/a-first", item("a-first"))
        while token := answer.headers.get("x-ms-continuation"):
            answer = await query(app, x_ms_max_item_count="10", x_ms_continuation=token)
            seen += [document["registrationId"] for document in answer.json()]
        assert seen == [f"device-{number:03}" for number in range(30)]

    with_application(inside)


@pytest.mark.parametrize(
    "text", ["", "SELECT *", "select * ", "SELECT * FROM enrollments", "sElEcT  *  fRoM  Enrollments;"]
)
def test_what_may_be_asked(text):
    async def inside(app):
        assert (await query(app, text)).status == 200

    with_application(inside)


@pytest.mark.parametrize(
    "text", ["SELECT", "SELECT id", "SELECT * FROM devices", "SELECT * WHERE a = 1", "DROP TABLE", "SELECT *\x00"]
)
def test_what_may_not_be_asked(text):
    async def inside(app):
        answer = await query(app, text)
        assert (answer.status, answer.json()["errorCode"]) == (400, 400004)

    with_application(inside)


@pytest.mark.parametrize("token", ["x", "!!!", "e30=", base64.b64encode(b'{"after":5}').decode(), "A" * 2000])
def test_a_continuation_that_is_none(token):
    async def inside(app):
        answer = await query(app, x_ms_continuation=token)
        assert (answer.status, answer.json()["errorCode"]) == (400, 400004)

    with_application(inside)


@pytest.mark.parametrize("size", ["-1", "many", "1.5", "99999999999"])
def test_a_page_size_that_is_none(size):
    async def inside(app):
        answer = await query(app, x_ms_max_item_count=size)
        assert (answer.status, answer.json()["errorCode"]) == (400, 400004)

    with_application(inside)


def test_each_bulk_item_is_for_itself():
    async def inside(app):
        await app.service("PUT", "/enrollments/there", item("there"))
        answer = await bulk(app, "create", item("new-1"), item("there"), item("bad_"), item("new-2"))
        assert answer.status == 200
        errors = answer.json()["errors"]
        assert [(error["registrationId"], error["errorCode"]) for error in errors] == [
            ("there", 409201),
            ("bad_", 400004),
        ]
        assert errors[0]["errorStatus"] == "Enrollment already exists."
        assert answer.json()["isSuccessful"] is False
        for registration_id in ("new-1", "new-2"):
            assert (await app.service("GET", f"/enrollments/{registration_id}")).status == 200

    with_application(inside)


def test_bulk_update_with_the_etag_without_it_and_of_what_is_not_there():
    async def inside(app):
        etag = (await app.service("PUT", "/enrollments/there", item("there"))).json()["etag"]
        without = (await bulk(app, "update", item("there"))).json()
        assert without["errors"] == [
            {"registrationId": "there", "errorCode": 409201, "errorStatus": "Enrollment already exists."}
        ]
        absent = (await bulk(app, "update", item("absent"), item("absent-2", etag="x"))).json()
        assert [error["errorCode"] for error in absent["errors"]] == [404201, 404201]
        stale = (await bulk(app, "updateIfMatchETag", item("there", etag="stale"))).json()
        assert [error["errorCode"] for error in stale["errors"]] == [412000]
        assert (await bulk(app, "update", item("there", etag=etag, deviceId="d"))).json()["isSuccessful"]
        assert (await app.service("GET", "/enrollments/there")).json()["deviceId"] == "d"
        assert (await bulk(app, "updateIfMatchETag", item("there", etag="*"))).json()["isSuccessful"]

    with_application(inside)


def test_bulk_delete_needs_no_etag_and_respects_one():
    async def inside(app):
        await fill(app, 3)
        stale = item("device-000", etag="stale")
        answer = (await bulk(app, "delete", stale, item("device-001"), item("device-002"), item("absent"))).json()
        assert [(error["registrationId"], error["errorCode"]) for error in answer["errors"]] == [
            ("device-000", 412000),
            ("absent", 404201),
        ]
        assert await everything(app) == [["device-000"]]

    with_application(inside)


def test_ten_items_are_the_most():
    async def inside(app):
        answer = await bulk(app, "create", *(item(f"d{number}") for number in range(11)))
        assert (answer.status, answer.json()["errorCode"]) == (400, 400004)
        assert await everything(app) == [[]]

    with_application(inside)
