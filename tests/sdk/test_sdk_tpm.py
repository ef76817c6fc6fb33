"""Devices register by TPM: Microsoft's client for Node on Debian's swtpm, over every wire that has TPMs; then they
connect to the hub with the key that their TPM took in, and that never leaves it."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from emulated_tpm import HOST, EmulatedTpm, emulated_tpm
from sdk_documents import ENDORSEMENT_KEY
from sdk_drivers import HTTPS, SdkError, Wire
from sdk_monitor import telemetry

from idscope.testing.server_client import ServerClient

Document = dict[str, Any]

AMQP_WIRES = (Wire("node", "Amqp"), Wire("node", "AmqpWs"))
HUB_WIRES = (Wire("node", "Mqtt"), Wire("node", "MqttWs"))

every_wire = pytest.mark.parametrize("wire", [HTTPS, *AMQP_WIRES], ids=str)
over_amqp = pytest.mark.parametrize("wire", AMQP_WIRES, ids=str)


@dataclass(frozen=True)
class Device:
    """A device with a TPM of its own; without a registration id its SDK makes one of the endorsement key."""

    deployment: Any
    registration_id: str | None
    tpm: EmulatedTpm

    @property
    def endorsement_key(self) -> str:
        named = {"registration_id": self.registration_id, "tpm_port": self.tpm.port}
        return str(self.deployment.node.call("tpm.endorsement_key", **named))

    def enroll(self, endorsement_key: str | None = None, **members: Any) -> None:
        attestation = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key or self.endorsement_key}}
        enrollment = {"registrationId": self.registration_id, "attestation": attestation, **members}
        self.deployment.service().put(enrollment)

    def register(self, wire: Wire) -> Document:
        """The registration state; of a TPM the SDK hands the whole answer on."""
        answer = self.deployment.register(self.registration_id, None, wire, tpm_port=self.tpm.port)
        assert answer["status"] == answer["registrationState"]["status"] == "assigned"
        return dict(answer["registrationState"])

    def refusal(self, wire: Wire) -> SdkError:
        with pytest.raises(SdkError) as refused:
            self.register(wire)
        return refused.value

    @contextmanager
    def connected(self, state: Document, wire: Wire) -> Iterator[None]:
        node, device_id = self.deployment.node, state["deviceId"]
        where = {"device_id": device_id, "host": state["assignedHub"], "tpm_port": self.tpm.port}
        node.call("connected.connect", **where, **wire.arguments())
        yield
        node.call("connected.close", device_id=device_id)

    def send(self, message_id: str) -> None:
        message = {"body": '{"t":21.5}', "message_id": message_id, "properties": {}}
        self.deployment.node.call("connected.send", device_id=self.registration_id, **message)

    def assert_unknown_to_the_service(self) -> None:
        """Nobody was registered."""
        state = self.deployment.service().get(self.registration_id)["registrationState"]
        assert state["status"] == "unassigned"


@pytest.fixture
def device(deployment: Any, registration_id: str, tmp_path: Path) -> Iterator[Device]:
    with emulated_tpm(tmp_path / "tpm") as tpm:
        yield Device(deployment, registration_id, tpm)


@pytest.fixture
def client(deployment: Any) -> Iterator[ServerClient]:
    with ServerClient(deployment.ready) as client:
        yield client


@every_wire
@pytest.mark.parametrize("hub_wire", HUB_WIRES, ids=str)
def test_an_enrolled_tpm_is_assigned_and_connects_with_the_key_in_it(
    client: ServerClient, device: Device, wire: Wire, hub_wire: Wire
) -> None:
    device.enroll()

    state = device.register(wire)

    assert (state["registrationId"], state["deviceId"]) == (device.registration_id, device.registration_id)
    assert state["substatus"] == "initialAssignment"
    found = device.deployment.hub("azure-iothub", "get_device", device_id=state["deviceId"])
    assert found["authentication"]["type"] == "sas"
    with device.connected(state, hub_wire):
        device.send("t-1")
    (message,) = telemetry(client, state["deviceId"], 1)
    assert (message["body"], message["systemProperties"]["messageId"]) == ('{"t":21.5}', "t-1")


@every_wire
def test_a_tpm_that_registers_again_keeps_its_key(device: Device, wire: Wire) -> None:
    device.enroll()
    state = device.register(HTTPS)
    found = device.deployment.hub("azure-iothub", "get_device", device_id=state["deviceId"])

    again = device.register(wire)

    assert again["tpm"]["authenticationKey"] != state["tpm"]["authenticationKey"]
    unchanged = device.deployment.hub("azure-iothub", "get_device", device_id=state["deviceId"])
    assert unchanged["authentication"] == found["authentication"]
    assert unchanged["etag"] == found["etag"]
    with device.connected(again, HUB_WIRES[0]):
        device.send("t-2")


def test_the_sdk_uses_the_endorsement_key_that_tpm2_tools_made(device: Device, tmp_path: Path) -> None:
    """As the how-to page makes it, at the SDK's own handle."""
    environment = {**os.environ, "TPM2TOOLS_TCTI": f"mssim:host={HOST},port={device.tpm.port}"}
    command = ["tpm2_createek", "-G", "rsa", "-c", "0x81010001", "-u", "ek.pub"]
    subprocess.run(command, cwd=tmp_path, env=environment, timeout=60, check=True)
    made = base64.b64encode((tmp_path / "ek.pub").read_bytes()).decode()
    device.enroll(made)

    assert device.endorsement_key == made
    device.register(HTTPS)


def test_a_tpm_names_itself(deployment: Any, tmp_path: Path) -> None:
    """The SDK's own id: Base32 of the endorsement key's SHA-256, lower case, without padding."""
    with emulated_tpm(tmp_path / "tpm") as tpm:
        nameless = Device(deployment, None, tpm)
        digest = hashlib.sha256(base64.b64decode(nameless.endorsement_key)).digest()
        name = base64.b32encode(digest).decode().rstrip("=").lower()
        Device(deployment, name, tpm).enroll()
        assert nameless.register(HTTPS)["registrationId"] == name


@every_wire
def test_a_disabled_enrollment(device: Device, wire: Wire) -> None:
    device.enroll(provisioningStatus="disabled")

    refused = device.refusal(wire)

    # The SDK knows no such status and raises a syntax error that holds the answer.
    assert (refused.name, refused.message) == ("SyntaxError", "status is disabled")
    assert refused.result["registrationState"]["status"] == "disabled"


def test_an_unknown_id_over_https(device: Device) -> None:
    assert "did NOT respond with an unauthorized error" in device.refusal(HTTPS).message


@over_amqp
def test_an_unknown_id_over_amqp_is_told_in_the_request(device: Device, wire: Wire) -> None:
    refused = device.refusal(wire)

    assert (refused.name, refused.error_code) == ("amqp:not-found", 404201)


def test_another_endorsement_key_over_https(device: Device) -> None:
    device.enroll(ENDORSEMENT_KEY)

    refused = device.refusal(HTTPS)

    assert "did NOT respond with an appropriately formatted authentication blob" in refused.message
    device.assert_unknown_to_the_service()


@over_amqp
def test_quirk_node_waits_for_ever_where_it_is_refused_before_it_is_challenged(device: Device, wire: Wire) -> None:
    """So another endorsement key is refused after the challenge; of the outcome the SDK says only this."""
    device.enroll(ENDORSEMENT_KEY)

    assert device.refusal(wire).name == "NotConnectedError"
    device.assert_unknown_to_the_service()


@over_amqp
def test_an_unknown_id_scope_over_amqp(deployment: Any, device: Device, wire: Wire) -> None:
    with pytest.raises(SdkError) as refused:
        deployment.register(device.registration_id, None, wire, tpm_port=device.tpm.port, id_scope="0neFFFFFFFF")
    assert refused.value.name == "NotConnectedError"
