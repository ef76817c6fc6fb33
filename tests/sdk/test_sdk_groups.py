"""Symmetric-key enrollment groups: the service SDKs keep them, devices enter with the keys derived from theirs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from sdk_documents import derived_key, new_key, symmetric_key_enrollment, symmetric_key_group
from sdk_drivers import SdkError, ServiceSdk, Wire
from sdk_refusals import UNAUTHORIZED, refusal

Document = dict[str, Any]
NewId = Callable[[], str]

PYTHON = "azure-iot-deviceprovisioning"


@pytest.fixture
def groups(service: ServiceSdk) -> ServiceSdk:
    """Each of the three service SDKs, asked about groups."""
    return service.groups


@pytest.fixture
def group_id(new_id: NewId) -> str:
    return f"group-{new_id()}"


@pytest.fixture
def group(deployment: Any, group_id: str, keys: Document) -> str:
    """The id of an enabled group with `keys`."""
    deployment.service().groups.put(symmetric_key_group(group_id, keys))
    return group_id


def assert_refused(error: SdkError, status: int, error_code: int | None = None) -> None:
    assert error.status == status, str(error)
    assert error.body is not None
    body = json.loads(error.body)
    assert body["errorCode"] // 1000 == status
    assert error_code in {None, body["errorCode"]}
    assert body["trackingId"]


# the six operations


def test_a_group_is_created_and_read_back(groups: ServiceSdk, group_id: str, hub_host_name: str) -> None:
    members: Document = {
        "provisioningStatus": "disabled",
        "initialTwin": {"tags": {"site": {"floor": 3}}, "properties": {"desired": {"interval": 10}}},
        "iotHubs": [hub_host_name],
        "allocationPolicy": "static",
        "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": False},
    }

    created = groups.put(symmetric_key_group(group_id, **members))

    read = groups.get(group_id)
    for document in (created, read):
        assert document["enrollmentGroupId"] == group_id
        assert {name: document[name] for name in members} == members
        assert document["etag"] == created["etag"]
        assert "registrationState" not in document
    assert read["attestation"] == {"type": "symmetricKey"}


def test_keys_are_generated_and_read_by_the_attestation_mechanism(groups: ServiceSdk, group_id: str) -> None:
    created = groups.put(symmetric_key_group(group_id))

    made = created["attestation"]["symmetricKey"]
    assert len({made["primaryKey"], made["secondaryKey"]}) == 2
    assert all(len(base64.b64decode(key, validate=True)) >= 32 for key in made.values())
    assert groups.attestation(group_id) == created["attestation"]


def test_given_keys_are_kept_by_a_group_put_back(groups: ServiceSdk, group_id: str, keys: Document) -> None:
    groups.put(symmetric_key_group(group_id, keys))

    groups.put_back(group_id)

    assert groups.attestation(group_id) == {"type": "symmetricKey", "symmetricKey": keys}


def test_changes_need_the_present_etag(groups: ServiceSdk, group_id: str) -> None:
    created = groups.put(symmetric_key_group(group_id))
    with pytest.raises(SdkError) as exists:
        groups.put(symmetric_key_group(group_id))
    assert_refused(exists.value, 409, 409202)

    changed = groups.put(symmetric_key_group(group_id, provisioningStatus="disabled"), if_match=created["etag"])

    assert changed["provisioningStatus"] == groups.get(group_id)["provisioningStatus"] == "disabled"
    assert changed["createdDateTimeUtc"] == created["createdDateTimeUtc"]
    with pytest.raises(SdkError) as stale:
        groups.put(symmetric_key_group(group_id), if_match=created["etag"])
    assert_refused(stale.value, 412)
    with pytest.raises(SdkError) as stale:
        groups.delete(group_id, if_match=created["etag"])
    assert_refused(stale.value, 412)
    groups.delete(group_id, if_match=changed["etag"])
    with pytest.raises(SdkError) as gone:
        groups.get(group_id)
    assert_refused(gone.value, 404)


@pytest.mark.parametrize("verb", ["get", "delete", "attestation"])
def test_an_unknown_group_is_not_found(groups: ServiceSdk, group_id: str, verb: str) -> None:
    with pytest.raises(SdkError) as refused:
        getattr(groups, verb)(group_id)

    assert_refused(refused.value, 404)


def test_a_group_and_an_enrollment_of_one_id_live_side_by_side(
    service: ServiceSdk, group_id: str, keys: Document
) -> None:
    service.groups.put(symmetric_key_group(group_id, keys))
    service.put(symmetric_key_enrollment(group_id))

    service.delete(group_id)

    assert service.groups.attestation(group_id)["symmetricKey"] == keys


def test_bulk_creates_and_deletes_groups(deployment: Any, group_id: str, new_id: NewId) -> None:
    """Of the three SDKs only the newer Python one can."""
    groups = deployment.service(PYTHON).groups
    existing, fresh = group_id, f"group-{new_id()}"
    groups.put(symmetric_key_group(existing))

    created = groups.bulk("create", [symmetric_key_group(existing), symmetric_key_group(fresh)])
    assert created["isSuccessful"] is False
    assert [(item["enrollmentGroupId"], item["errorCode"]) for item in created["errors"]] == [(existing, 409202)]
    deleted = groups.bulk("delete", [symmetric_key_group(existing), symmetric_key_group(fresh)])

    assert deleted == {"isSuccessful": True, "errors": []}
    for each in (existing, fresh):
        with pytest.raises(SdkError):
            groups.get(each)


def test_bulk_updates_groups_by_their_etags(deployment: Any, new_id: NewId) -> None:
    groups = deployment.service(PYTHON).groups
    present, stale = f"group-{new_id()}", f"group-{new_id()}"
    etags = {each: groups.put(symmetric_key_group(each))["etag"] for each in (present, stale)}
    groups.put(symmetric_key_group(stale), if_match=etags[stale])
    disabled = [symmetric_key_group(each, provisioningStatus="disabled", etag=etags[each]) for each in etags]

    result = groups.bulk("updateIfMatchETag", disabled)

    assert [(item["enrollmentGroupId"], item["errorCode"] // 1000) for item in result["errors"]] == [(stale, 412)]
    assert groups.get(present)["provisioningStatus"] == "disabled"
    assert groups.get(stale)["provisioningStatus"] != "disabled"
    result = groups.bulk("update", [symmetric_key_group(stale)])
    assert [(item["enrollmentGroupId"], item["errorCode"]) for item in result["errors"]] == [(stale, 409202)]


def test_bulk_of_eleven_groups_is_refused(deployment: Any, new_id: NewId) -> None:
    groups = deployment.service(PYTHON).groups
    ids = [f"group-{new_id()}" for _ in range(11)]

    with pytest.raises(SdkError) as refused:
        groups.bulk("create", [symmetric_key_group(each) for each in ids])

    assert_refused(refused.value, 400)
    with pytest.raises(SdkError):
        groups.get(ids[0])


# devices of a group


@pytest.mark.parametrize("slot", ["primaryKey", "secondaryKey"])
def test_a_device_enters_with_its_derived_key(
    deployment: Any, wire: Wire, group: str, keys: Document, registration_id: str, slot: str
) -> None:
    state = deployment.register(registration_id, derived_key(keys[slot], registration_id), wire)

    assert state["status"] == "assigned"
    assert state["deviceId"] == registration_id
    assert state["assignedHub"] == deployment.ready.hub_host_name
    # The Python SDK does not show this member.
    assert wire.sdk == "python" or state["symmetricKey"] == {"enrollmentGroupId": group}
    assert deployment.service().get_state(registration_id)["etag"] == state["etag"]


def test_the_hubs_device_has_the_derived_keys(
    deployment: Any, group: str, keys: Document, registration_id: str
) -> None:
    derived = {slot: derived_key(key, registration_id) for slot, key in keys.items()}

    deployment.register(registration_id, derived["primaryKey"])

    device = deployment.hub("azure-iot-hub", "get_device", device_id=registration_id)
    assert device["authentication"]["symmetricKey"] == derived


def test_the_groups_own_key_is_refused(
    deployment: Any, wire: Wire, group: str, keys: Document, registration_id: str
) -> None:
    assert refusal(deployment, registration_id, keys["primaryKey"], wire) == UNAUTHORIZED


def test_a_deleted_group_admits_nobody(deployment: Any, wire: Wire, group: str, keys: Document, new_id: NewId) -> None:
    device = new_id()
    deployment.register(device, derived_key(keys["primaryKey"], device), wire)

    deployment.service().groups.delete(group)

    assert refusal(deployment, device, derived_key(keys["primaryKey"], device), wire) == UNAUTHORIZED


def test_a_disabled_enrollment_blocks_one_device_of_the_group(
    deployment: Any, group: str, keys: Document, registration_id: str, new_id: NewId
) -> None:
    own = derived_key(keys["primaryKey"], registration_id)
    enrollment = symmetric_key_enrollment(
        registration_id, {"primaryKey": own, "secondaryKey": new_key()}, provisioningStatus="disabled"
    )
    deployment.service().put(enrollment)
    neighbour = new_id()

    with pytest.raises(SdkError, match="status is disabled"):
        deployment.register(registration_id, own)

    assert deployment.register(neighbour, derived_key(keys["primaryKey"], neighbour))["status"] == "assigned"
