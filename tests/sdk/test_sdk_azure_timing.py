"""`--azure-timing`: every device SDK is told `assigning`, waits as asked, polls, and is assigned."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sdk_documents import symmetric_key_enrollment
from sdk_drivers import HTTPS, WIRES

Document = dict[str, Any]


@pytest.fixture
def deployment(deploy: Any) -> Any:
    """A server with the real service's timing, and a device SDK that logs its states (its own documented switch)."""
    return deploy({"DEBUG": "azure-iot-provisioning-device*"}, azure_timing=True)


def test_quirk_node_polls_with_a_body_in_its_get(deployment: Any, registration_id: str, keys: Document) -> None:
    deployment.service().put(symmetric_key_enrollment(registration_id, keys))

    state = deployment.register(registration_id, keys["primaryKey"], HTTPS)

    assert state["status"] == "assigned"
    log = deployment.node.log_text()
    statuses = re.findall(r'received response from service:\{.*?"status":"(\w+)"', log)
    assert statuses[0] == "assigning"
    assert statuses[-1] == "assigned"
    assert "waiting for 3000 ms" in log
    assert "from waitingToPoll to polling" in log


def test_every_wire_is_polled(deployment: Any, new_id: Callable[[], str], keys: Document) -> None:
    service = deployment.service()
    devices = [(new_id(), keys["primaryKey"], wire) for wire in WIRES]
    for registration_id, _, _ in devices:
        service.put(symmetric_key_enrollment(registration_id, keys))

    states = deployment.register_all(devices)

    for (registration_id, _, wire), state in zip(devices, states, strict=True):
        assert state["status"] == "assigned", wire
        assert state["assignedHub"] == deployment.ready.hub_host_name
        assert state["deviceId"] == registration_id
    polls = {
        "node": deployment.node.log_text().count("from waitingToPoll to polling"),
        "python": deployment.python.log_text().count("): polling"),
    }
    assert polls == {sdk: sum(wire.sdk == sdk for wire in WIRES) for sdk in polls}
