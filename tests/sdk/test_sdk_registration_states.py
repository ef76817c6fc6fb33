"""Registration states, as Microsoft's three service SDKs read, delete and list them."""

from __future__ import annotations

from typing import Any

import pytest
from sdk_documents import derived_key, symmetric_key_enrollment, symmetric_key_group
from sdk_drivers import SdkError, ServiceSdk

Document = dict[str, Any]

OLDER_PYTHON = "azure-iothub-provisioningserviceclient"
SHOWN = ("registrationId", "status", "assignedHub", "deviceId", "etag")


@pytest.fixture
def enrolled(deployment: Any, registration_id: str, keys: Document) -> str:
    """The id of an enabled enrollment with `keys`."""
    deployment.service().put(symmetric_key_enrollment(registration_id, keys))
    return registration_id


def test_a_state_is_read(deployment: Any, service: ServiceSdk, enrolled: str, keys: Document) -> None:
    state = deployment.register(enrolled, keys["primaryKey"])

    read = service.get_state(enrolled)

    assert {name: read[name] for name in SHOWN} == {name: state[name] for name in SHOWN}


def test_a_deleted_state_is_gone_and_the_device_may_come_again(
    deployment: Any, service: ServiceSdk, enrolled: str, keys: Document
) -> None:
    first = deployment.register(enrolled, keys["primaryKey"])
    with pytest.raises(SdkError) as stale:
        service.delete_state(enrolled, if_match='"stale"')
    assert stale.value.status == 412

    service.delete_state(enrolled, if_match=first["etag"])

    with pytest.raises(SdkError) as gone:
        service.get_state(enrolled)
    assert (gone.value.status, gone.value.error_code // 1000) == (404, 404)
    with pytest.raises(SdkError) as gone:
        service.delete_state(enrolled)
    assert gone.value.status == 404
    second = deployment.register(enrolled, keys["primaryKey"])
    assert second["assignedHub"] == first["assignedHub"]
    assert second["createdDateTimeUtc"] > first["createdDateTimeUtc"]


def test_an_enrollment_that_never_registered_has_no_state(service: ServiceSdk, enrolled: str) -> None:
    with pytest.raises(SdkError) as refused:
        service.get_state(enrolled)

    assert refused.value.status == 404


def test_the_states_of_a_group_are_its_own(
    deployment: Any, listing_service: ServiceSdk, enrolled: str, keys: Document
) -> None:
    group = f"group-{enrolled}"
    deployment.service().groups.put(symmetric_key_group(group, keys))
    assert listing_service.query_states(group) in ([], [[]])
    members = [f"{enrolled}-{number}" for number in range(3)]
    for each in members:
        deployment.register(each, derived_key(keys["primaryKey"], each))
    deployment.register(enrolled, keys["primaryKey"])

    (states,) = listing_service.query_states(group)

    assert sorted(state["registrationId"] for state in states) == members
    assert {state["status"] for state in states} == {"assigned"}


def test_quirk_the_older_python_sdk_cannot_list_states(deployment: Any, enrolled: str, keys: Document) -> None:
    service = deployment.service(OLDER_PYTHON)
    group = f"group-{enrolled}"
    service.groups.put(symmetric_key_group(group, keys))
    device = f"{enrolled}-1"
    deployment.register(device, derived_key(keys["primaryKey"], device))

    with pytest.raises(SdkError) as refused:
        service.query_states(group)

    assert refused.value.name == "TypeError"
    assert "query_device_registration_states" in refused.value.message
