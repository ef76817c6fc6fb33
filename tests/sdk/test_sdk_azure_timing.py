"""`--azure-timing`: the device SDK is told `assigning`, waits as asked, polls, and is assigned."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sdk_documents import symmetric_key_enrollment

Document = dict[str, Any]


@pytest.fixture(scope="module")
def deployment(deploy: Any) -> Any:
    """A server with the real service's timing, and a device SDK that logs its states (its own documented switch)."""
    return deploy({"DEBUG": "azure-iot-provisioning-device*"}, azure_timing=True)


def test_quirk_node_polls_with_a_body_in_its_get(deployment: Any, registration_id: str, keys: Document) -> None:
    deployment.service().put(symmetric_key_enrollment(registration_id, keys))

    state = deployment.register(registration_id, keys["primaryKey"])

    assert state["status"] == "assigned"
    assert state["assignedHub"] == deployment.ready.hub_host_name
    assert state["deviceId"] == registration_id
    log = deployment.node.log_text()
    statuses = re.findall(r'received response from service:\{.*?"status":"(\w+)"', log)
    assert statuses[0] == "assigning"
    assert statuses[-1] == "assigned"
    assert "waiting for 3000 ms" in log
    assert "from waitingToPoll to polling" in log
