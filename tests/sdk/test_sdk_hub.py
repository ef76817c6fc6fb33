"""The assigned device and its twin on the embedded hub, as Microsoft's two hub SDKs see and change them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sdk_documents import new_key, symmetric_key_enrollment
from sdk_drivers import SdkError

Document = dict[str, Any]
Hub = Callable[..., Any]

NODE, PYTHON = "azure-iothub", "azure-iot-hub"

TAGS: Document = {"site": {"floor": 3}, "owner": "Grüße"}
DESIRED: Document = {"interval": 10, "levels": [1, 2.5, "x", {"deep": [True]}], "nested": {"on": True}}


@pytest.fixture(params=[NODE, PYTHON])
def hub(request: pytest.FixtureRequest, deployment: Any) -> Hub:
    """Each of the two hub SDKs: `hub(operation, **arguments)`."""
    return partial(deployment.hub, request.param)


@pytest.fixture
def assigned(deployment: Any, registration_id: str, keys: Document) -> str:
    """The device id of a registered edge device with an initial twin."""
    enrollment = symmetric_key_enrollment(
        registration_id,
        keys,
        deviceId=f"{registration_id}-on-hub",
        initialTwin={"tags": TAGS, "properties": {"desired": DESIRED}},
        capabilities={"iotEdge": True},
    )
    deployment.service().put(enrollment)
    return str(deployment.register(registration_id, keys["primaryKey"])["deviceId"])


def identity(device_id: str, **members: Any) -> Document:
    keys = {"primaryKey": new_key(), "secondaryKey": new_key()}
    return {
        "deviceId": device_id,
        "status": "enabled",
        "authentication": {"type": "sas", "symmetricKey": keys},
        **members,
    }


def without_dollars(collection: Document) -> Document:
    return {name: value for name, value in collection.items() if not name.startswith("$")}


def test_the_assigned_device_has_the_enrollments_keys(hub: Hub, assigned: str, keys: Document) -> None:
    device = hub("get_device", device_id=assigned)

    assert device["deviceId"] == assigned
    assert device["status"] == "enabled"
    assert device["authentication"]["type"] == "sas"
    assert device["authentication"]["symmetricKey"] == keys
    assert device["capabilities"]["iotEdge"] is True
    assert device["generationId"]
    assert device["etag"]


def test_the_initial_twin_has_arrived(hub: Hub, assigned: str) -> None:
    twin = hub("get_twin", device_id=assigned)

    assert twin["deviceId"] == assigned
    assert twin["tags"] == TAGS
    desired = twin["properties"]["desired"]
    assert without_dollars(desired) == DESIRED
    assert desired["$version"] == 1
    assert set(desired["$metadata"]) >= {"$lastUpdated", *DESIRED}
    assert without_dollars(twin["properties"]["reported"]) == {}


def test_a_device_without_initial_twin_has_an_empty_one(
    deployment: Any, hub: Hub, registration_id: str, keys: Document
) -> None:
    deployment.service().put(symmetric_key_enrollment(registration_id, keys))
    deployment.register(registration_id, keys["primaryKey"])

    twin = hub("get_twin", device_id=registration_id)

    assert without_dollars(twin["properties"]["desired"]) == {}
    assert not twin.get("tags")
    assert hub("get_device", device_id=registration_id)["capabilities"]["iotEdge"] is False


def test_registering_again_leaves_the_twin_alone(
    deployment: Any, hub: Hub, registration_id: str, assigned: str, keys: Document
) -> None:
    changed = hub("update_twin", device_id=assigned, patch={"properties": {"desired": {"interval": 99}}}, etag="*")

    deployment.register(registration_id, keys["primaryKey"])

    twin = hub("get_twin", device_id=assigned)
    assert twin["properties"]["desired"]["interval"] == 99
    assert twin["etag"] == changed["etag"]


def test_a_device_deleted_by_hand_is_made_again(
    deployment: Any, hub: Hub, registration_id: str, assigned: str, keys: Document
) -> None:
    hub("delete_device", device_id=assigned)
    with pytest.raises(SdkError) as gone:
        hub("get_device", device_id=assigned)
    assert gone.value.status == 404

    deployment.register(registration_id, keys["primaryKey"])

    assert hub("get_device", device_id=assigned)["authentication"]["symmetricKey"] == keys
    assert without_dollars(hub("get_twin", device_id=assigned)["properties"]["desired"]) == DESIRED


def test_the_device_registered_with_the_secondary_key(
    deployment: Any, hub: Hub, registration_id: str, keys: Document
) -> None:
    deployment.service().put(symmetric_key_enrollment(registration_id, keys))
    deployment.register(registration_id, keys["secondaryKey"])

    found = hub("get_device", device_id=registration_id)["authentication"]["symmetricKey"]

    assert {found["primaryKey"], found["secondaryKey"]} == set(keys.values())


def test_identities_are_created_read_updated_and_deleted(hub: Hub, registration_id: str) -> None:
    device = identity(registration_id, capabilities={"iotEdge": True})

    created = hub("create_device", device=device)
    assert created["authentication"]["symmetricKey"] == device["authentication"]["symmetricKey"]
    assert created["capabilities"]["iotEdge"] is True
    assert hub("get_device", device_id=registration_id)["etag"] == created["etag"]

    updated = hub("update_device", device={**device, "status": "disabled"})
    assert updated["status"] == "disabled"
    assert updated["etag"] != created["etag"]
    assert updated["generationId"] == created["generationId"]

    hub("delete_device", device_id=registration_id)
    with pytest.raises(SdkError) as gone:
        hub("get_device", device_id=registration_id)
    assert gone.value.status == 404
    assert gone.value.body is not None
    assert "DeviceNotFound" in json.loads(gone.value.body)["Message"]


def test_keys_are_generated_for_an_identity(hub: Hub, registration_id: str) -> None:
    device = identity(registration_id)
    device["authentication"]["symmetricKey"] = {"primaryKey": "", "secondaryKey": ""}

    made = hub("create_device", device=device)["authentication"]["symmetricKey"]

    assert made["primaryKey"]
    assert made["secondaryKey"]
    assert made["primaryKey"] != made["secondaryKey"]


def test_an_existing_identity_is_not_created_again(hub: Hub, registration_id: str) -> None:
    hub("create_device", device=identity(registration_id))

    with pytest.raises(SdkError) as refused:
        hub("create_device", device=identity(registration_id))

    assert refused.value.status == 409
    assert refused.value.body is not None
    assert "DeviceAlreadyExists" in json.loads(refused.value.body)["Message"]


def test_node_names_the_hubs_errors(deployment: Any, registration_id: str) -> None:
    with pytest.raises(SdkError) as missing:
        deployment.hub(NODE, "get_device", device_id=registration_id)
    assert missing.value.name == "DeviceNotFoundError"

    deployment.hub(NODE, "create_device", device=identity(registration_id))
    with pytest.raises(SdkError) as existing:
        deployment.hub(NODE, "create_device", device=identity(registration_id))
    assert existing.value.name == "DeviceAlreadyExistsError"


def test_a_stale_etag_is_refused(deployment: Any, registration_id: str) -> None:
    hub = partial(deployment.hub, PYTHON)
    device = identity(registration_id)
    stale = hub("create_device", device=device)["etag"]
    hub("update_device", device={**device, "status": "disabled"}, etag=stale)

    with pytest.raises(SdkError) as update:
        hub("update_device", device=device, etag=stale)
    with pytest.raises(SdkError) as delete:
        hub("delete_device", device_id=registration_id, etag=stale)

    assert (update.value.status, delete.value.status) == (412, 412)
    assert hub("get_device", device_id=registration_id)["status"] == "disabled"


def test_a_twin_is_patched(hub: Hub, assigned: str) -> None:
    before = hub("get_twin", device_id=assigned)
    patch = {"tags": {"site": {"room": "b"}}, "properties": {"desired": {"interval": None, "added": [1]}}}

    after = hub("update_twin", device_id=assigned, patch=patch, etag=before["etag"])

    assert after["tags"] == {**TAGS, "site": {"floor": 3, "room": "b"}}
    expected = {name: value for name, value in DESIRED.items() if name != "interval"} | {"added": [1]}
    assert without_dollars(after["properties"]["desired"]) == expected
    assert after["properties"]["desired"]["$version"] == before["properties"]["desired"]["$version"] + 1
    with pytest.raises(SdkError) as refused:
        hub("update_twin", device_id=assigned, patch=patch, etag=before["etag"])
    assert refused.value.status == 412


def test_a_twin_is_replaced(deployment: Any, assigned: str) -> None:
    twin = {"tags": {"only": 1}, "properties": {"desired": {"left": True}}}

    after = deployment.hub(PYTHON, "replace_twin", device_id=assigned, twin=twin)

    assert after["tags"] == {"only": 1}
    assert without_dollars(after["properties"]["desired"]) == {"left": True}


def test_devices_are_listed(hub: Hub, assigned: str, new_id: Callable[[], str]) -> None:
    other = new_id()
    hub("create_device", device=identity(other))

    listed = {device["deviceId"]: device for device in hub("list_devices")}

    assert {assigned, other} <= listed.keys()
    assert listed[assigned]["capabilities"]["iotEdge"] is True


def test_a_list_is_cut_off(deployment: Any, new_id: Callable[[], str]) -> None:
    for _ in range(3):
        deployment.hub(PYTHON, "create_device", device=identity(new_id()))

    assert len(deployment.hub(PYTHON, "list_devices", top=2)) == 2


def test_python_works_in_bulk(deployment: Any, new_id: Callable[[], str]) -> None:
    hub = partial(deployment.hub, PYTHON)
    devices = [identity(new_id()) for _ in range(3)]

    assert hub("bulk", mode="create", devices=devices)["isSuccessful"] is True
    found = [hub("get_device", device_id=device["deviceId"]) for device in devices]
    assert [device["authentication"]["symmetricKey"] for device in found] == [
        device["authentication"]["symmetricKey"] for device in devices
    ]

    assert hub("bulk", mode="delete", devices=devices)["isSuccessful"] is True
    with pytest.raises(SdkError):
        hub("get_device", device_id=devices[0]["deviceId"])


def test_quirk_node_writes_import_modes_with_capitals(deployment: Any, new_id: Callable[[], str]) -> None:
    hub = partial(deployment.hub, NODE)
    devices = [identity(new_id()) for _ in range(2)]

    assert hub("add_devices", devices=devices)["isSuccessful"] is True
    disabled = [{**device, "status": "disabled"} for device in devices]
    assert hub("update_devices", devices=disabled, force=True)["isSuccessful"] is True
    assert hub("get_device", device_id=devices[0]["deviceId"])["status"] == "disabled"
    assert hub("remove_devices", devices=devices, force=True)["isSuccessful"] is True
    with pytest.raises(SdkError):
        hub("get_device", device_id=devices[0]["deviceId"])


def test_a_wrong_hub_policy_key_is_refused(deployment: Any, registration_id: str) -> None:
    parts = dict(part.split("=", 1) for part in deployment.ready.hub_connection_string.split(";"))
    stranger = ";".join(f"{name}={value}" for name, value in {**parts, "SharedAccessKey": new_key()}.items())

    for driver in (deployment.node, deployment.python):
        with pytest.raises(SdkError) as refused:
            driver.call("hub.get_device", connection_string=stranger, device_id=registration_id)
        assert refused.value.status == 401


def test_quirk_any_etag_comes_in_quotes(hub: Hub, registration_id: str) -> None:
    # Both SDKs send If-Match: "*" where the caller gives no etag.
    device = identity(registration_id)
    hub("create_device", device=device)

    assert hub("update_device", device={**device, "status": "disabled"})["status"] == "disabled"
    hub("delete_device", device_id=registration_id)


def test_quirk_node_lists_devices_with_a_trailing_slash(deployment: Any, registration_id: str) -> None:
    deployment.hub(NODE, "create_device", device=identity(registration_id))

    assert registration_id in {device["deviceId"] for device in deployment.hub(NODE, "list_devices")}
