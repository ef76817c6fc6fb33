"""Each refusal: the device is told what the real service says and no more, the operator why, where and what to do."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import quote

import pytest
from refused_world import (
    GROUP_KEY,
    KEY,
    REFUSALS,
    Refusal,
    World,
    derived,
    everything_kept,
    play,
    resource,
    secrets_in,
)

from idscope.errors import HubUnauthorized, HubUnavailable
from idscope.refusal import Cause
from idscope.registration.advice import ADVICE, advice_for
from idscope.registration.attempt_log import LOOKS_PER_SECOND
from idscope.testing import FakeHubConnector, FaultyHubConnector
from idscope.testing.application import ID_SCOPE, Response

each_refusal = pytest.mark.parametrize("row", REFUSALS, ids=[row.name for row in REFUSALS])


def told(answer: Response) -> tuple[Any, ...]:
    body = answer.json()
    if answer.status == 202:
        state = body["registrationState"]
        return 202, state["status"], state.get("errorCode")
    assert set(body) == {"errorCode", "trackingId", "message", "timestampUtc"}
    return answer.status, body["errorCode"], body["message"]


async def attempts_of(world: World, registration_id: str, query: str = "") -> Any:
    answer = await world.app.operator("GET", f"/admin/registrations/{quote(registration_id, safe='')}/attempts{query}")
    assert answer.status == 200, answer.body
    return answer.json()


def explained(row: Refusal) -> tuple[Response, dict[str, Any], dict[str, Any]]:
    """The device's answer, and its attempt by trackingId and by registration id."""

    async def scenario(world: World) -> Any:
        answer = await row.act(world)
        by_id = await attempts_of(world, row.registration_id)
        found = await world.app.operator("GET", f"/admin/attempts/{answer.headers['x-ms-request-id']}")
        return answer, found.json()["attempts"], by_id["attempts"]

    answer, by_tracking_id, by_registration_id = asyncio.run(play(scenario))
    [one], [other] = by_tracking_id, by_registration_id
    return answer, one, other


@each_refusal
def test_the_device_is_told_what_the_real_service_says_and_the_operator_why(row: Refusal) -> None:
    answer, attempt, same = explained(row)
    assert told(answer) == row.told
    assert attempt == same
    assert attempt["trackingId"] == answer.headers["x-ms-request-id"]
    assert attempt["cause"] == row.cause
    assert [part for part in row.why if part not in attempt["reason"]] == []
    assert row.advice in attempt["advice"]
    assert (attempt["wire"], attempt["address"]) == ("Http", "127.0.0.9")
    matched = attempt.get("enrollment")
    assert (None if matched is None else (matched["id"], matched["kind"])) == row.enrollment
    if row.passed is not None:
        assert (attempt["steps"][-1:] or [""]) == [row.passed]
    assert attempt["refusedStep"] not in attempt["steps"]


@each_refusal
def test_nothing_that_opens_a_door_is_kept_anywhere(row: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the store holds after the refusal: no key, no derived key, no token, no signature."""

    async def scenario(world: World) -> Any:
        sent: list[str] = []
        request = world.app.request

        async def noting(*arguments: Any, authorization: str | None = None, **more: Any) -> Response:
            sent.append(authorization or "")
            return await request(*arguments, authorization=authorization, **more)

        monkeypatch.setattr(world.app, "request", noting)
        await row.act(world)
        await world.app.attempts.close()
        return secrets_in(world, sent), everything_kept(world.app)

    found, kept = asyncio.run(play(scenario))
    assert kept.count("AttemptRow(") == 1
    assert not found
    assert not re.search(r"sig=[A-Za-z0-9%+/]{8}", kept)


@pytest.mark.parametrize(
    ("error", "cause", "why", "advice"),
    [
        (HubUnauthorized, "hub-refused", "Unauthorized", "finds fault with"),
        (HubUnavailable, "hub-unreachable", "The hub cannot be reached.", "runs and can be reached"),
    ],
)
def test_a_hub_that_does_not_take_the_device(error: Any, cause: str, why: str, advice: str) -> None:
    hub = FaultyHubConnector(FakeHubConnector())

    async def scenario(world: World) -> Any:
        hub.refuse_next(error)
        answer = await world.signed("device", KEY)
        return answer, (await attempts_of(world, "device"))["attempts"]

    answer, [attempt] = asyncio.run(play(scenario, connector=hub))
    assert told(answer) == (202, "failed", 400209)
    assert (attempt["verdict"], attempt["cause"]) == ("failed", cause)
    assert attempt["reason"] == f"127.0.0.1: {why}"
    assert advice in attempt["advice"]
    assert "127.0.0.1" in attempt["advice"]


def test_an_admitted_device_has_an_attempt_without_a_cause() -> None:
    async def scenario(world: World) -> Any:
        assert (await world.signed("new", derived(GROUP_KEY, "new"))).json()["status"] == "assigned"
        return await attempts_of(world, "NEW")

    document = asyncio.run(play(scenario))
    [attempt] = document["attempts"]
    assert (attempt["verdict"], attempt["enrollment"]) == ("assigned", {"id": "fleet", "kind": "group"})
    assert attempt["steps"] == ["proved by symmetricKey, primary", "placed on 127.0.0.1", "assigned"]
    assert not {"cause", "reason", "advice", "refusedStep", "errorCode"} & set(attempt)
    assert document["standing"]["registration"]["status"] == "assigned"


def test_newest_first_in_bounded_pages() -> None:
    async def scenario(world: World) -> Any:
        for number in range(7):
            world.app.clock.advance(1)
            await world.register(f"new{number % 2}", "Bearer x")
        pages, query = [], "?limit=2"
        while query:
            document = await attempts_of(world, "new0", query)
            pages.append([one["timeUtc"] for one in document["attempts"]])
            query = f"?limit=2&continuation={document['continuation']}" if "continuation" in document else ""
        return pages

    pages = asyncio.run(play(scenario))
    assert [len(page) for page in pages] == [2, 2]
    times = [time for page in pages for time in page]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == 4


def test_what_stands_is_told_where_there_was_no_attempt() -> None:
    async def scenario(world: World) -> Any:
        await world.change("/enrollments/device", provisioningStatus="disabled")
        return await attempts_of(world, "Device"), await attempts_of(world, "nobody")

    known, unknown = asyncio.run(play(scenario))
    assert known["attempts"] == unknown["attempts"] == []
    assert known["standing"] == {
        "enrollment": {"id": "device", "attestation": "symmetricKey", "enabled": False},
        "groups": [],
        "groupCount": 0,
        "underWay": False,
    }
    assert [group["id"] for group in unknown["standing"]["groups"]] == ["factory", "factory-root", "fleet", "workshop"]
    assert "enrollment" not in unknown["standing"]
    assert (known["service"], known["idScope"]) == ("idscope", ID_SCOPE)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/admin/registrations/x/attempts?limit=0", 400),
        ("/admin/registrations/x/attempts?limit=101", 400),
        ("/admin/registrations/x/attempts?limit=x", 400),
        ("/admin/registrations/x/attempts?continuation=x", 400),
        ("/admin/registrations/x/attempts?continuation=WzEsMl0=", 400),
        ("/admin/registrations/x/attempts?service=nobody", 404),
        ("/admin/registrations/x/attempts?service=IDSCOPE", 200),
        ("/admin/attempts/unknown", 404),
    ],
)
def test_bad_questions_get_a_documented_error(target: str, status: int) -> None:
    async def scenario(world: World) -> Any:
        return await world.app.operator("GET", target)

    answer = asyncio.run(play(scenario))
    assert answer.status == status
    assert status == 200 or answer.json()["errorCode"] // 1000 == status


def test_without_the_admin_token_nothing_is_told() -> None:
    async def scenario(world: World) -> Any:
        await world.register("device", "Bearer x")
        path = "/admin/registrations/device/attempts"
        return await world.app.request("GET", path, authorization=world.app.service_token())

    assert told(asyncio.run(play(scenario))) == (401, 401002, "Unauthorized")


def test_only_so_many_refusals_a_second_are_looked_at_again() -> None:
    """The others keep the plain reason: what a flood makes the server do is bounded."""

    async def scenario(world: World) -> Any:
        for _ in range(LOOKS_PER_SECOND + 5):
            await world.signed("new", GROUP_KEY)
        first = await attempts_of(world, "new", "?limit=100")
        world.app.clock.advance(1)
        await world.signed("new", GROUP_KEY)
        return first["attempts"], (await attempts_of(world, "new", "?limit=1"))["attempts"]

    first, [later] = asyncio.run(play(scenario))
    causes = [one["cause"] for one in first]
    assert causes.count("signed-with-group-key") == LOOKS_PER_SECOND
    assert causes.count("fits-no-group") == 5
    assert later["cause"] == "signed-with-group-key"


def test_the_answer_is_there_before_anything_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No guess at the key happens on the answer's path, where its time would show."""
    looked: list[str] = []

    async def scenario(world: World) -> Any:
        monkeypatch.setattr("idscope.registration.attempt_log.diagnose", lambda *_: looked.append("looked"))
        answer = await world.signed("new", GROUP_KEY)
        before = list(looked)
        await world.app.attempts.close()
        return answer, before

    answer, before = asyncio.run(play(scenario))
    assert told(answer) == (401, 401002, "Unauthorized")
    assert (before, looked) == ([], ["looked"])


def test_a_device_that_waited_has_its_end_in_its_attempt() -> None:
    hub = FaultyHubConnector(FakeHubConnector())

    async def scenario(world: World) -> Any:
        held = hub.hold_next()
        answer = await world.signed("device", KEY)
        assert answer.json()["status"] == "assigning"
        waiting = (await attempts_of(world, "device"))["attempts"]
        held.release()
        poll = f"/{resource()}/operations/{answer.json()['operationId']}?api-version=2021-06-01"
        token = world.token(resource(), KEY)
        while (await world.app.request("GET", poll, authorization=token)).json()["status"] == "assigning":
            await asyncio.sleep(0)
        return waiting, (await attempts_of(world, "device"))["attempts"]

    [waiting], [ended] = asyncio.run(play(scenario, connector=hub, assign_wait=0.0))
    assert (waiting["verdict"], ended["verdict"]) == ("assigning", "assigned")
    assert waiting["trackingId"] == ended["trackingId"]


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_says_what_to_do(cause: Cause) -> None:
    text = advice_for(cause.word, {})
    assert text.endswith(".")
    assert "{registration_id}" not in text
    assert cause in ADVICE


def test_no_two_causes_have_one_word() -> None:
    assert len({cause.word for cause in Cause}) == len(Cause)
