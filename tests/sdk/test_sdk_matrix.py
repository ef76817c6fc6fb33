"""Every device SDK, over every wire that it has, by every attestation but TPM: admitted, disabled, unknown, with the
wrong credential. Who is admitted goes on to the hub with the same credential, and its message is seen there.

The attestations stand as a table in `sdk_attestations.py`, the wires in `sdk_drivers.py`, what each SDK makes of a
refusal in `sdk_refusals.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sdk_attestations import ATTESTATIONS, ROOT, Attestation, Case, Credential, thumbprint
from sdk_drivers import WIRES, SdkError, Wire
from sdk_monitor import telemetry
from sdk_refusals import DISABLED, refusal

from idscope.testing.server_client import ServerClient

Document = dict[str, Any]


@pytest.fixture(scope="module")
def deployment(deploy: Any) -> Any:
    """A server that knows the root of the X.509 groups."""
    deployment = deploy()
    deployment.upload("sdk-root", ROOT)
    return deployment


@pytest.fixture(params=ATTESTATIONS, ids=str)
def attestation(request: pytest.FixtureRequest) -> Attestation:
    assert isinstance(request.param, Attestation)
    return request.param


@dataclass(frozen=True)
class Candidate:
    """A device before it comes: its wire, and what it will be judged by."""

    deployment: Any
    wire: Wire
    registration_id: str
    case: Case
    directory: Path

    @contextmanager
    def enrolled(self, **members: Any) -> Iterator[Any]:
        """By its enrollment or its group, which is gone afterwards; the service SDK for it."""
        service = self.deployment.service()
        service = service if self.case.kind == "individual" else service.groups
        document = service.put(self.case.enrollment | members)
        yield service
        service.delete(document.get("enrollmentGroupId") or document["registrationId"])

    def register(self) -> Document:
        held = self.case.right.held(self.wire, self.directory)
        return dict(self.deployment.register(self.registration_id, wire=self.wire, **held))

    def refusal(self, credential: Credential) -> object:
        held = credential.held(self.wire, self.directory)
        return refusal(self.deployment, self.registration_id, held.pop("key", None), self.wire, **held)

    def connect(self, state: Document, credential: Credential) -> None:
        """To the hub that it was assigned."""
        place = {"host": state["assignedHub"], "device_id": state["deviceId"]}
        held = credential.held(self.wire, self.directory)
        driver = self.deployment.driver(self.wire)
        driver.call("connected.connect", **place, **held, **self.wire.to_hub.arguments())

    def say(self, operation: str, **arguments: Any) -> None:
        """A word of the connected device."""
        driver = self.deployment.driver(self.wire)
        driver.call(f"connected.{operation}", device_id=self.registration_id, **arguments)


@pytest.fixture
def device(deployment: Any, wire: Wire, attestation: Attestation, registration_id: str, tmp_path: Path) -> Candidate:
    return Candidate(deployment, wire, registration_id, attestation.case(registration_id), tmp_path)


def test_admitted(device: Candidate) -> None:
    with device.enrolled():
        state = device.register()

    assert_assigned(device, state)
    device.connect(state, device.case.right)
    device.say("send", body='{"t":21.5}', message_id="t-1", properties={})
    with ServerClient(device.deployment.ready) as client:
        (seen,) = telemetry(client, device.registration_id, 1)
    assert (seen["deviceId"], seen["body"]) == (device.registration_id, '{"t":21.5}')
    device.say("close")
    with pytest.raises(SdkError) as refused:
        device.connect(state, device.case.wrong)
    assert refused.value.name in {"UnauthorizedError", "CredentialError"}


def assert_assigned(device: Candidate, state: Document) -> None:
    expected = ("assigned", device.deployment.ready.hub_host_name, device.registration_id)
    assert (state["status"], state["assignedHub"], state["deviceId"]) == expected
    assert state["substatus"] == "initialAssignment"
    found = device.deployment.hub("azure-iothub", "get_device", device_id=device.registration_id)
    assert device.case.right.is_that_of(found["authentication"])
    if device.wire.sdk == "node":  # Python's SDK does not show by what the device was admitted
        assert_admitted_by(device.case, state)


def assert_admitted_by(case: Case, state: Document) -> None:
    member = state.get("x509" if case.right.chain else "symmetricKey", {})
    assert member.get("enrollmentGroupId") == case.group_id
    if case.right.chain:
        assert member["certificateInfo"]["sha256Thumbprint"] == thumbprint(case.right.chain[0])
    if case.signer is not None:
        assert member["signingCertificateInfo"]["sha256Thumbprint"] == thumbprint(case.signer)


def test_disabled_and_enabled_again(device: Candidate, attestation: Attestation) -> None:
    """Only who holds the right credential is told."""
    with device.enrolled(provisioningStatus="disabled") as service:
        assert device.refusal(device.case.right) == DISABLED
        assert device.deployment.service().get_state(device.registration_id)["status"] == "disabled"
        assert device.refusal(device.case.wrong) == attestation.wrong

        service.put(device.case.enrollment, if_match="*")

        assert device.register()["status"] == "assigned"


def test_unknown(device: Candidate, attestation: Attestation) -> None:
    assert device.refusal(device.case.right) == attestation.unknown
    assert_no_record(device)


def test_wrong_credential(device: Candidate, attestation: Attestation) -> None:
    with device.enrolled():
        assert device.refusal(device.case.wrong) == attestation.wrong

        assert_no_record(device)
        assert device.register()["status"] == "assigned"


def assert_no_record(device: Candidate) -> None:
    with pytest.raises(SdkError) as unknown:
        device.deployment.service().get_state(device.registration_id)
    assert unknown.value.status == 404


def test_no_wire_and_no_attestation_is_left_out() -> None:
    transports = {"node": {"Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs"}, "python": {"Mqtt", "MqttWs"}}
    for sdk, each in transports.items():
        assert {wire.transport for wire in WIRES if wire.sdk == sdk} == each
    assert len(ATTESTATIONS) == 7
