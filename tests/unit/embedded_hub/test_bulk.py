"""Bulk operations: each item for itself, in the modes that are published, spelled as clients spell them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
import pytest

from idscope.clock import SystemClock
from idscope.embedded_hub import BulkRegistry, Identities, Twins
from idscope.embedded_hub.documents import BulkRegistryOperationResult, ExportImportDevice
from idscope.errors import HubDeviceDefinedTwice, HubTooManyDevices
from idscope.model.document import decode, encode
from idscope.security.sealing import Sealer
from idscope.testing import MemoryStore

T = TypeVar("T")


def run(call: Awaitable[T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(20):
            return await call

    return asyncio.run(within())


class Hub:
    def __init__(self) -> None:
        store, clock = MemoryStore(), SystemClock()
        self.identities = Identities(store, Sealer(b"k" * 32), clock)
        self.twins = Twins(store, clock)
        self.registry = BulkRegistry(self.identities, self.twins)

    def bulk(self, *items: dict[str, Any]) -> BulkRegistryOperationResult:
        return run(self.registry.apply("hub", decode(msgspec.json.encode(items), list[ExportImportDevice])))

    def ids(self) -> list[str]:
        return [device.device_id for device in run(self.identities.page("hub", None, 1000))]

    def tags(self, device_id: str) -> dict[str, Any]:
        twin = msgspec.json.decode(encode(run(self.twins.get("hub", device_id))))
        return {**twin.get("tags", {}), "$desired": twin["properties"]["desired"]["$version"]}


@pytest.fixture
def hub() -> Hub:
    return Hub()


def codes(result: BulkRegistryOperationResult) -> dict[str, str]:
    return {error.device_id: error.error_code for error in result.errors}


def test_success_is_the_observed_document(hub: Hub) -> None:
    result = hub.bulk({"id": "a", "importMode": "create"}, {"id": "b", "importMode": "create"})
    assert encode(result) == b'{"isSuccessful":true,"errors":[],"warnings":[]}'
    assert hub.ids() == ["a", "b"]


def test_one_call_creates_device_and_twin(hub: Hub) -> None:
    hub.bulk({"id": "a", "importMode": "create", "tags": {"t": 1}, "properties": {"desired": {"x": 1}}})
    assert hub.tags("a") == {"t": 1, "$desired": 1}


def test_one_bad_item_does_not_touch_the_others(hub: Hub) -> None:
    hub.bulk({"id": "a", "importMode": "create"})
    result = hub.bulk(
        {"id": "a", "importMode": "create"},
        {"id": "b", "importMode": "update"},
        {"id": "c", "importMode": "create"},
        {"id": "d", "importMode": "conjure"},
        {"id": "e", "importMode": "create", "moduleId": "m"},
        {"id": "f/g", "importMode": "create"},
    )
    assert not result.is_successful
    assert codes(result) == {
        "a": "DeviceAlreadyExists",
        "b": "DeviceNotFound",
        "d": "ArgumentInvalid",
        "e": "ArgumentInvalid",
        "f/g": "ArgumentInvalid",
    }
    assert hub.ids() == ["a", "c"]


@pytest.mark.parametrize("mode", ["createOrUpdate", None])
def test_create_or_update_does_either(hub: Hub, mode: str | None) -> None:
    for status in ("enabled", "disabled"):
        item = {"id": "a", "status": status} | ({} if mode is None else {"importMode": mode})
        assert hub.bulk(item).is_successful
    assert run(hub.identities.get("hub", "a")).status == "disabled"


@pytest.mark.parametrize("member", ["eTag", "etag"])
@pytest.mark.parametrize("quotes", ["{}", '"{}"'])
def test_quirk_node_sends_the_etag_of_a_device_as_it_has_read_it(hub: Hub, member: str, quotes: str) -> None:
    hub.bulk({"id": "a", "importMode": "create"})
    etag = quotes.format(run(hub.identities.get("hub", "a")).etag)
    assert hub.bulk({"id": "a", "importMode": "updateIfMatchETag", member: etag}).is_successful
    stale = hub.bulk({"id": "a", "importMode": "updateIfMatchETag", member: etag})
    assert codes(stale) == {"a": "PreconditionFailed"}


@pytest.mark.parametrize("mode", ["Update", "Delete"])
def test_quirk_node_writes_import_modes_with_a_capital_letter(hub: Hub, mode: str) -> None:
    hub.bulk({"id": "a", "importMode": "create"})
    assert hub.bulk({"id": "a", "importMode": mode}).is_successful
    assert hub.ids() == ([] if mode == "Delete" else ["a"])


def test_a_conditional_mode_needs_an_etag(hub: Hub) -> None:
    hub.bulk({"id": "a", "importMode": "create"})
    for mode in ("updateIfMatchETag", "deleteIfMatchETag", "updateTwinIfMatchETag"):
        assert codes(hub.bulk({"id": "a", "importMode": mode})) == {"a": "ArgumentInvalid"}
    assert hub.ids() == ["a"]


def test_deletion_by_etag(hub: Hub) -> None:
    hub.bulk({"id": "a", "importMode": "create"})
    assert codes(hub.bulk({"id": "a", "importMode": "deleteIfMatchETag", "eTag": "MQ=="})) == {
        "a": "PreconditionFailed"
    }
    etag = run(hub.identities.get("hub", "a")).etag
    assert hub.bulk({"id": "a", "importMode": "deleteIfMatchETag", "eTag": etag}).is_successful
    assert hub.ids() == []


def test_twins_are_patched_with_and_without_etag(hub: Hub) -> None:
    hub.bulk({"id": "a", "importMode": "create", "tags": {"t": 1}})
    assert hub.bulk({"id": "a", "importMode": "updateTwin", "tags": {"u": 2}}).is_successful
    stale = {"id": "a", "importMode": "updateTwinIfMatchETag", "twinETag": "AAAAAAAAAAE=", "tags": {"v": 3}}
    assert codes(hub.bulk(stale)) == {"a": "PreconditionFailed"}
    assert hub.bulk({**stale, "twinETag": "AAAAAAAAAAI="}).is_successful
    assert hub.tags("a") == {"t": 1, "u": 2, "v": 3, "$desired": 1}


def test_an_update_leaves_the_twin_alone(hub: Hub) -> None:
    hub.bulk({"id": "a", "importMode": "create", "tags": {"t": 1}})
    assert hub.bulk({"id": "a", "importMode": "update", "tags": {"t": 2}}).is_successful
    assert hub.tags("a") == {"t": 1, "$desired": 1}


def test_a_device_named_twice_is_refused_before_anything_is_done(hub: Hub) -> None:
    with pytest.raises(HubDeviceDefinedTwice):
        hub.bulk({"id": "a", "importMode": "create"}, {"id": "a", "importMode": "delete"})
    assert hub.ids() == []


def test_a_hundred_devices_and_not_one_more(hub: Hub) -> None:
    items = [{"id": f"d{number}", "importMode": "create"} for number in range(101)]
    with pytest.raises(HubTooManyDevices):
        hub.bulk(*items)
    assert hub.bulk(*items[:100]).is_successful
    assert len(hub.ids()) == 100
