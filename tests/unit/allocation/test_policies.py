"""Allocation: the shares that weights promise, little movement, and no silent assignment by another rule."""

from __future__ import annotations

from collections import Counter

import pytest

from idscope.allocation import AllocationRequest, CandidateHub, allocate
from idscope.errors import CustomAllocationFailed, NoHubAvailable

DEVICES = [f"device-{number}" for number in range(6000)]


def shares(*hubs: CandidateHub) -> Counter[str]:
    return Counter(allocate("hashed", AllocationRequest(device, hubs, named=False)) for device in DEVICES)


def test_hashed_gives_each_hub_its_weight():
    counts = shares(CandidateHub("a", 1), CandidateHub("b", 2), CandidateHub("c", 3))
    for hub, weight in (("a", 1), ("b", 2), ("c", 3)):
        expected = len(DEVICES) * weight / 6
        deviation = (len(DEVICES) * weight / 6 * (1 - weight / 6)) ** 0.5
        assert abs(counts[hub] - expected) < 5 * deviation, "five standard deviations of a fair draw"


def test_a_further_hub_takes_devices_and_moves_none_between_the_others():
    two = (CandidateHub("a"), CandidateHub("b"))
    three = (*two, CandidateHub("c"))
    for device in DEVICES[:1000]:
        before = allocate("hashed", AllocationRequest(device, two, named=False))
        after = allocate("hashed", AllocationRequest(device, three, named=False))
        assert after in {before, "c"}


def test_hashed_does_not_depend_on_the_order_of_hubs():
    hubs = (CandidateHub("a"), CandidateHub("b"), CandidateHub("c"))
    for device in DEVICES[:100]:
        request = AllocationRequest(device, hubs, named=False)
        assert allocate("hashed", request) == allocate("hashed", AllocationRequest(device, hubs[::-1], named=False))


@pytest.mark.parametrize("policy", ["hashed", "static", "geoLatency"])
def test_the_only_hub_is_the_hub(policy):
    assert allocate(policy, AllocationRequest("device", (CandidateHub("a"),), named=True)) == "a"


@pytest.mark.parametrize("policy", ["hashed", "static", "geoLatency"])
def test_no_hub_is_an_error(policy):
    with pytest.raises(NoHubAvailable):
        allocate(policy, AllocationRequest("device", (), named=False))


def test_static_takes_any_hub_when_none_is_named_and_refuses_several_names():
    hubs = (CandidateHub("a"), CandidateHub("b"))
    assert allocate("static", AllocationRequest("device", hubs, named=False)) in {"a", "b"}
    with pytest.raises(NoHubAvailable, match="exactly one"):
        allocate("static", AllocationRequest("device", hubs, named=True))


def test_what_is_not_built_never_assigns():
    hubs = (CandidateHub("a"), CandidateHub("b"))
    with pytest.raises(NoHubAvailable):
        allocate("geoLatency", AllocationRequest("device", hubs, named=False))
    with pytest.raises(CustomAllocationFailed):
        allocate("custom", AllocationRequest("device", hubs, named=False))
