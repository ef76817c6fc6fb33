"""Devices register by certificate: every device SDK over every transport that it has, below nothing, one and two
intermediate certificates, the root sent or not; then they connect to the hub with the same certificate."""

from __future__ import annotations

import hashlib
import json
import secrets
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sdk_drivers import WIRES, SdkError, Wire

from idscope.testing.certificates import CertificateMaker

Document = dict[str, Any]

API_VERSION = "2022-12-12"
ROOT = CertificateMaker.authority("SDK root")
HIGH = ROOT.intermediate("SDK high")
LOW = HIGH.intermediate("SDK low")
STRANGE = CertificateMaker.authority("SDK root").intermediate("SDK high")

every_wire = pytest.mark.parametrize("wire", WIRES, ids=str)


def pem(*makers: CertificateMaker) -> str:
    return "".join(maker.certificate.public_bytes(Encoding.PEM).decode() for maker in makers)


def thumbprint(maker: CertificateMaker) -> str:
    return hashlib.sha256(maker.certificate.public_bytes(Encoding.DER)).hexdigest().upper()


def x509(kind: str, maker: CertificateMaker) -> Document:
    return {"type": "x509", "x509": {kind: {"primary": {"certificate": pem(maker)}}}}


def upload(ready: Any, name: str, maker: CertificateMaker) -> None:
    """A CA certificate, said to be verified, by the published operation."""
    path = (
        "/subscriptions/any/resourceGroups/any/providers/Microsoft.Devices/provisioningServices/idscope"
        f"/certificates/{name}?api-version={API_VERSION}"
    )
    body = {"properties": {"certificate": pem(maker), "isVerified": True}}
    request = urllib.request.Request(ready.document["operator_url"] + path, json.dumps(body).encode(), method="PUT")
    request.add_header("Authorization", f"Bearer {ready.document['admin_token']}")
    request.add_header("Content-Type", "application/json")
    trust = ssl.create_default_context(cafile=str(ready.ca_file))
    with urllib.request.urlopen(request, context=trust) as answer:
        assert answer.status in {200, 201}


class Devices:
    """Registers devices with what they hold."""

    def __init__(self, deployment: Any, directory: Path) -> None:
        self.deployment = deployment
        self._directory = directory

    def register(self, wire: Wire, device: CertificateMaker, *above: CertificateMaker) -> Document:
        registration_id = device.certificate.subject.rfc4514_string().removeprefix("CN=")
        held = self.held(wire, device, *above)
        return dict(self.deployment.register(registration_id, None, wire, **held))

    def held(self, wire: Wire, device: CertificateMaker, *above: CertificateMaker) -> Document:
        """Node takes PEM texts, Python files."""
        chain = pem(device, *above)
        key = device.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        if wire.sdk == "node":
            return {"certificate": chain, "private_key": key}
        name = secrets.token_hex(8)
        certificate_file, key_file = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate_file.write_text(chain)
        key_file.write_text(key)
        return {"certificate_file": str(certificate_file), "key_file": str(key_file)}


@pytest.fixture
def devices(deployment: Any, tmp_path: Path) -> Devices:
    return Devices(deployment, tmp_path)


@pytest.fixture(scope="module")
def groups(deployment: Any) -> Iterator[Any]:
    """The root is uploaded and verified; groups of its two intermediates."""
    upload(deployment.ready, "sdk-root", ROOT)
    service = deployment.service().groups
    for name, maker in (("high", HIGH), ("low", LOW)):
        service.put({"enrollmentGroupId": name, "attestation": x509("signingCertificates", maker)})
    yield service
    for name in ("high", "low"):
        service.delete(name)


def assert_assigned(devices: Devices, state: Document, device: CertificateMaker) -> None:
    ready = devices.deployment.ready
    assert (state["status"], state["assignedHub"]) == ("assigned", ready.hub_host_name)
    found = devices.deployment.hub("azure-iothub", "get_device", device_id=state["deviceId"])
    assert found["authentication"]["type"] == "selfSigned"
    assert found["authentication"]["x509Thumbprint"]["primaryThumbprint"] == thumbprint(device)


def refused(devices: Devices, wire: Wire, device: CertificateMaker, *above: CertificateMaker) -> SdkError:
    with pytest.raises(SdkError) as error:
        devices.register(wire, device, *above)
    return error.value


@every_wire
def test_a_self_signed_certificate(devices: Devices, registration_id: str, wire: Wire) -> None:
    device = CertificateMaker.self_signed(registration_id)
    attestation = x509("clientCertificates", device)
    devices.deployment.service().put({"registrationId": registration_id, "attestation": attestation})

    assert_assigned(devices, devices.register(wire, device), device)
    refused(devices, wire, CertificateMaker.self_signed(registration_id))


@every_wire
@pytest.mark.parametrize("with_root", [False, True], ids=["without-root", "with-root"])
@pytest.mark.parametrize("issuers", [(HIGH,), (LOW, HIGH)], ids=["one-intermediate", "two-intermediates"])
def test_a_group(
    devices: Devices,
    groups: Any,
    registration_id: str,
    wire: Wire,
    issuers: tuple[CertificateMaker, ...],
    with_root: bool,
) -> None:
    device = issuers[0].device(registration_id)

    state = devices.register(wire, device, *issuers, *((ROOT,) if with_root else ()))

    assert_assigned(devices, state, device)
    name = "high" if len(issuers) == 1 else "low"
    if wire.sdk == "node":
        member = state["x509"]
        assert member["enrollmentGroupId"] == name
        assert member["certificateInfo"]["sha256Thumbprint"] == thumbprint(device)
        assert member["signingCertificateInfo"]["sha256Thumbprint"] == thumbprint(issuers[0])


def test_an_individual_enrollment_by_signing_certificate(devices: Devices, registration_id: str) -> None:
    device = STRANGE.device(registration_id)
    attestation = x509("signingCertificates", STRANGE)
    devices.deployment.service().put({"registrationId": registration_id, "attestation": attestation})

    assert_assigned(devices, devices.register(WIRES[0], device), device)
    refused(devices, WIRES[0], LOW.device(registration_id), LOW, HIGH)


def test_an_individual_enrollment_by_ca_reference(devices: Devices, groups: Any, registration_id: str) -> None:
    device = LOW.device(registration_id)
    attestation = {"type": "x509", "x509": {"caReferences": {"primary": "sdk-root"}}}
    devices.deployment.service().put({"registrationId": registration_id, "attestation": attestation})

    state = devices.register(WIRES[0], device, LOW, HIGH)

    assert_assigned(devices, state, device)
    assert "enrollmentGroupId" not in state["x509"]


def test_a_group_by_ca_reference(devices: Devices, registration_id: str) -> None:
    authority = CertificateMaker.authority("SDK referred root")
    device = authority.device(registration_id)
    attestation = {"type": "x509", "x509": {"caReferences": {"primary": "SDK-referred"}}}
    service = devices.deployment.service().groups
    service.put({"enrollmentGroupId": "referring", "attestation": attestation})
    assert "CA certificate not found." in str(refused(devices, WIRES[0], device).body)

    upload(devices.deployment.ready, "sdk-referred", authority)

    state = devices.register(WIRES[0], device)
    assert_assigned(devices, state, device)
    assert state["x509"]["enrollmentGroupId"] == "referring"


def test_a_stranger_with_the_same_names_is_refused(devices: Devices, groups: Any, registration_id: str) -> None:
    error = refused(devices, WIRES[0], STRANGE.device(registration_id), STRANGE)

    assert (error.status, error.error_code) == (401, 401002)
    assert "CA certificate not found." in str(error.body)


def test_a_certificate_of_another_device_is_refused(devices: Devices, groups: Any, registration_id: str) -> None:
    held = devices.held(WIRES[0], HIGH.device("another"), HIGH)
    with pytest.raises(SdkError) as error:
        devices.deployment.register(registration_id, None, WIRES[0], **held)

    assert (error.value.status, error.value.error_code) == (401, 401002)
    assert "Invalid certificate." in str(error.value.body)


@pytest.mark.parametrize("transport", ["Mqtt", "MqttWs"])
def test_the_device_connects_to_its_hub_with_the_same_certificate(
    devices: Devices, groups: Any, registration_id: str, transport: str
) -> None:
    wire = Wire("node", transport)
    device = LOW.device(registration_id)
    state = devices.register(wire, device, LOW)
    held = devices.held(wire, device, LOW)
    place = {"host": state["assignedHub"], "device_id": state["deviceId"], "wire": transport}

    node = devices.deployment.node
    node.call("connected.connect", **place, **held)
    node.call("connected.close", device_id=state["deviceId"])
    stranger = devices.held(wire, CertificateMaker.self_signed(registration_id))
    with pytest.raises(SdkError):
        node.call("connected.connect", **place, **stranger)
