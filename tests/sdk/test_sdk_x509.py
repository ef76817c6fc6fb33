"""Certificates that come and go, with the devices' own SDKs: rolled to the next one, groups above and below each
other, enrollments by signer and by reference, and one certificate in one enrollment only.

Who gets in by which chain: `test_sdk_matrix.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sdk_attestations import Credential, signed, thumbprint, x509
from sdk_drivers import HTTPS, SdkError, ServiceSdk, Wire
from sdk_refusals import CA_NOT_FOUND, DISABLED, INVALID_CERTIFICATE, refusal

from idscope.testing.certificates import CertificateMaker

Document = dict[str, Any]

ROOT = CertificateMaker.authority("SDK root")
HIGH = ROOT.intermediate("SDK high")
LOW = HIGH.intermediate("SDK low")
NEXT_LOW = HIGH.intermediate("SDK next low")
UNKNOWN = CertificateMaker.authority("SDK root").intermediate("SDK high")


@pytest.fixture(scope="module")
def deployment(deploy: Any) -> Any:
    """A server on which the root is uploaded and verified."""
    deployment = deploy()
    deployment.upload("sdk-root", ROOT)
    return deployment


class Device:
    """A registration id and the SDK that speaks for it, with whatever certificate it has at the time."""

    def __init__(self, deployment: Any, wire: Wire, registration_id: str, directory: Path) -> None:
        self.deployment = deployment
        self.wire = wire
        self.registration_id = registration_id
        self._directory = directory

    def register(self, credential: Credential) -> Document:
        held = credential.held(self.wire, self._directory)
        return dict(self.deployment.register(self.registration_id, wire=self.wire, **held))

    def refusal(self, credential: Credential) -> object:
        held = credential.held(self.wire, self._directory)
        return refusal(self.deployment, self.registration_id, None, self.wire, **held)

    def enroll(self, attestation: Document) -> None:
        self.deployment.service().put({"registrationId": self.registration_id, "attestation": attestation})

    def hub_thumbprints(self) -> Document:
        found = self.deployment.hub("azure-iothub", "get_device", device_id=self.registration_id)
        return dict(found["authentication"]["x509Thumbprint"])

    def connects(self, state: Document, credential: Credential) -> bool:
        """Whether the hub lets it in."""
        driver = self.deployment.driver(self.wire)
        place = {"host": state["assignedHub"], "device_id": state["deviceId"], **self.wire.to_hub.arguments()}
        try:
            driver.call("connected.connect", **place, **credential.held(self.wire, self._directory))
        except SdkError:
            return False
        driver.call("connected.close", device_id=state["deviceId"])
        return True


@pytest.fixture
def device(deployment: Any, wire: Wire, registration_id: str, tmp_path: Path) -> Device:
    """Over each wire."""
    return Device(deployment, wire, registration_id, tmp_path)


@pytest.fixture
def https_device(deployment: Any, registration_id: str, tmp_path: Path) -> Device:
    return Device(deployment, HTTPS, registration_id, tmp_path)


@contextmanager
def group(deployment: Any, group_id: str, attestation: Document, **members: Any) -> Iterator[Callable[..., None]]:
    """A group for a while; what is yielded changes its members."""
    groups = deployment.service().groups

    def change(**changes: Any) -> None:
        document = {"enrollmentGroupId": group_id, "attestation": attestation, **changes}
        groups.put(document, if_match="*")

    groups.put({"enrollmentGroupId": group_id, "attestation": attestation, **members})
    try:
        yield change
    finally:
        groups.delete(group_id)


def assert_one_record(device: Device, first: Document, second: Document) -> None:
    """The second registration is told of the record of the first, and the service shows that one only."""
    assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]
    assert second["etag"] != first["etag"]
    assert (second["deviceId"], second["assignedHub"]) == (first["deviceId"], first["assignedHub"])
    shown = device.deployment.service().get_state(device.registration_id)
    assert (shown["etag"], shown["createdDateTimeUtc"]) == (second["etag"], first["createdDateTimeUtc"])


# Rolling to the next certificate


def test_a_device_that_rolls_to_its_secondary_certificate_keeps_its_record(device: Device) -> None:
    old, new = (CertificateMaker.self_signed(device.registration_id) for _ in range(2))
    device.enroll(x509("clientCertificates", old, new))

    first = device.register(signed(old))
    assert device.hub_thumbprints() == {"primaryThumbprint": thumbprint(old), "secondaryThumbprint": thumbprint(new)}
    second = device.register(signed(new))

    assert_one_record(device, first, second)
    assert device.hub_thumbprints()["primaryThumbprint"] == thumbprint(new)
    assert device.connects(second, signed(new))
    enrollment = device.deployment.service().get(device.registration_id)
    assert enrollment["registrationState"]["etag"] == second["etag"]


def test_a_group_that_rolls_to_its_secondary_signer_keeps_the_records_of_its_devices(device: Device) -> None:
    old, new = LOW.device(device.registration_id), NEXT_LOW.device(device.registration_id)
    with group(device.deployment, "rolls", x509("signingCertificates", LOW, NEXT_LOW)):
        first = device.register(signed(old, LOW, HIGH))
        assert not device.connects(first, signed(new, NEXT_LOW, HIGH))
        second = device.register(signed(new, NEXT_LOW, HIGH))

        assert_one_record(device, first, second)
        (states,) = device.deployment.service().query_states("rolls")
        assert [each["registrationId"] for each in states].count(device.registration_id) == 1
    assert device.hub_thumbprints()["primaryThumbprint"] == thumbprint(new)
    assert device.connects(second, signed(new, NEXT_LOW, HIGH))
    assert not device.connects(second, signed(old, LOW, HIGH))


# Groups above and below each other


def test_a_disabled_group_stops_its_devices_and_a_deleted_one_lets_them_fall_through(device: Device) -> None:
    held = signed(LOW.device(device.registration_id), LOW, HIGH)
    with group(device.deployment, "high", x509("signingCertificates", HIGH)):
        with group(device.deployment, "low", x509("signingCertificates", LOW)) as change_low:
            first = device.register(held)
            assert_admitted_by("low", device, first)

            change_low(provisioningStatus="disabled")
            assert device.refusal(held) == DISABLED

            change_low(provisioningStatus="enabled")
            assert_admitted_by("low", device, device.register(held))
        second = device.register(held)
        assert_admitted_by("high", device, second)
        assert_one_record(device, first, second)
    assert device.refusal(held) == INVALID_CERTIFICATE


def assert_admitted_by(group_id: str, device: Device, state: Document) -> None:
    assert state["status"] == "assigned"
    listed = [each for page in device.deployment.service().query_states(group_id) for each in page]
    assert device.registration_id in {each["registrationId"] for each in listed}
    if device.wire.sdk == "node":  # Python's SDK does not show it
        assert state["x509"]["enrollmentGroupId"] == group_id


def test_a_disabled_group_farther_up_does_not_matter(device: Device) -> None:
    held = signed(LOW.device(device.registration_id), LOW, HIGH)
    with ExitStack() as stack:
        high, low = (x509("signingCertificates", each) for each in (HIGH, LOW))
        stack.enter_context(group(device.deployment, "high", high, provisioningStatus="disabled"))
        stack.enter_context(group(device.deployment, "low", low))

        assert_admitted_by("low", device, device.register(held))


# By signer, by reference


def test_an_individual_enrollment_by_signing_certificate(https_device: Device) -> None:
    name = https_device.registration_id
    https_device.enroll(x509("signingCertificates", UNKNOWN))

    state = https_device.register(signed(UNKNOWN.device(name)))

    assert state["status"] == "assigned"
    assert https_device.refusal(signed(LOW.device(name), LOW, HIGH)) == INVALID_CERTIFICATE


def test_an_individual_enrollment_by_ca_reference(https_device: Device) -> None:
    name = https_device.registration_id
    https_device.enroll({"type": "x509", "x509": {"caReferences": {"primary": "sdk-root"}}})

    state = https_device.register(signed(LOW.device(name), LOW, HIGH))

    assert state["status"] == "assigned"
    assert "enrollmentGroupId" not in state["x509"]


def test_a_group_by_ca_reference(https_device: Device) -> None:
    authority = CertificateMaker.authority("SDK referred root")
    held = signed(authority.device(https_device.registration_id))
    attestation = {"type": "x509", "x509": {"caReferences": {"primary": "SDK-referred"}}}
    with group(https_device.deployment, "referring", attestation):
        assert https_device.refusal(held) == CA_NOT_FOUND

        https_device.deployment.upload("sdk-referred", authority)

        assert_admitted_by("referring", https_device, https_device.register(held))


# As the service SDKs keep them

every_kind = pytest.mark.parametrize("kind", ["individual", "group"])


def document_of(kind: str, registration_id: str, attestation: Document) -> tuple[str, Document]:
    """Its id, and an enrollment or a group."""
    if kind == "individual":
        return registration_id, {"registrationId": registration_id, "attestation": attestation}
    return f"group-{registration_id}", {"enrollmentGroupId": f"group-{registration_id}", "attestation": attestation}


@every_kind
def test_signing_certificates_are_shown_by_their_facts_and_kept(
    service: ServiceSdk, registration_id: str, kind: str
) -> None:
    service = service if kind == "individual" else service.groups
    makers = {"primary": CertificateMaker.authority("first"), "secondary": CertificateMaker.authority("second")}
    id_, document = document_of(kind, registration_id, x509("signingCertificates", *makers.values()))

    shown = [service.put(document), service.get(id_), service.put_back(id_), service.get(id_)]

    for each in [one["attestation"] for one in shown] + [service.attestation(id_)]:
        slots = each["x509"]["signingCertificates"]
        assert not slots["primary"].get("certificate")
        thumbprints = {slot: slots[slot]["info"]["sha256Thumbprint"] for slot in slots}
        assert thumbprints == {slot: thumbprint(maker) for slot, maker in makers.items()}


@every_kind
def test_ca_references_are_shown_and_kept(service: ServiceSdk, registration_id: str, kind: str) -> None:
    service = service if kind == "individual" else service.groups
    references = {"primary": "sdk-root", "secondary": "not-uploaded"}
    id_, document = document_of(kind, registration_id, {"type": "x509", "x509": {"caReferences": references}})

    shown = [service.put(document), service.get(id_), service.put_back(id_), service.get(id_)]

    assert [each["attestation"]["x509"]["caReferences"] for each in shown] == [references] * 4
    service.delete(id_)  # a group of the root would let in every device


# One certificate, one enrollment


def test_a_certificate_of_one_enrollment_is_refused_to_another(service: ServiceSdk, registration_id: str) -> None:
    attestation = x509("clientCertificates", CertificateMaker.self_signed(registration_id))
    service.put({"registrationId": registration_id, "attestation": attestation})
    other: Document = {"registrationId": f"{registration_id}-other", "attestation": attestation}

    assert_in_use(lambda: service.put(other))

    with pytest.raises(SdkError) as unknown:
        service.get(other["registrationId"])
    assert unknown.value.status == 404
    service.delete(registration_id)
    assert service.put(other)["etag"]


def test_a_certificate_of_one_group_is_refused_to_another(deployment: Any, registration_id: str) -> None:
    groups = deployment.service().groups
    attestation = x509("signingCertificates", CertificateMaker.authority("signs once"))
    with group(deployment, f"one-{registration_id}", attestation):
        other = {"enrollmentGroupId": f"other-{registration_id}", "attestation": attestation}

        assert_in_use(lambda: groups.put(other))

    groups.put(other)
    groups.delete(other["enrollmentGroupId"])


def assert_in_use(put: Callable[[], Document]) -> None:
    with pytest.raises(SdkError) as refused:
        put()
    assert (refused.value.status, refused.value.error_code) == (400, 400004)
    assert "The certificate is in use by another enrollment." in str(refused.value.body)
