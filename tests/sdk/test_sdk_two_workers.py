"""Two workers on one data directory: whoever answers, the SDKs see one service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sdk_documents import instant, new_key, symmetric_key_enrollment
from sdk_drivers import WIRES, SdkError

Document = dict[str, Any]


@pytest.fixture(scope="module")
def deployment(deploy: Any) -> Any:
    return deploy(workers=2)


def test_devices_register_at_once_over_every_wire(deployment: Any, new_id: Callable[[], str]) -> None:
    service = deployment.service()
    devices = [(new_id(), new_key(), wire) for wire in WIRES * 3]
    for registration_id, key, _ in devices:
        service.put(symmetric_key_enrollment(registration_id, {"primaryKey": key, "secondaryKey": new_key()}))

    for _ in range(2):  # the second time perhaps at the other worker
        states = deployment.register_all(devices)
        assert [state["deviceId"] for state in states] == [device[0] for device in devices]
        assert {state["status"] for state in states} == {"assigned"}
        assert {state["assignedHub"] for state in states} == {deployment.ready.hub_host_name}


def test_one_of_many_creations_wins(deployment: Any, registration_id: str) -> None:
    service = deployment.service()
    enrollment = symmetric_key_enrollment(registration_id)
    call = {"connection_string": service.connection_string, "kind": service.kind, "enrollment": enrollment}

    answers = deployment.node.call_all([("service.put", call)] * 10)

    refused = [answer for answer in answers if isinstance(answer, SdkError)]
    (winner,) = [answer for answer in answers if not isinstance(answer, SdkError)]
    assert {answer.error_code for answer in refused} == {409201}
    assert service.get(registration_id)["etag"] == winner["etag"]


def test_a_device_that_registers_often_at_once_is_one_device(
    deployment: Any, registration_id: str, keys: Document
) -> None:
    service = deployment.service()
    service.put(symmetric_key_enrollment(registration_id, keys))

    states = deployment.register_all([(registration_id, keys["primaryKey"], wire) for wire in WIRES * 2])

    assert {state["status"] for state in states} == {"assigned"}
    assert {state["deviceId"] for state in states} == {registration_id}
    last = max(states, key=lambda state: instant(state["lastUpdatedDateTimeUtc"]))
    assert service.get(registration_id)["registrationState"]["etag"] == last["etag"]


def test_a_change_is_seen_at_once_by_both(deployment: Any, registration_id: str, keys: Document) -> None:
    service = deployment.service()
    etag = service.put(symmetric_key_enrollment(registration_id, keys))["etag"]
    for number in range(10):
        status = ("disabled", "enabled")[number % 2]
        etag = service.put(symmetric_key_enrollment(registration_id, provisioningStatus=status), if_match=etag)["etag"]
        if status == "enabled":
            assert deployment.register(registration_id, keys["primaryKey"])["status"] == "assigned"
        else:
            with pytest.raises(SdkError, match="status is disabled"):
                deployment.register(registration_id, keys["primaryKey"])
