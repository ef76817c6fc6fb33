"""The limit on failed tries at groups: what counts, who is told to come back, and whom it never touches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from refused_world import GROUP_KEY, KEY, STRANGE_KEY, World, derived, play, resource

from idscope.attestation import Candidates, Claim, Verdict, judge
from idscope.registration import group_tries
from idscope.testing.application import Response

LIMIT = 3
FIRST, SECOND = "192.0.2.1", "192.0.2.2"


class Device:
    """Devices at one address."""

    def __init__(self, world: World, address: str) -> None:
        self._world = world
        self._address = address

    async def register(self, registration_id: str, key: str, *, late: int = -3600) -> Response:
        self._world.app.peer = self._address
        return await self._world.register(registration_id, self._world.token(resource(registration_id), key, late=late))

    async def fail(self, times: int) -> list[int]:
        return [(await self.register(f"unknown-{number}", STRANGE_KEY)).status for number in range(times)]


def limited(scenario: Callable[[World, Device, Device], Awaitable[Any]], limit: int = LIMIT) -> Any:
    async def inside(world: World) -> Any:
        return await scenario(world, Device(world, FIRST), Device(world, SECOND))

    return asyncio.run(play(inside, failed_group_tries=limit))


def test_beyond_the_limit_unknown_devices_are_told_to_come_back_as_published() -> None:
    async def scenario(world: World, first: Device, second: Device) -> Any:
        before = await first.fail(LIMIT)
        answer = await first.register("new", derived(GROUP_KEY, "new"))
        return before, answer, await second.fail(1), world

    before, answer, elsewhere, _ = limited(scenario)
    assert before == [401] * LIMIT
    body = answer.json()
    assert (answer.status, body["errorCode"], body["message"]) == (
        429,
        429001,
        "Operations are being throttled for this tenant.",
    )
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["x-ms-error-code"] == "429001"
    assert set(body) == {"errorCode", "trackingId", "message", "timestampUtc"}
    assert elsewhere == [401], "another address has its own count"


def test_after_the_minute_they_are_let_in_and_the_count_begins_anew() -> None:
    async def scenario(world: World, first: Device, __: Device) -> Any:
        await first.fail(LIMIT)
        world.app.clock.advance(57)
        hints = []
        for _ in range(3):
            hints.append((await first.register("new", derived(GROUP_KEY, "new"))).headers["retry-after"])
            world.app.clock.advance(1)
        let_in = await first.register("new", derived(GROUP_KEY, "new"))
        return hints, let_in.json()["status"], await first.fail(LIMIT + 1)

    hints, status, again = limited(scenario)
    assert hints == ["3", "2", "2"], "never below what all clients take"
    assert status == "assigned"
    assert again == [401] * LIMIT + [429]


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda one: one.register("device", KEY), id="an individual enrollment"),
        pytest.param(lambda one: one.register("known", derived(GROUP_KEY, "known")), id="the group it is in"),
    ],
)
def test_who_is_never_touched(act: Callable[[Device], Awaitable[Response]]) -> None:
    async def scenario(_: World, first: Device, __: Device) -> Any:
        assert (await first.register("known", derived(GROUP_KEY, "known"))).status == 202
        await first.fail(LIMIT + 2)
        return await act(first)

    assert limited(scenario).json()["status"] == "assigned"


def test_a_wrong_key_of_an_individual_enrollment_is_401_and_does_not_count() -> None:
    async def scenario(_: World, first: Device, __: Device) -> Any:
        wrong = [(await first.register("device", STRANGE_KEY)).status for _ in range(LIMIT + 2)]
        fail = await first.fail(LIMIT + 1)
        return wrong, fail, (await first.register("device", STRANGE_KEY)).status

    assert limited(scenario) == ([401] * (LIMIT + 2), [401] * LIMIT + [429], 401)


def test_what_tries_no_key_or_fits_a_group_does_not_count() -> None:
    async def scenario(world: World, first: Device, _: Device) -> Any:
        for number in range(LIMIT + 2):
            world.app.peer = FIRST
            assert (await world.register("new", "Bearer x")).status == 401
            assert (await world.register("new", world.token(resource("old"), KEY))).status == 401
            assert (await first.register("new", derived(GROUP_KEY, "new"), late=9000)).status == 401
            assert (await first.register(f"good-{number}", derived(GROUP_KEY, f"good-{number}"))).status == 202
        return await first.fail(LIMIT + 1)

    assert limited(scenario) == [401] * LIMIT + [429]


def test_a_device_that_is_known_by_a_group_is_tried_with_that_group_only() -> None:
    """The right key of its group lets it in, a wrong one is not tried with the others."""

    async def scenario(_: World, first: Device, __: Device) -> Any:
        assert (await first.register("known", derived(GROUP_KEY, "known"))).status == 202
        await first.fail(LIMIT)
        return (await first.register("known", STRANGE_KEY)).status

    assert limited(scenario) == 429


def test_a_disabled_enrollment_is_no_way_around_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what it would, but groups are not tried for it any more."""
    tried: list[int] = []

    def noting(claim: Claim, candidates: Candidates, now: int) -> Verdict:
        tried.append(len(candidates.groups))
        return judge(claim, candidates, now)

    monkeypatch.setattr(group_tries, "judge", noting)

    async def scenario(world: World, first: Device, _: Device) -> Any:
        await world.change("/enrollments/device", provisioningStatus="disabled")
        wrong = [(await first.register("device", STRANGE_KEY)).status for _ in range(LIMIT + 1)]
        return wrong, (await first.register("device", KEY)).json()["status"]

    assert limited(scenario) == ([401] * (LIMIT + 1), "disabled")
    assert tried == [1] * LIMIT + [0, 0]


def test_without_a_limit_nobody_is_told_to_come_back() -> None:
    async def scenario(_: World, first: Device, __: Device) -> Any:
        return await first.fail(400)

    assert set(limited(scenario, limit=0)) == {401}


def test_a_throttled_attempt_says_so() -> None:
    async def scenario(world: World, first: Device, _: Device) -> Any:
        await first.fail(LIMIT)
        answer = await first.register("new", derived(GROUP_KEY, "new"))
        found = await world.app.operator("GET", f"/admin/attempts/{answer.json()['trackingId']}")
        return found.json()["attempts"]

    [attempt] = limited(scenario)
    assert (attempt["cause"], attempt["errorCode"], attempt["address"]) == ("too-many-failed-tries", 429001, FIRST)
    assert "3 tokens from 192.0.2.1 fitted no symmetric-key group within a minute" in attempt["reason"]
    assert "in 60 s" in attempt["reason"]
    assert "failed_group_tries_per_minute" in attempt["advice"]
    assert attempt["steps"][-1] == "resource of the token"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("", "x", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    async def scenario(world: World, _: Device, __: Device) -> Any:
        await Device(world, one).fail(LIMIT)
        return await Device(world, other).fail(1)

    assert limited(scenario) == [429 if same else 401]


def test_memory_is_bounded_and_the_oldest_addresses_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_tries, "MAX_ADDRESSES", 5)

    async def scenario(world: World, first: Device, second: Device) -> Any:
        await first.fail(LIMIT)
        for number in range(4):
            await Device(world, f"198.51.100.{number}").fail(1)
        still = await first.fail(1)
        await second.fail(1)
        return still, await first.fail(1), len(world.app.workflow._group_tries._windows)

    assert limited(scenario) == ([429], [401], 5)
