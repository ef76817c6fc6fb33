"""The directory: defaults, names, and a snapshot that is never older than what was read beside it."""

from __future__ import annotations

import asyncio

import pytest

from idscope.app.bootstrap import ensure_state, new_id_scope
from idscope.directory import Directory, Right
from idscope.directory.documents import LinkedHubDocument, linked_hub_row
from idscope.model.registration_id import check_registration_id
from idscope.secret import Secret
from idscope.security.sealing import CannotOpen, Sealer
from idscope.settings import Bootstrap, BootstrapHub, BootstrapPolicy
from idscope.storage import AccessPolicyRow, Key, ProvisioningServiceRow, Put, Unit
from idscope.testing import MemoryStore
from idscope.testing.manual_clock import ManualClock

SEALER = Sealer(bytes(32))
KEY = "cHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHA="


def directory(scenario, bootstrap=None, hubs=(), names=("127.0.0.1", "localhost")):
    async def inside():
        store = MemoryStore()
        await ensure_state(store, SEALER, ManualClock(), bootstrap or Bootstrap(), hubs)
        return await scenario(store, Directory(store, SEALER, names))

    return asyncio.run(inside())


async def snapshot(_, found):
    return await found.load()


def test_the_first_start_makes_one_service_with_one_hub_at_the_servers_address():
    made = directory(snapshot)
    (service,), (hub,) = made.services, made.hubs
    assert len(service.service_id) == 11
    assert service.service_id.startswith("0ne00")
    assert [(linked.hub_id, linked.host_name) for linked in service.linked_hubs] == [("embedded", "127.0.0.1")]
    assert hub.host_names == ("127.0.0.1", "localhost")
    assert set(service.policies) == {"provisioningserviceowner"}
    assert set(hub.policies) == {"iothubowner", "service", "device", "registryRead", "registryReadWrite"}
    assert hub.policies["registryRead"].rights == {Right.REGISTRY_READ}


def test_another_address_at_the_next_start_is_the_hubs_new_name():
    async def scenario(store, first):
        before = (await first.load()).services[0].linked_hubs[0]
        after = (await Directory(store, SEALER, ("127.0.0.5",)).load()).services[0].linked_hubs[0]
        return before, after

    before, after = directory(scenario)
    assert (before.hub_id, before.host_name) == ("embedded", "127.0.0.1")
    assert (after.hub_id, after.host_name) == ("embedded", "127.0.0.5")


def test_bootstrap_names_scope_keys_rights_and_hubs():
    bootstrap = Bootstrap(
        id_scope="0neABCDEFGH",
        service_policies={
            "reader": BootstrapPolicy(primary_key=Secret(KEY), rights=frozenset({Right.ENROLLMENT_READ}))
        },
        hubs=(BootstrapHub(host_name="hub.test", policies={"iothubowner": BootstrapPolicy(primary_key=Secret(KEY))}),),
    )
    made = directory(snapshot, bootstrap, hubs=("other.test",))
    service = made.services[0]
    assert service.service_id == "0neABCDEFGH"
    assert service.policies["reader"].primary_key == Secret(KEY)
    assert service.policies["reader"].rights == {Right.ENROLLMENT_READ}
    assert [hub.host_names for hub in made.hubs] == [("hub.test",), ("other.test",)]
    assert made.hubs[0].policies["iothubowner"].primary_key == Secret(KEY)
    assert made.hub_by_host("OTHER.test") is made.hubs[1]
    assert made.hub_by_host("127.0.0.1") is made.hubs[0]


def test_bootstrap_never_changes_what_exists():
    async def scenario(store, found):
        before = await found.load()
        changed = Bootstrap(
            id_scope="0neZZZZZZZZ",
            service_policies={"provisioningserviceowner": BootstrapPolicy(primary_key=Secret(KEY))},
        )
        await ensure_state(store, SEALER, ManualClock(), changed, ())
        return before, await found.load()

    before, after = directory(scenario)
    assert after == before


def test_a_service_is_found_without_regard_to_case_and_the_default_one_by_any_host():
    made = directory(snapshot, Bootstrap(id_scope="0neABCDEFGH"))
    assert made.service_by_id_scope("0NEabcdefgh") is made.services[0]
    assert made.service_by_id_scope("0neABCDEFG") is None
    assert made.service_by_host("unknown.test") is made.services[0]


def test_a_raised_revision_is_read_at_once_and_an_equal_one_is_not_read_again():
    async def scenario(store, found):
        service = (await found.load()).services[0]
        row = linked_hub_row(
            service.service_id, "second", LinkedHubDocument(connector="embedded", host_name="s.test"), 1
        )
        await store.commit(Unit.of(Put(row)))
        same = await found.as_of(service.service_id, service.revision)
        (stored,) = await store.fetch((Key(ProvisioningServiceRow, (service.service_id,)),))
        fresh = await found.as_of(service.service_id, stored.revision)
        return service.revision, stored.revision, same.services[0], fresh.services[0]

    before, after, same, fresh = directory(scenario)
    assert after == before + 1
    assert len(same.linked_hubs) == 1
    assert len(fresh.linked_hubs) == 2


def test_policies_are_sealed_and_do_not_open_with_another_key():
    async def scenario(store, found):
        key = (await found.load()).services[0].policies["provisioningserviceowner"].primary_key.reveal()
        rows = await store.page(AccessPolicyRow, (), None, 100)
        assert rows
        for row in rows:
            assert key not in row.sealed + row.document.decode()
        with pytest.raises(CannotOpen):
            await Directory(store, Sealer(bytes(range(32))), ("127.0.0.1",)).load()

    directory(scenario)


def test_id_scopes_differ_and_fit_a_path():
    scopes = {new_id_scope() for _ in range(50)}
    assert len(scopes) == 50
    for scope in scopes:
        check_registration_id(scope)
