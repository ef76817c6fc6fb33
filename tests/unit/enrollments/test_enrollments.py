"""Individual enrollments over the service API: what is stored, what is shown, ETags, keys and certificates."""

from __future__ import annotations

import asyncio
import base64
import re

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from tpm_samples import ENDORSEMENT_KEY, changed

from idscope.storage import CertificateThumbprintRow, EnrollmentRow, Key
from idscope.testing.application import ID_SCOPE, Application
from idscope.testing.certificates import CertificateMaker

ELLIPTIC_KEY = changed(2, b"\x00\x23")
KEY = base64.b64encode(b"p" * 32).decode()
OTHER = base64.b64encode(b"s" * 32).decode()
SYMMETRIC = {"type": "symmetricKey"}
ETAG = re.compile(r'"[0-9a-f]{8}-0000-[0-9a-f]{2}00-0000-[0-9a-f]{8}0000"\Z')


def with_application(scenario):
    async def inside():
        async with Application() as app:
            return await scenario(app)

    return asyncio.run(inside())


def body(registration_id="device", **members):
    return {"registrationId": registration_id, "attestation": SYMMETRIC, **members}


def pem(maker: CertificateMaker) -> str:
    return maker.certificate.public_bytes(Encoding.PEM).decode()


def der(maker: CertificateMaker) -> str:
    return base64.b64encode(maker.certificate.public_bytes(Encoding.DER)).decode()


async def put(app, document, *, if_match=None, path=None):
    headers = {} if if_match is None else {"if_match": if_match}
    return await app.service("PUT", f"/enrollments/{path or document['registrationId']}", document, **headers)


async def get(app, registration_id="device"):
    return (await app.service("GET", f"/enrollments/{registration_id}")).json()


async def mechanism(app, registration_id="device"):
    return (await app.service("POST", f"/enrollments/{registration_id}/attestationmechanism")).json()


def code(answer):
    return answer.status, answer.json()["errorCode"]


def test_a_new_enrollment_gets_keys_an_etag_and_times():
    async def inside(app):
        created = (await put(app, body())).json()
        assert ETAG.match(base64.b64decode(created["etag"]).decode())
        assert created["createdDateTimeUtc"] == created["lastUpdatedDateTimeUtc"] == "2023-11-14T22:13:20Z"
        assert created["provisioningStatus"] == "enabled"
        keys = created["attestation"]["symmetricKey"]
        assert len(base64.b64decode(keys["primaryKey"])) == len(base64.b64decode(keys["secondaryKey"])) == 64
        assert await mechanism(app) == {"type": "symmetricKey", "symmetricKey": keys}
        read = await get(app)
        assert read["attestation"] == SYMMETRIC
        assert read["registrationState"] == {"registrationId": "device", "status": "unassigned"}
        assert "registrationState" not in created

    with_application(inside)


@pytest.mark.parametrize(
    "keys", [None, {}, {"primaryKey": None, "secondaryKey": None}, {"primaryKey": "", "secondaryKey": ""}]
)
def test_keys_that_are_left_out_are_made_on_a_create_and_kept_on_an_update(keys):
    """quirk: C# reads an enrollment without keys and puts it back with empty ones."""

    async def inside(app):
        attestation = {"type": "symmetricKey", "symmetricKey": keys}
        created = (await put(app, body(attestation=attestation))).json()
        made = created["attestation"]["symmetricKey"]
        assert made["primaryKey"]
        assert made["secondaryKey"]
        updated = (await put(app, body(attestation=attestation), if_match="*")).json()
        assert updated["attestation"]["symmetricKey"] == made

    with_application(inside)


def test_one_key_may_be_changed_alone():
    async def inside(app):
        made = (await put(app, body())).json()["attestation"]["symmetricKey"]
        attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY}}
        await put(app, body(attestation=attestation), if_match="*")
        kept = (await mechanism(app))["symmetricKey"]
        assert kept == {"primaryKey": KEY, "secondaryKey": made["secondaryKey"]}

    with_application(inside)


def test_another_mechanism_keeps_nothing_of_the_old_one():
    async def inside(app):
        before = (await put(app, body())).json()["attestation"]["symmetricKey"]
        await put(app, body(attestation={"type": "none"}), if_match="*")
        after = (await put(app, body(), if_match="*")).json()["attestation"]["symmetricKey"]
        assert before["primaryKey"] != after["primaryKey"]

    with_application(inside)


def test_an_update_replaces_everything_but_birth_and_spelling():
    async def inside(app):
        first = (await put(app, body("My-Device", deviceId="a", initialTwin={"tags": {"a": 1}}))).json()
        app.clock.advance(10)
        second = (await put(app, body("MY-DEVICE", iotHubs=["h.net"]), if_match=first["etag"])).json()
        assert second["registrationId"] == "My-Device"
        assert "deviceId" not in second
        assert "initialTwin" not in second
        assert second["iotHubs"] == ["h.net"]
        assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]
        assert second["lastUpdatedDateTimeUtc"] == "2023-11-14T22:13:30Z"
        assert second["etag"] != first["etag"]

    with_application(inside)


def test_null_members_are_left_out_except_the_provisioning_status():
    async def inside(app):
        nulls = dict.fromkeys(("deviceId", "capabilities", "iotHubs", "initialTwin", "optionalDeviceInformation"))
        created = (await put(app, body(**nulls, provisioningStatus=None))).json()
        assert created["provisioningStatus"] is None
        assert not set(nulls) & set(created)

    with_application(inside)


def test_free_members_are_kept_byte_for_byte():
    """quirk: tags named version, count and metadata are ordinary tags."""
    raw = (
        b'{"registrationId":"device","attestation":{"type":"symmetricKey"},"optionalDeviceInformation":{"x": 1.10},'
        b'"initialTwin":{"tags":{"version": "v1", "count":"many","metadata":[1]},'
        b'"properties":{"desired":{"big":123456789012345678901234567890, "e":1E5}}}}'
    )

    async def inside(app):
        await app.service("PUT", "/enrollments/device", raw)
        answer = (await app.service("GET", "/enrollments/device")).body
        for part in (
            b'{"x": 1.10}',
            b'{"version": "v1", "count":"many","metadata":[1]}',
            b'"big":123456789012345678901234567890, "e":1E5',
        ):
            assert part in answer

    with_application(inside)


@pytest.mark.parametrize(
    ("if_match", "status", "error_code"),
    [
        (None, 409, 409201),
        ("", 409, 409201),
        ("*", 200, None),
        ('"*"', 200, None),
        ("{etag}", 200, None),
        ('"{etag}"', 200, None),
        ('W/"{etag}"', 200, None),
        ("stale", 412, 412000),
        ('"stale"', 412, 412000),
    ],
)
def test_if_match_on_what_exists(if_match, status, error_code):
    async def inside(app):
        etag = (await put(app, body())).json()["etag"]
        answer = await put(app, body(), if_match=None if if_match is None else if_match.format(etag=etag))
        assert answer.status == status
        if error_code is not None:
            assert answer.json()["errorCode"] == error_code

    with_application(inside)


@pytest.mark.parametrize("if_match", ["*", "some"])
def test_if_match_on_what_does_not_exist(if_match):
    async def inside(app):
        assert code(await put(app, body(), if_match=if_match)) == (412, 412000)
        assert code(await app.service("DELETE", "/enrollments/device", if_match=if_match)) == (404, 404201)
        assert code(await app.service("GET", "/enrollments/device")) == (404, 404201)

    with_application(inside)


def test_delete_with_and_without_an_etag():
    async def inside(app):
        etag = (await put(app, body())).json()["etag"]
        assert code(await app.service("DELETE", "/enrollments/device", if_match="stale")) == (412, 412000)
        deleted = await app.service("DELETE", "/enrollments/DEVICE", if_match=etag)
        assert (deleted.status, deleted.body) == (204, b"")
        assert "content-type" not in deleted.headers
        await put(app, body())
        assert (await app.service("DELETE", "/enrollments/device")).status == 204
        assert code(await app.service("DELETE", "/enrollments/device")) == (404, 404201)

    with_application(inside)


def test_an_etag_in_the_body_is_no_condition_but_must_be_bare():
    async def inside(app):
        assert (await put(app, body(etag="whatever"))).status == 200
        answer = await put(app, body(etag='"quoted"'), if_match="*")
        assert code(answer) == (400, 400004)
        assert answer.json()["message"] == "ETag is invalid"
        assert (await put(app, body(etag="*"), if_match="*")).status == 200

    with_application(inside)


def test_of_many_writers_with_one_etag_one_wins():
    async def inside(app):
        etag = (await put(app, body())).json()["etag"]
        answers = await asyncio.gather(*(put(app, body(deviceId=f"d{n}"), if_match=etag) for n in range(20)))
        assert sorted(answer.status for answer in answers) == [200] + [412] * 19
        (winner,) = (answer.json() for answer in answers if answer.status == 200)
        assert (await get(app))["deviceId"] == winner["deviceId"]

    with_application(inside)


@pytest.mark.parametrize(
    ("document", "error_code"),
    [
        (body("bad_"), 400004),
        (body(attestation={"type": "x509"}), 400004),
        (body(attestation={"type": "x509", "x509": {}}), 400004),
        (
            body(attestation={"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": "no"}}}}),
            400004,
        ),
        (body(attestation={"type": "x509", "x509": {"clientCertificates": {"primary": {}}}}), 400004),
        (body(attestation={"type": "tpm"}), 400004),
        (body(attestation={"type": "tpm", "tpm": {"endorsementKey": "no"}}), 400004),
        (body(attestation={"type": "tpm", "tpm": {"endorsementKey": "AAUA"}}), 400004),
        (body(attestation={"type": "tpm", "tpm": {"endorsementKey": ELLIPTIC_KEY}}), 400004),
        (
            body(attestation={"type": "tpm", "tpm": {"endorsementKey": ENDORSEMENT_KEY, "storageRootKey": "AAEA"}}),
            400004,
        ),
        (body(attestation={"type": "unheard of"}), 400004),
        (body(attestation={"type": "symmetricKey", "symmetricKey": {"primaryKey": "short"}}), 400004),
        (body(attestation=None), 400004),
        ({"registrationId": "device"}, 400004),
        (body(deviceId="a b"), 400004),
        (body(deviceId="x" * 129), 400004),
        (body(allocationPolicy="custom"), 400004),
        (body(allocationPolicy="unheard of"), 400004),
        (body(customAllocationDefinition={"webhookUrl": "https://x.test"}), 400004),
        (body(customAllocationDefinition={"webhookUrl": "", "apiVersion": ""}), 400004),
        (body(provisioningStatus="maybe"), 400004),
        (body(capabilities={"iotEdge": "yes"}), 400004),
        (body(initialTwin={"tags": []}), 400004),
        (body(initialTwin={"properties": {"desired": "x"}}), 400004),
        (body(optionalDeviceInformation=7), 400004),
        (body(iotHubs="h.net"), 400004),
        (b"[]", 400004),
        (b"", 400006),
        (b"{", 400006),
    ],
)
def test_what_cannot_be_enrolled_changes_nothing(document, error_code):
    async def inside(app):
        registration_id = document["registrationId"] if isinstance(document, dict) else "device"
        answer = await app.service("PUT", f"/enrollments/{registration_id}", document)
        assert code(answer) == (400, error_code)
        assert await app.store.page(EnrollmentRow, (ID_SCOPE,), None, 10) == []

    with_application(inside)


def test_the_published_words_for_missing_parts():
    async def inside(app):
        custom = await put(app, body(allocationPolicy="custom"))
        assert custom.json()["message"] == (
            "A CustomAllocationDefinition is required when the allocation policy is set to 'Custom'"
        )
        x509 = await put(app, body(attestation={"type": "x509"}))
        assert x509.json()["message"] == "TPM or X509 attestation is required."

    with_application(inside)


def test_the_id_in_the_path_is_the_id_in_the_body():
    async def inside(app):
        assert code(await put(app, body("other"), path="device")) == (400, 400004)
        assert (await put(app, body("Device"), path="dEVICE")).status == 200

    with_application(inside)


@pytest.mark.parametrize(
    "form", [pem, der, lambda maker: base64.b64encode(pem(maker).encode()).decode(), lambda maker: pem(maker).strip()]
)
def test_certificates_in_every_form_are_told_by_their_info_and_never_echoed(form):
    """quirk: Node's group tests send Base64 of the PEM text."""
    maker = CertificateMaker.self_signed("device-7")

    async def inside(app):
        attestation = {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": form(maker)}}}}
        answers = [(await put(app, body(attestation=attestation))).json(), await get(app)]
        for shown in (*(answer["attestation"] for answer in answers), await mechanism(app)):
            slots = shown["x509"]["clientCertificates"]
            assert slots["primary"] == slots["secondary"], "a missing secondary is filled with the primary's info"
            assert set(slots["primary"]) == {"info"}
            info = slots["primary"]["info"]
            assert info["subjectName"] == info["issuerName"] == "CN=device-7"
            assert info["sha1Thumbprint"] == maker.certificate.fingerprint(hashes.SHA1()).hex().upper()
            assert info["sha256Thumbprint"] == maker.certificate.fingerprint(hashes.SHA256()).hex().upper()
            assert int(info["serialNumber"], 16) == maker.certificate.serial_number
            assert info["serialNumber"] == info["serialNumber"].upper()
            assert info["notBeforeUtc"] == maker.certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
            assert info["version"] == 3

    with_application(inside)


def test_an_enrollment_that_was_read_can_be_put_back():
    """A slot that holds only `info` keeps its certificate; a null one loses it."""
    first, second = CertificateMaker.self_signed("one"), CertificateMaker.self_signed("two")

    async def inside(app):
        certificates = {"primary": {"certificate": pem(first)}, "secondary": {"certificate": pem(second)}}
        await put(app, body(attestation={"type": "x509", "x509": {"clientCertificates": certificates}}))
        read = await get(app)
        again = await put(app, read, if_match=read["etag"])
        assert again.json()["attestation"] == read["attestation"]
        read["attestation"]["x509"]["clientCertificates"]["primary"] = None
        less = (await put(app, read, if_match="*")).json()["attestation"]["x509"]["clientCertificates"]
        assert list(less) == ["secondary"]
        assert less["secondary"]["info"]["subjectName"] == "CN=two"

    with_application(inside)


def test_a_certificate_stands_in_one_enrollment_and_may_fill_both_of_its_slots():
    maker = CertificateMaker.self_signed("device")
    both = {"primary": {"certificate": pem(maker)}, "secondary": {"certificate": pem(maker)}}
    attestation = {"type": "x509", "x509": {"clientCertificates": both}}

    async def inside(app):
        assert (await put(app, body("one", attestation=attestation))).status == 200
        refused = await put(app, body("two", attestation=attestation))
        assert code(refused) == (400, 400004)
        assert code(await app.service("GET", "/enrollments/two")) == (404, 404201)
        await app.service("DELETE", "/enrollments/one")
        assert (await put(app, body("two", attestation=attestation))).status == 200
        await put(app, body("two"), if_match="*")
        assert (await put(app, body("one", attestation=attestation))).status == 200
        thumbprint = maker.certificate.fingerprint(hashes.SHA256()).hex().upper()
        (row,) = await app.store.fetch((Key(CertificateThumbprintRow, (ID_SCOPE, thumbprint)),))
        assert row.owner == "enrollment/one"

    with_application(inside)


def test_signing_certificates_ca_references_and_tpm_are_read_back():
    root = CertificateMaker.authority("root")

    async def inside(app):
        signing = {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": pem(root)}}}}
        shown = (await put(app, body("one", attestation=signing))).json()["attestation"]["x509"]
        assert shown["signingCertificates"]["primary"]["info"]["subjectName"] == "CN=root"
        references = {"type": "x509", "x509": {"caReferences": {"primary": "unknown-ca", "secondary": "other"}}}
        assert (await put(app, body("two", attestation=references))).json()["attestation"] == references
        tpm = {"type": "tpm", "tpm": {"endorsementKey": ENDORSEMENT_KEY}}
        for registration_id in ("three", "four"):  # an endorsement key is not unique
            assert (await put(app, body(registration_id, attestation=tpm))).json()["attestation"] == tpm
        assert (await get(app, "four"))["attestation"] == await mechanism(app, "four") == tpm

    with_application(inside)


def test_what_the_live_service_accepts_is_accepted():
    async def inside(app):
        webhook = {"webhookUrl": "https://www.test.test/?code=secret", "apiVersion": "2030-01-01"}
        accepted = [
            body("static", allocationPolicy="static", iotHubs=None),
            body("webhook", allocationPolicy="geoLatency", customAllocationDefinition=webhook),
            body("hubs", iotHubs=["not.linked.net"]),
            body("symmetrickey:3f1c2b", iotHubHostName="h.net", iotHubs=["g.net"]),
            body("policy", reprovisionPolicy={"updateHubAssignment": False}),
        ]
        for document in accepted:
            answer = await app.service("PUT", f"/enrollments/{document['registrationId']}", document)
            assert answer.status == 200, answer.body
        assert (await get(app, "webhook"))["customAllocationDefinition"] == webhook
        both = {"updateHubAssignment": False, "migrateDeviceData": True}
        assert (await get(app, "policy"))["reprovisionPolicy"] == both

    with_application(inside)


def test_no_secret_is_stored_in_clear():
    async def inside(app):
        attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": OTHER}}
        webhook = {"webhookUrl": "https://x.test/?code=function-key", "apiVersion": "2021-10-01"}
        await put(app, body(attestation=attestation, customAllocationDefinition=webhook))
        (row,) = await app.store.fetch((Key(EnrollmentRow, (ID_SCOPE, "device")),))
        for secret in (KEY, OTHER, "function-key"):
            assert secret not in row.document.decode() + row.sealed

    with_application(inside)


def test_members_newer_than_the_asked_version_are_not_shown():
    async def inside(app):
        await app.service(
            "PUT",
            "/enrollments/device?api-version=2026-11-01",
            body(credentialPolicyName="p", namespaceName="n", certificateAuthorityName="c", certificatePolicyName="q"),
        )
        seen = {}
        for version in ("2021-10-01", "2025-07-01-preview", "2026-04-01", "2026-11-01"):
            document = (await app.service("GET", f"/enrollments/device?api-version={version}")).json()
            seen[version] = {name for name in document if name.endswith("Name")}
        policy = {"credentialPolicyName"}
        everything = policy | {"namespaceName", "certificateAuthorityName", "certificatePolicyName"}
        assert list(seen.values()) == [set(), policy, policy, everything]

    with_application(inside)
