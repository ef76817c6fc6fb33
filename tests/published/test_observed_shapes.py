"""The answers of this server beside the observed ones: names and order of the members, statuses, headers. It must not
know how they are made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

from answered import KEY, SYMMETRIC, x509_attestation
from tpm_samples import ENDORSEMENT_KEY

from idscope.registration import WorkflowSettings
from idscope.testing.application import ID_SCOPE, Application, Response
from published import OBSERVED, deviations

SERVICE = OBSERVED["dps_service_api_2021-10-01"]
DEVICE = OBSERVED["dps_device_api"]
ETAG = re.compile(r"[A-Za-z0-9+/]+=*\Z")
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{0,6}[1-9])?Z\Z")  # trailing zeros trimmed


def departures(shape: str) -> set[str]:
    return {row["member"] for row in deviations("observed") if row["shape"] == shape}


def names(document: Any, prefix: str = "") -> Iterator[str]:
    """The paths of all members in the order in which they stand."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield f"{prefix}{name}"
            yield from names(value, f"{prefix}{name}.")


def assert_like(shape: str, observed: Any, answered: Any) -> None:
    """Same members in the same order, but for the rows; values that are not shortened are equal, but for the rows."""
    rows = departures(shape)
    ours = list(names(answered))
    assert [name for name in ours if name not in rows] == [name for name in names(observed) if name not in rows]
    assert rows <= set(ours), "nothing needs these rows"
    for name in ours:
        value, wanted = _at(answered, name), _at(observed, name)
        if name not in rows and isinstance(wanted, str | int | bool) and "<" not in str(wanted) and not _varies(name):
            assert value == wanted, name


def _varies(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last in ("operationId", "etag", "assignedHub", "errorCode", "errorMessage", "message", "trackingId") or (
        last.endswith("Utc")
    )


def _at(document: Any, name: str) -> Any:
    for part in name.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def service(*requests: tuple[str, str, Any], **headers: str) -> list[Response]:
    async def run() -> list[Response]:
        async with Application() as app:
            return [await app.service(method, path, body, **headers) for method, path, body in requests]

    return asyncio.run(run())


def put(name: str, attestation: Any = None) -> tuple[str, str, Any]:
    attestation = attestation or {"type": "symmetricKey"}
    return "PUT", f"/enrollments/{name}", {"registrationId": name, "attestation": attestation}


def test_create_and_get_of_a_symmetric_key_enrollment() -> None:
    created, got = service(put("a"), ("GET", "/enrollments/a", None))
    observed = SERVICE["put_enrollment_symmetric_key"]["response"]
    assert created.status == observed["status"]
    assert_like("put_enrollment_symmetric_key", observed["body"], created.json())
    observed = SERVICE["get_enrollment_never_registered"]["response"]
    assert got.status == observed["status"]
    assert_like("get_enrollment_never_registered", observed["body"], got.json())
    assert ETAG.match(created.json()["etag"])
    assert created.json()["etag"] == got.json()["etag"]
    for name in ("createdDateTimeUtc", "lastUpdatedDateTimeUtc"):
        assert TIME.match(got.json()[name])


def test_the_attestation_mechanism_of_keys_and_of_a_tpm() -> None:
    tpm = {"type": "tpm", "tpm": {"endorsementKey": ENDORSEMENT_KEY}}
    ask = ("POST", "/enrollments/{}/attestationmechanism")
    _, keys, _, endorsed = service(
        put("a"), (ask[0], ask[1].format("a"), None), put("b", tpm), (ask[0], ask[1].format("b"), None)
    )
    shapes = SERVICE["post_attestationmechanism"]
    assert_like("response_symmetric", shapes["response_symmetric"]["body"], keys.json())
    assert_like("response_tpm", shapes["response_tpm"]["body"], endorsed.json())
    assert (keys.status, endorsed.status) == (200, 200)


def test_a_certificate_is_not_echoed_and_its_info_is_and_fills_the_secondary() -> None:
    created, got = service(put("a", x509_attestation("a")), ("GET", "/enrollments/a", None))
    observed = SERVICE["x509_echo"]["attestation"]
    for answer in (created, got):
        attestation = answer.json()["attestation"]
        assert_like("x509_echo", observed, _without_copied_info(attestation))
        pair = attestation["x509"]["clientCertificates"]
        assert pair["primary"] == pair["secondary"]
        info = pair["primary"]["info"]
        assert re.fullmatch(r"[0-9A-F]{40}", info["sha1Thumbprint"])
        assert re.fullmatch(r"[0-9A-F]{64}", info["sha256Thumbprint"])
        assert re.fullmatch(r"[0-9A-F]+", info["serialNumber"])
        assert (info["subjectName"], info["issuerName"], info["version"]) == ("CN=a", "CN=a", 3)
        for name in ("notBeforeUtc", "notAfterUtc"):
            assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", info[name])


def _without_copied_info(attestation: Any) -> Any:
    pair = attestation["x509"]["clientCertificates"]
    return {**attestation, "x509": {"clientCertificates": {**pair, "secondary": {"info": "<same as primary>"}}}}


def test_bulk_create_and_bulk_update_without_etags() -> None:
    items = [{"registrationId": name, "attestation": {"type": "symmetricKey"}} for name in "ab"]
    created, updated = service(
        ("POST", "/enrollments", {"enrollments": items, "mode": "create"}),
        ("POST", "/enrollments", {"enrollments": items, "mode": "update"}),
    )
    observed = SERVICE["bulk_create_ok"]["response"]
    assert (created.status, created.json()) == (observed["status"], observed["body"])
    assert list(created.json()) == list(observed["body"])
    observed = SERVICE["bulk_update_without_etag"]["response"]
    (error,) = observed["body"]["errors"]
    wanted = [{**error, "registrationId": name} for name in "ab"]
    assert (updated.status, updated.json()) == (observed["status"], {**observed["body"], "errors": wanted})
    assert list(updated.json()["errors"][0]) == list(error)


def test_a_query_of_150_comes_as_100_and_50_with_no_empty_page_behind() -> None:
    observed = SERVICE["query_default_page"]

    async def run() -> tuple[Response, Response]:
        async with Application() as app:
            for number in range(observed["response"]["of_total"]):
                await app.enroll(f"device-{number}")
            path, body = "/enrollments/query", observed["request"]["body"]
            first = await app.service("POST", path, body)
            token = first.headers["x-ms-continuation"]
            return first, await app.service("POST", path, body, x_ms_continuation=token)

    first, second = asyncio.run(run())
    assert (first.status, len(first.json())) == (200, observed["response"]["items"])
    assert (second.status, len(second.json())) == (200, observed["response"]["second_page_items"])
    assert "x-ms-continuation" not in second.headers
    assert len({one["registrationId"] for one in first.json() + second.json()}) == 150
    for page in (first, second):
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["x-ms-item-type"] == "Enrollment"
        assert not set(page.headers) & {name.lower() for name in SERVICE["query_extra_response_headers"]["_absent"]}
        for one in page.json():
            assert one["attestation"] == {"type": "symmetricKey"}
            assert "registrationState" not in one


def test_pages_of_the_size_that_was_asked_for_and_none_behind_a_full_last_one() -> None:
    async def run() -> list[Response]:
        async with Application() as app:
            for number in range(4):
                await app.enroll(f"device-{number}")
            path, body = "/enrollments/query", {"query": "select *"}
            first = await app.service("POST", path, body, x_ms_max_item_count="2")
            token = first.headers["x-ms-continuation"]
            second = await app.service("POST", path, body, x_ms_max_item_count="2", x_ms_continuation=token)
            return [first, second]

    first, second = asyncio.run(run())
    assert (len(first.json()), len(second.json())) == (2, 2)
    assert "x-ms-continuation" not in second.headers


def test_delete_is_204_without_body_or_content_type() -> None:
    _, deleted = service(put("a"), ("DELETE", "/enrollments/a", None))
    assert deleted.status == SERVICE["delete"]["response"]["status"]
    assert deleted.body == b""
    assert "content-type" not in deleted.headers


def test_every_answer_has_the_observed_headers() -> None:
    common = SERVICE["common_response_headers"]
    for answer in service(put("a"), ("GET", "/enrollments/a", None), ("GET", "/enrollments/b", None)):
        assert answer.headers["content-type"] == common["Content-Type"].partition(" (")[0]
        assert answer.headers["strict-transport-security"] == common["Strict-Transport-Security"]
        assert "etag" not in answer.headers


def device(settings: WorkflowSettings | None = None, key: str = KEY, **members: Any) -> tuple[Response, list[Response]]:
    """The answer to register, and those to polls until it is finished."""

    async def run() -> tuple[Response, list[Response]]:
        async with Application(settings=settings) as app:
            await app.enroll("x", attestation=SYMMETRIC, **members)
            register = await app.register("x", key)
            polls: list[Response] = []
            while register.status == 202 and (not polls or polls[-1].status == 202):
                await asyncio.sleep(0)
                path = f"/{ID_SCOPE}/registrations/x/operations/{register.json()['operationId']}"
                token = app.device_token("x", key)
                polls.append(await app.request("GET", f"{path}?api-version=2019-03-31", authorization=token))
            return register, polls

    return asyncio.run(run())


def test_register_that_takes_its_time_and_its_polls() -> None:
    register, polls = device(WorkflowSettings(azure_timing=True))
    assert register.status == 202
    assert_like("register_202", DEVICE["register_202"]["body"], register.json())
    sent_by_the_connection = {"transfer-encoding"}
    assert {name.lower() for name in DEVICE["register_202"]["headers"]} - sent_by_the_connection <= set(
        register.headers
    )
    for poll in polls[:-1]:
        assert poll.status == 202
        assert_like("poll_assigning_202", DEVICE["poll_assigning_202"]["body"], poll.json())
    assert polls[-1].status == 200
    assert_like("poll_assigned_200", DEVICE["poll_assigned_200"]["body"], polls[-1].json())


def test_a_poll_while_assigning_looks_as_observed() -> None:
    async def run() -> Response:
        async with Application(settings=WorkflowSettings(assign_wait=0.001)) as app:
            await app.enroll("x", attestation=SYMMETRIC, iotHubs=["unlinked.example"])
            register = await app.register("x", KEY)
            path = f"/{ID_SCOPE}/registrations/x/operations/{register.json()['operationId']}?api-version=2019-03-31"
            return await app.request("GET", path, authorization=app.device_token("x", KEY))

    poll = asyncio.run(run())
    assert poll.status == 202
    assert_like("poll_assigning_202", DEVICE["poll_assigning_202"]["body"], poll.json())


def test_disabled_failed_and_unauthorized_look_as_observed() -> None:
    _, disabled = device(provisioningStatus="disabled")
    assert disabled[-1].status == 200
    assert_like("poll_disabled_200", DEVICE["poll_disabled_200"]["body"], disabled[-1].json())
    _, failed = device(WorkflowSettings(hub_limit=0), iotHubs=["unlinked.example"])
    assert failed[-1].status == 200
    assert_like("poll_failed_200", DEVICE["poll_failed_200"]["body"], failed[-1].json())
    refused, _ = device(key=SYMMETRIC_OF_ANOTHER)
    assert refused.status == 401
    assert_like("unauthorized_401", DEVICE["unauthorized_401"]["body"], refused.json())
    assert refused.json()["errorCode"] == DEVICE["unauthorized_401"]["body"]["errorCode"]


SYMMETRIC_OF_ANOTHER = "YW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMgbGVuZ3RoLg=="


def test_every_observed_departure_names_a_shape() -> None:
    shapes = {"put_enrollment_symmetric_key", "poll_disabled_200"}
    assert {row["shape"] for row in deviations("observed")} == shapes
