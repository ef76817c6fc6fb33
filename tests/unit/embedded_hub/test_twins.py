"""Twins: the observed documents, what patches and replacements change, and who wins a race."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
import pytest
from msgspec import Raw

from idscope.clock import MICROSECONDS
from idscope.embedded_hub import Identities, Twins
from idscope.embedded_hub.documents import DeviceChange, Twin, TwinChange
from idscope.errors import (
    HubArgumentInvalid,
    HubDeviceNotFound,
    HubPreconditionFailed,
    HubTwinTooLarge,
    MalformedJson,
)
from idscope.model.device_identity import TwinContent
from idscope.model.document import decode, encode
from idscope.model.etag import ABSENT, PRESENT, Matches
from idscope.security.sealing import Sealer
from idscope.testing import MemoryStore

T = TypeVar("T")


class StoppedClock:
    """2021-07-07T20:45:26Z, until a test moves it."""

    def __init__(self) -> None:
        self.moment = 1625690726 * MICROSECONDS

    def now(self) -> int:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    async def wait(self, until: float) -> None:
        raise NotImplementedError


CREATED = "2021-07-07T20:45:26Z"
LATER = "2021-07-07T20:45:27Z"


class Hub:
    """One hub, called without an event loop."""

    def __init__(self) -> None:
        self.clock = StoppedClock()
        self.store = MemoryStore()
        self.identities = Identities(self.store, Sealer(b"k" * 32), self.clock)
        self.twins = Twins(self.store, self.clock)

    def create(self, tags: bytes = b"{}", desired: bytes = b"{}") -> None:
        content = TwinContent(Raw(tags), Raw(desired))
        run(self.identities.create_or_update("hub", "d1", DeviceChange(), ABSENT, content))
        self.clock.moment += MICROSECONDS

    def get(self) -> dict[str, Any]:
        return shown(run(self.twins.get("hub", "d1")))

    def patch(self, body: bytes, etag: str | None = None) -> dict[str, Any]:
        expect = PRESENT if etag is None else Matches(etag)
        return shown(run(self.twins.patch("hub", "d1", decode(body, TwinChange), expect)))

    def replace(self, body: bytes, etag: str | None = None) -> dict[str, Any]:
        expect = PRESENT if etag is None else Matches(etag)
        return shown(run(self.twins.replace("hub", "d1", decode(body, TwinChange), expect)))

    def report(self, body: bytes) -> int:
        return run(self.twins.patch_reported("hub", "d1", Raw(body)))


def run(call: Awaitable[T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(20):
            return await call

    return asyncio.run(within())


def shown(twin: Twin) -> dict[str, Any]:
    return msgspec.json.decode(encode(twin), type=dict[str, Any])


@pytest.fixture
def hub() -> Hub:
    return Hub()


def test_a_new_twin_is_the_observed_document(hub: Hub) -> None:
    hub.create()
    device = run(hub.identities.get("hub", "d1"))
    empty = {"$metadata": {"$lastUpdated": CREATED}, "$version": 1}
    assert hub.get() == {
        "deviceId": "d1",
        "etag": "AAAAAAAAAAE=",
        "deviceEtag": device.etag,
        "status": "enabled",
        "statusUpdateTime": "0001-01-01T00:00:00Z",
        "connectionState": "Disconnected",
        "lastActivityTime": "0001-01-01T00:00:00Z",
        "cloudToDeviceMessageCount": 0,
        "authenticationType": "sas",
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
        "version": 2,
        "properties": {"desired": empty, "reported": empty},
        "capabilities": {"iotEdge": False},
    }


def test_an_initial_twin_stands_at_version_1_with_its_values(hub: Hub) -> None:
    hub.create(b'{"site":"north"}', b'{"rate":1.10}')
    twin = hub.get()
    assert twin["tags"] == {"site": "north"}
    assert (twin["etag"], twin["version"]) == ("AAAAAAAAAAE=", 2)
    mark = {"$lastUpdated": CREATED, "$lastUpdatedVersion": 1}
    assert twin["properties"]["desired"] == {"rate": 1.1, "$metadata": {**mark, "rate": mark}, "$version": 1}


def test_desired_values_are_shown_byte_for_byte(hub: Hub) -> None:
    hub.create(b'{"v":1.0}', b'{"rate":1.10,"big":12345678901234567890123,"text":"\\u0061"}')
    body = encode(run(hub.twins.get("hub", "d1")))
    assert b'"rate":1.10,"big":12345678901234567890123,"text":"\\u0061"' in body
    assert b'"tags":{"v":1.0}' in body


def test_a_patch_of_desired_is_as_observed(hub: Hub) -> None:
    hub.create()
    twin = hub.patch(b'{"properties":{"desired":{"key":"value"}}}')
    mark = {"$lastUpdated": LATER, "$lastUpdatedVersion": 2}
    assert (twin["etag"], twin["version"]) == ("AAAAAAAAAAI=", 3)
    assert twin["properties"]["desired"] == {"key": "value", "$metadata": {**mark, "key": mark}, "$version": 2}
    assert twin == hub.get()


def test_a_patch_removes_what_is_null_and_keeps_the_rest(hub: Hub) -> None:
    hub.create(b'{"a":1,"b":{"c":2,"d":3}}', b'{"x":1,"y":2}')
    twin = hub.patch(b'{"tags":{"b":{"c":null},"e":5},"properties":{"desired":{"x":null,"missing":null}}}')
    assert twin["tags"] == {"a": 1, "b": {"d": 3}, "e": 5}
    assert {name for name in twin["properties"]["desired"] if name[0] != "$"} == {"y"}
    assert "x" not in twin["properties"]["desired"]["$metadata"]


def test_a_patch_of_tags_leaves_the_version_of_desired(hub: Hub) -> None:
    hub.create()
    twin = hub.patch(b'{"tags":{"a":1}}')
    assert (twin["etag"], twin["version"], twin["properties"]["desired"]["$version"]) == ("AAAAAAAAAAI=", 3, 1)


@pytest.mark.parametrize("body", [b"{}", b'{"tags":{}}', b'{"properties":{"desired":{}}}', b'{"properties":null}'])
def test_a_patch_of_nothing_changes_nothing(hub: Hub, body: bytes) -> None:
    hub.create()
    before = hub.get()
    assert hub.patch(body) == before


def test_quirk_a_patch_may_be_the_whole_twin(hub: Hub) -> None:
    """Observed of .NET: it sends back what it has read, with `$metadata`, `$version` and reported properties."""
    hub.create(b'{"a":1}', b'{"x":1}')
    hub.report(b'{"r":1}')
    whole = hub.get()
    whole["properties"]["reported"]["r"] = 2
    twin = hub.patch(msgspec.json.encode(whole), whole["etag"])
    assert twin["tags"] == {"a": 1}
    desired, reported = twin["properties"]["desired"], twin["properties"]["reported"]
    assert (desired["x"], desired["$version"], reported["r"], reported["$version"]) == (1, 2, 1, 2)


def test_a_replacement_leaves_nothing_of_what_was(hub: Hub) -> None:
    hub.create(b'{"a":1}', b'{"x":1,"y":{"z":2}}')
    twin = hub.replace(b'{"tags":{"b":2},"properties":{"desired":{"y":{"w":3,"n":null}}}}')
    mark = {"$lastUpdated": LATER, "$lastUpdatedVersion": 2}
    assert twin["tags"] == {"b": 2}
    assert twin["properties"]["desired"] == {
        "y": {"w": 3},
        "$metadata": {**mark, "y": {**mark, "w": mark}},
        "$version": 2,
    }
    assert (twin["etag"], twin["version"]) == ("AAAAAAAAAAI=", 3)


def test_what_a_replacement_leaves_out_stays(hub: Hub) -> None:
    hub.create(b'{"a":1}', b'{"x":1}')
    twin = hub.replace(b'{"tags":{}}')
    assert "tags" not in twin
    assert twin["properties"]["desired"]["x"] == 1
    assert twin["properties"]["desired"]["$version"] == 1


def test_another_etag_is_refused_in_the_observed_words(hub: Hub) -> None:
    hub.create()
    for call in (hub.patch, hub.replace):
        with pytest.raises(HubPreconditionFailed) as refusal:
            call(b'{"tags":{"a":1}}', "AAAAAAAAAAk=")
        assert refusal.value.message == "ETag mismatch for device ID 'd1'"
    assert hub.patch(b'{"tags":{"a":1}}', "AAAAAAAAAAE=")["etag"] == "AAAAAAAAAAI="


def test_reports_raise_the_version_and_leave_the_etag(hub: Hub) -> None:
    hub.create()
    assert hub.report(b'{"battery":55,"gone":1}') == 2
    assert hub.report(b'{"gone":null,"$version":9}') == 3
    twin = hub.get()
    assert (twin["etag"], twin["version"]) == ("AAAAAAAAAAE=", 4)
    mark = {"$lastUpdated": twin["properties"]["reported"]["$metadata"]["$lastUpdated"]}
    first = {"$lastUpdated": LATER}
    assert twin["properties"]["reported"] == {"battery": 55, "$metadata": {**mark, "battery": first}, "$version": 3}
    assert mark["$lastUpdated"] == "2021-07-07T20:45:27.000001Z"  # the clock stands, a row's times do not


@pytest.mark.parametrize(
    "body",
    [
        b'{"tags":1}',
        b'{"tags":[]}',
        b'{"properties":{"desired":"x"}}',
        b'{"tags":{"a.b":1}}',
        b'{"properties":{"desired":{"a":{"$b":1}}}}',
    ],
)
def test_bad_content_is_refused_and_changes_nothing(hub: Hub, body: bytes) -> None:
    hub.create()
    before = hub.get()
    for call in (hub.patch, hub.replace):
        with pytest.raises(HubArgumentInvalid):
            call(body)
    assert hub.get() == before


@pytest.mark.parametrize("depth", [12, 400, 900])
def test_deep_nesting_is_refused_before_it_is_walked(hub: Hub, depth: int) -> None:
    hub.create()
    deep = b'{"n":' * depth + b"1" + b"}" * depth
    for call in (hub.patch, hub.replace):
        with pytest.raises((HubArgumentInvalid, MalformedJson)):
            call(b'{"tags":' + deep + b"}")
    with pytest.raises(HubArgumentInvalid):
        hub.report(deep)
    content = TwinContent(Raw(deep))
    with pytest.raises(HubArgumentInvalid):
        run(hub.identities.create_or_update("hub", "d2", DeviceChange(), ABSENT, content))


def test_limits_hold_for_what_a_patch_makes_of_it(hub: Hub) -> None:
    """8 KB of tags, 32 KB of desired and of reported properties (published)."""
    hub.create()
    piece = b'"%s":"' + b"v" * 4000 + b'"'
    hub.patch(b'{"tags":{' + piece % b"a" + b"," + piece % b"b" + b"}}")
    with pytest.raises(HubTwinTooLarge) as refusal:
        hub.patch(b'{"tags":{' + piece % b"c" + b"}}")
    assert refusal.value.message == "'Tags' size should be less than 8192 bytes."
    eight = b",".join(piece % name for name in b"a b c d e f g h".split())
    hub.patch(b'{"properties":{"desired":{' + eight + b"}}}")
    hub.report(b"{" + eight + b"}")
    with pytest.raises(HubTwinTooLarge):
        hub.patch(b'{"properties":{"desired":{' + piece % b"i" + b"}}}")
    with pytest.raises(HubTwinTooLarge):
        hub.report(b"{" + piece % b"i" + b"}")


def test_an_unknown_device_has_no_twin(hub: Hub) -> None:
    for call in (hub.get, lambda: hub.patch(b"{}"), lambda: hub.replace(b"{}"), lambda: hub.report(b"{}")):
        with pytest.raises(HubDeviceNotFound):
            call()


def test_of_many_writers_none_is_lost(hub: Hub) -> None:
    hub.create()

    async def race() -> None:
        await asyncio.gather(
            *(hub.twins.patch("hub", "d1", TwinChange(tags=Raw(b'{"t%d":1}' % number))) for number in range(8)),
            *(hub.twins.patch_reported("hub", "d1", Raw(b'{"r%d":1}' % number)) for number in range(8)),
        )

    run(race())
    twin = hub.get()
    assert twin["tags"] == {f"t{number}": 1 for number in range(8)}
    assert (twin["version"], twin["properties"]["reported"]["$version"]) == (2 + 16, 1 + 8)


def test_of_many_writers_on_one_etag_one_wins(hub: Hub) -> None:
    hub.create()

    async def race() -> list[object]:
        change = TwinChange(tags=Raw(b'{"a":1}'))
        calls = [hub.twins.patch("hub", "d1", change, Matches("AAAAAAAAAAE=")) for _ in range(8)]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    ends = run(race())
    assert sum(isinstance(one, HubPreconditionFailed) for one in ends) == 7
    assert sum(isinstance(one, Twin) for one in ends) == 1
