"""Device identities: what the hub makes, keeps, changes and refuses. Shapes are those observed of the live hub."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
import pytest
from msgspec import Raw

from idscope.clock import SystemClock
from idscope.embedded_hub import Identities, Twins
from idscope.embedded_hub.documents import (
    AuthenticationMechanism,
    DeviceCapabilities,
    DeviceChange,
    SymmetricKey,
    X509Thumbprint,
)
from idscope.errors import (
    HubArgumentInvalid,
    HubDeviceExists,
    HubDeviceNotFound,
    HubPreconditionFailed,
    HubUnavailable,
)
from idscope.model.device_identity import TwinContent
from idscope.model.document import encode_revealing
from idscope.model.etag import ABSENT, ANYTHING, PRESENT, Matches
from idscope.secret import Secret
from idscope.security.sealing import Sealer
from idscope.storage import HubDeviceRow, HubTwinRow, Key, Put, Unit
from idscope.testing import MemoryStore

T = TypeVar("T")
KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
OTHER_KEY = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="


def run(call: Awaitable[T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(20):
            return await call

    return asyncio.run(within())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def identities(store: MemoryStore) -> Identities:
    return Identities(store, Sealer(b"k" * 32), SystemClock())


def sas(primary: str | None, secondary: str | None) -> DeviceChange:
    keys = SymmetricKey(
        primary_key=None if primary is None else Secret(primary),
        secondary_key=None if secondary is None else Secret(secondary),
    )
    return DeviceChange(authentication=AuthenticationMechanism(type="sas", symmetric_key=keys))


def keys_of(document: object) -> tuple[str, str]:
    shown = msgspec.json.decode(encode_revealing(document))["authentication"]["symmetricKey"]
    return shown["primaryKey"], shown["secondaryKey"]


def test_a_new_device_has_the_observed_document(identities: Identities) -> None:
    device = run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    shown = msgspec.json.decode(encode_revealing(device))
    primary, secondary = keys_of(device)
    assert shown == {
        "deviceId": "d1",
        "generationId": device.generation_id,
        "etag": device.etag,
        "connectionState": "Disconnected",
        "status": "enabled",
        "statusReason": None,
        "connectionStateUpdatedTime": "0001-01-01T00:00:00Z",
        "statusUpdatedTime": "0001-01-01T00:00:00Z",
        "lastActivityTime": "0001-01-01T00:00:00Z",
        "cloudToDeviceMessageCount": 0,
        "authentication": {
            "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary},
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
            "type": "sas",
        },
        "capabilities": {"iotEdge": False},
    }
    assert list(shown)[:6] == ["deviceId", "generationId", "etag", "connectionState", "status", "statusReason"]
    assert re.fullmatch(r"\d{18}", device.generation_id)
    assert base64.b64decode(device.etag).isdigit()
    assert primary != secondary
    assert len(base64.b64decode(primary)) == len(base64.b64decode(secondary)) == 32


def test_keys_are_sealed_and_not_in_the_stored_document(identities: Identities, store: MemoryStore) -> None:
    run(identities.create_or_update("hub", "d1", sas(KEY, OTHER_KEY), ABSENT))
    [row] = run(store.fetch([Key(HubDeviceRow, ("hub", "d1"))]))
    assert KEY not in row.sealed
    assert KEY.encode() not in row.document
    assert keys_of(run(identities.get("hub", "d1"))) == (KEY, OTHER_KEY)


def test_a_sealed_key_moved_to_another_device_does_not_open(identities: Identities, store: MemoryStore) -> None:
    for name in ("d1", "d2"):
        run(identities.create_or_update("hub", name, DeviceChange(), ABSENT))
    one, two = run(store.fetch([Key(HubDeviceRow, ("hub", name)) for name in ("d1", "d2")]))
    run(store.commit(Unit.of(Put(msgspec.structs.replace(two, sealed=one.sealed)))))
    with pytest.raises(HubUnavailable):
        run(identities.get("hub", "d2"))


@pytest.mark.parametrize("claimed", [sas(None, None), sas("", ""), DeviceChange(), sas(KEY, None)])
def test_keys_that_are_not_given_stay(identities: Identities, claimed: DeviceChange) -> None:
    run(identities.create_or_update("hub", "d1", sas(KEY, OTHER_KEY), ABSENT))
    run(identities.create_or_update("hub", "d1", claimed, PRESENT))
    assert keys_of(run(identities.get("hub", "d1"))) == (KEY, OTHER_KEY)


@pytest.mark.parametrize("key", ["not base64!", "AQEBAQEBAQEBAQEBAQEB", base64.b64encode(b"x" * 65).decode()])
def test_bad_keys_are_refused_and_not_repeated(identities: Identities, key: str) -> None:
    with pytest.raises(HubArgumentInvalid) as refusal:
        run(identities.create_or_update("hub", "d1", sas(key, KEY), ABSENT))
    assert key not in refusal.value.message


@pytest.mark.parametrize("size", [16, 64])
def test_the_published_key_sizes_are_accepted(identities: Identities, size: int) -> None:
    key = base64.b64encode(b"k" * size).decode()
    assert keys_of(run(identities.create_or_update("hub", "d1", sas(key, key), ABSENT))) == (key, key)


@pytest.mark.parametrize("thumbprint", ["0A" * 20, "0a" * 32])
def test_thumbprints_of_both_hashes_are_kept_as_spelled(identities: Identities, thumbprint: str) -> None:
    claimed = AuthenticationMechanism(type="selfSigned", x509_thumbprint=X509Thumbprint(primary_thumbprint=thumbprint))
    device = run(identities.create_or_update("hub", "d1", DeviceChange(authentication=claimed), ABSENT))
    assert msgspec.json.decode(encode_revealing(device.authentication)) == {
        "symmetricKey": {"primaryKey": None, "secondaryKey": None},
        "x509Thumbprint": {"primaryThumbprint": thumbprint, "secondaryThumbprint": None},
        "type": "selfSigned",
    }


@pytest.mark.parametrize(
    "claimed",
    [
        AuthenticationMechanism(type="selfSigned"),
        AuthenticationMechanism(type="selfSigned", x509_thumbprint=X509Thumbprint(primary_thumbprint="0A" * 19)),
        AuthenticationMechanism(type="magic"),
    ],
)
def test_other_authentication_is_refused(identities: Identities, claimed: AuthenticationMechanism) -> None:
    with pytest.raises(HubArgumentInvalid):
        run(identities.create_or_update("hub", "d1", DeviceChange(authentication=claimed), ABSENT))


@pytest.mark.parametrize("device_id", ["", "a/b", "a b", "é", "x" * 129])
def test_ids_outside_the_grammar_are_refused(identities: Identities, device_id: str) -> None:
    with pytest.raises(HubArgumentInvalid):
        run(identities.create_or_update("hub", device_id, DeviceChange(), ABSENT))


def test_absent_refuses_in_the_observed_words(identities: Identities) -> None:
    run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    with pytest.raises(HubDeviceExists) as refusal:
        run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    assert refusal.value.message == "A device with ID 'd1' is already registered."


def test_a_stale_etag_is_refused_in_the_observed_words(identities: Identities) -> None:
    device = run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    stale = base64.b64encode(b"343060356").decode()
    with pytest.raises(HubPreconditionFailed) as refusal:
        run(identities.create_or_update("hub", "d1", DeviceChange(), Matches(stale)))
    existing = base64.b64decode(device.etag).decode()
    assert refusal.value.message == (
        f"Precondition failed: Device version did not match, existingVersion:{existing} newVersion:343060356"
    )


def test_an_etag_of_nobody_s_making_is_only_a_mismatch(identities: Identities) -> None:
    run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    with pytest.raises(HubPreconditionFailed):
        run(identities.delete("hub", "d1", Matches("no base64 é")))


def test_an_unknown_device_is_refused_by_its_id(identities: Identities) -> None:
    with pytest.raises(HubDeviceNotFound) as refusal:
        run(identities.get("hub", "d1"))
    assert refusal.value.message == "d1"
    for call in (
        identities.create_or_update("hub", "d1", DeviceChange(), PRESENT),
        identities.create_or_update("hub", "d1", DeviceChange(), Matches("MQ==")),
        identities.delete("hub", "d1", PRESENT),
    ):
        with pytest.raises(HubDeviceNotFound):
            run(call)


def test_hubs_do_not_see_each_other(identities: Identities) -> None:
    run(identities.create_or_update("one", "d1", DeviceChange(), ABSENT))
    assert run(identities.find("two", "d1")) is None
    assert run(identities.page("two", None, 10)) == []


def test_a_change_of_status_is_timed_and_any_other_is_not(identities: Identities) -> None:
    created = run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    same = run(identities.create_or_update("hub", "d1", DeviceChange(status="enabled"), PRESENT))
    disabled = run(
        identities.create_or_update("hub", "d1", DeviceChange(status="Disabled", status_reason="lost"), PRESENT)
    )
    assert same.status_updated_time == created.status_updated_time == "0001-01-01T00:00:00Z"
    assert (disabled.status, disabled.status_reason) == ("disabled", "lost")
    assert disabled.status_updated_time > "2020"
    kept = run(identities.create_or_update("hub", "d1", sas(KEY, KEY), PRESENT))
    assert (kept.status, kept.status_reason) == ("disabled", "lost")
    assert kept.status_updated_time == disabled.status_updated_time
    assert kept.generation_id == created.generation_id


@pytest.mark.parametrize(
    "change", [DeviceChange(status="off"), DeviceChange(status="enabled", status_reason="r" * 129)]
)
def test_a_bad_status_is_refused(identities: Identities, change: DeviceChange) -> None:
    with pytest.raises(HubArgumentInvalid):
        run(identities.create_or_update("hub", "d1", change, ABSENT))


def test_an_edge_device_has_a_scope_of_its_own(identities: Identities) -> None:
    edge = run(
        identities.create_or_update(
            "hub", "gateway", DeviceChange(capabilities=DeviceCapabilities(iot_edge=True)), ABSENT
        )
    )
    assert edge.device_scope == f"ms-azure-iot-edge://gateway-{edge.generation_id}"
    assert edge.parent_scopes == []
    leaf = run(identities.create_or_update("hub", "leaf", DeviceChange(device_scope=edge.device_scope), ABSENT))
    assert (leaf.device_scope, leaf.parent_scopes) == (edge.device_scope, [edge.device_scope])
    kept = run(identities.create_or_update("hub", "leaf", DeviceChange(), PRESENT))
    assert (kept.device_scope, kept.parent_scopes) == (edge.device_scope, [edge.device_scope])


def test_device_and_twin_come_and_go_together(identities: Identities, store: MemoryStore) -> None:
    both: list[Key[Any]] = [Key(HubDeviceRow, ("hub", "d1")), Key(HubTwinRow, ("hub", "d1"))]
    run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    assert None not in run(store.fetch(both))
    run(identities.delete("hub", "d1", ANYTHING))
    assert run(store.fetch(both)) == [None, None]


def test_a_bad_initial_twin_creates_nothing(identities: Identities) -> None:
    with pytest.raises(HubArgumentInvalid):
        run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT, TwinContent(Raw(b'{"a.b":1}'))))
    assert run(identities.find("hub", "d1")) is None


def test_a_device_created_again_is_another_generation(identities: Identities) -> None:
    first = run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    run(identities.delete("hub", "d1", PRESENT))
    second = run(identities.create_or_update("hub", "d1", DeviceChange(), ABSENT))
    assert second.generation_id != first.generation_id
    assert keys_of(second) != keys_of(first)


def test_paging_meets_each_device_once_in_the_order_of_ids(identities: Identities) -> None:
    wanted = sorted(f"d{number}" for number in range(25))
    for name in wanted:
        run(identities.create_or_update("hub", name, DeviceChange(), ABSENT))
    met: list[str] = []
    while page := run(identities.page("hub", met[-1] if met else None, 10)):
        met.extend(device.device_id for device in page)
    assert met == wanted


def test_statistics_count(identities: Identities) -> None:
    for name, status in (("a", "enabled"), ("b", "disabled"), ("c", "enabled")):
        run(identities.create_or_update("hub", name, DeviceChange(status=status), ABSENT))
    found = run(identities.statistics("hub"))
    assert (found.total_device_count, found.enabled_device_count, found.disabled_device_count) == (3, 2, 1)


def test_writers_that_expect_nothing_do_not_lose_each_other(identities: Identities, store: MemoryStore) -> None:
    """One changes the keys, one the status: both changes stand at the end, whoever came first."""

    async def race() -> None:
        await identities.create_or_update("hub", "d1", sas(KEY, KEY), ABSENT)
        await asyncio.gather(
            identities.create_or_update("hub", "d1", sas(OTHER_KEY, OTHER_KEY), ANYTHING),
            identities.create_or_update("hub", "d1", DeviceChange(status="disabled"), ANYTHING),
            Twins(store, SystemClock()).patch_reported("hub", "d1", Raw(b'{"a":1}')),
        )

    run(race())
    device = run(identities.get("hub", "d1"))
    assert (keys_of(device), device.status) == ((OTHER_KEY, OTHER_KEY), "disabled")
