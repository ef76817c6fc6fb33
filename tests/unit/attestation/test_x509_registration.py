"""Devices that register by certificate: what they are told, what the hub gets, what the operator is told."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from x509_world import World, certificates, der, play, references, thumbprint

from idscope.attestation import AttestationRules
from idscope.testing.application import ID_SCOPE
from idscope.testing.certificates import CertificateMaker

ROOT = CertificateMaker.authority("root")
LOW = ROOT.intermediate("low")
DEVICE = LOW.device("device")
OWN = CertificateMaker.self_signed("device")
NEXT = CertificateMaker.self_signed("device")
INFO = {
    "subjectName",
    "sha1Thumbprint",
    "sha256Thumbprint",
    "issuerName",
    "notBeforeUtc",
    "notAfterUtc",
    "serialNumber",
    "version",
}


def self_signed(subject: x509.Name, dns_names: tuple[str, ...] = ()) -> bytes:
    """A leaf with any subject."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    if dns_names:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def enrolled(*leaves: bytes) -> dict[str, Any]:
    pems = [x509.load_der_x509_certificate(leaf).public_bytes(Encoding.PEM).decode() for leaf in leaves]
    slots = zip(("primary", "secondary"), ({"certificate": pem} for pem in pems), strict=False)
    return {"type": "x509", "x509": {"clientCertificates": dict(slots)}}


def common_names(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def test_an_individual_device_is_told_of_its_certificate() -> None:
    async def scenario(world: World):
        await world.enroll("device", certificates("clientCertificates", OWN))
        body = (await world.register("device", OWN)).json()
        poll = f"/{ID_SCOPE}/registrations/device/operations/{body['operationId']}?api-version=2021-06-01"
        polled = await world.app.request("GET", poll, chain=(der(OWN),))
        return body, polled.json(), (await world.app.service("GET", "/enrollments/device")).json()

    body, polled, enrollment = play(scenario)
    assert body["status"] == "assigned"
    member = body["registrationState"]["x509"]
    assert polled["registrationState"]["x509"] == member
    assert set(member) == {"certificateInfo"}
    info = member["certificateInfo"]
    assert set(info) == INFO
    assert info["sha256Thumbprint"] == thumbprint(OWN)
    assert info == enrollment["attestation"]["x509"]["clientCertificates"]["primary"]["info"]
    assert "x509" not in enrollment["registrationState"]


def test_a_groups_device_is_told_of_both_certificates_and_the_group() -> None:
    async def scenario(world: World):
        await world.upload("root", ROOT)
        await world.group("Fleet", certificates("signingCertificates", LOW))
        body = (await world.register("device", DEVICE, LOW)).json()
        records = (await world.app.service("POST", "/registrations/Fleet/query")).json()
        return body, records, await world.hub_device("device")

    body, records, hub = play(scenario)
    member = body["registrationState"]["x509"]
    assert member["enrollmentGroupId"] == "Fleet"
    assert set(member["certificateInfo"]) == set(member["signingCertificateInfo"]) == INFO
    assert member["certificateInfo"]["sha256Thumbprint"] == thumbprint(DEVICE)
    assert member["signingCertificateInfo"]["sha256Thumbprint"] == thumbprint(LOW)
    assert [record["registrationId"] for record in records] == ["device"]
    assert hub["type"] == "selfSigned"
    assert hub["x509Thumbprint"] == {"primaryThumbprint": thumbprint(DEVICE), "secondaryThumbprint": None}


def test_the_certificate_that_was_used_is_the_hubs_primary_one_and_rolling_makes_no_second_record() -> None:
    async def scenario(world: World):
        await world.enroll("device", certificates("clientCertificates", OWN, NEXT))
        first = (await world.register("device", OWN)).json()["registrationState"]
        before = await world.hub_device("device")
        second = (await world.register("DEVICE", NEXT)).json()["registrationState"]
        return first, before, second, await world.hub_device("device")

    first, before, second, after = play(scenario)
    assert before["x509Thumbprint"] == {"primaryThumbprint": thumbprint(OWN), "secondaryThumbprint": thumbprint(NEXT)}
    assert after["x509Thumbprint"] == {"primaryThumbprint": thumbprint(NEXT), "secondaryThumbprint": thumbprint(OWN)}
    assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]
    assert (second["registrationId"], second["deviceId"]) == ("device", "device")
    assert second["substatus"] == "reprovisionedToInitialAssignment"


def test_one_enrolled_certificate_leaves_the_hubs_secondary_one_empty() -> None:
    async def scenario(world: World):
        await world.enroll("device", certificates("clientCertificates", OWN))
        await world.register("device", OWN)
        return await world.hub_device("device")

    assert play(scenario)["x509Thumbprint"]["secondaryThumbprint"] is None


def test_what_a_certificate_proved_survives_a_crash() -> None:
    async def scenario(world: World):
        await world.upload("root", ROOT)
        await world.group("fleet", certificates("signingCertificates", ROOT))
        body = (await world.register("device", DEVICE, LOW)).json()
        for one in list(world.app.workflow._running.values()):
            one.task.cancel()  # the worker dies once it has answered
        world.app.clock.advance(60)
        other = await world.app.new_workflow()
        await other.recover()
        await other.close(5)
        path = f"/{ID_SCOPE}/registrations/device/operations/{body['operationId']}?api-version=2021-06-01"
        polled = await world.app.request("GET", path, chain=(der(DEVICE), der(LOW)))
        return body, polled.json(), await world.hub_device("device")

    body, polled, hub = play(scenario, azure_timing=True)
    assert body["status"] == "assigning"
    assert polled["registrationState"]["x509"]["certificateInfo"]["sha256Thumbprint"] == thumbprint(DEVICE)
    assert hub["x509Thumbprint"]["primaryThumbprint"] == thumbprint(DEVICE)


def test_names_are_compared_without_case() -> None:
    leaf = self_signed(common_names("dEVICE"))

    async def scenario(world: World):
        await world.enroll("Device", enrolled(leaf))
        return await world.outcome("DEVICE", leaf)

    assert play(scenario) == "assigned"


def test_a_kelvin_sign_is_no_k() -> None:
    leaf = self_signed(common_names("devi\u212ae"))

    async def scenario(world: World):
        await world.enroll("devike", enrolled(leaf))
        return await world.outcome("devike", leaf), (await world.last_attempt("devike"))["reason"]

    message, reason = play(scenario)
    assert message == "Invalid certificate."
    assert "the common name of the leaf is 'devi\u212ae', the registration id is 'devike'" in reason


@pytest.mark.parametrize("names", [(), ("device", "device"), ("other", "device"), ("device\x00.evil",), (" device",)])
def test_a_leaf_whose_common_name_is_not_the_one_claimed(names: tuple[str, ...]) -> None:
    leaf = self_signed(common_names(*names))

    async def scenario(world: World):
        await world.enroll("device", enrolled(leaf))
        return await world.outcome("device", leaf)

    assert play(scenario) == "Invalid certificate."


def test_the_first_dns_name_is_a_setting() -> None:
    leaf = self_signed(common_names("name"), ("device", "other"))
    plain = self_signed(common_names("plain"))

    async def scenario(world: World):
        await world.enroll("device", enrolled(leaf))
        await world.enroll("plain", enrolled(plain))
        return [await world.outcome("device", leaf), await world.outcome("plain", plain)]

    rules = AttestationRules(x509_registration_id="first_dns_name_or_common_name")
    assert play(scenario) == ["Invalid certificate.", "assigned"]
    assert play(scenario, attestation=rules) == ["assigned", "assigned"]


def reason_of(registration_id: str, *chain: CertificateMaker, prepare) -> str:
    async def scenario(world: World) -> str:
        await prepare(world)
        await world.register(registration_id, *chain)
        return str((await world.last_attempt(registration_id))["reason"])

    return play(scenario)


def test_the_operator_is_told_where_the_chain_stops_and_which_authorities_there_are() -> None:
    async def prepare(world: World):
        await world.upload("our-root", ROOT)
        await world.group("fleet", certificates("signingCertificates", ROOT))

    reason = reason_of("device", DEVICE, prepare=prepare)
    assert "it stops at CN=device, whose issuer CN=low was neither sent nor uploaded" in reason
    assert "verified CA certificates are our-root" in reason


def test_the_operator_is_told_which_group_lacks_a_verified_authority() -> None:
    async def prepare(world: World):
        await world.upload("our-root", ROOT, verified=False)
        await world.group("fleet", certificates("signingCertificates", ROOT))

    reason = reason_of("device", DEVICE, LOW, prepare=prepare)
    assert "CN=root of the group 'fleet' is not below a verified CA certificate" in reason
    assert "no CA certificate is uploaded and verified" in reason


def test_the_operator_is_told_of_references_that_lead_nowhere() -> None:
    async def prepare(world: World):
        await world.enroll("device", references("gone"))

    assert reason_of("device", DEVICE, prepare=prepare) == (
        "the enrollment refers to 'gone', not uploaded or not verified"
    )


def test_an_enrolled_certificate_that_expired_is_refused_and_the_operator_told_when() -> None:
    expired = CertificateMaker.self_signed("device", days=(-10, -1))

    async def prepare(world: World):
        await world.enroll("device", certificates("clientCertificates", expired))

    reason = reason_of("device", expired, prepare=prepare)
    assert reason.startswith("CN=device expired at ")
    assert "server time" in reason


def test_an_uploaded_certificate_that_cannot_be_read_harms_no_other() -> None:
    async def scenario(world: World):
        await world.upload("broken", b"\x30\x03abc")
        await world.upload("root", ROOT)
        await world.group("fleet", certificates("signingCertificates", ROOT))
        return await world.outcome("device", DEVICE, LOW)

    assert play(scenario) == "assigned by fleet"


def test_an_enrollment_that_changes_to_other_certificates_ends_what_the_old_one_proved() -> None:
    async def scenario(world: World):
        await world.enroll("device", certificates("clientCertificates", OWN))
        seen = [await world.outcome("device", OWN)]
        await world.enroll("device", certificates("clientCertificates", NEXT))
        return [*seen, await world.outcome("device", OWN), await world.outcome("device", NEXT)]

    assert play(scenario) == ["assigned", "Invalid certificate.", "assigned"]
