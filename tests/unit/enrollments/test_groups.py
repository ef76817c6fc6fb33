"""Enrollment groups over the service API, and the registrations that come of them."""

from __future__ import annotations

import asyncio
import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tpm_samples import ENDORSEMENT_KEY

from idscope.secret import Secret
from idscope.security.keys import derive_device_key
from idscope.testing.application import ID_SCOPE, Application
from idscope.testing.certificates import CertificateMaker

SYMMETRIC = {"type": "symmetricKey"}
KEY = base64.b64encode(b"g" * 64).decode()


def with_application(scenario):
    async def inside():
        async with Application() as app:
            return await scenario(app)

    return asyncio.run(inside())


def group(group_id="group", **members):
    return {"enrollmentGroupId": group_id, "attestation": SYMMETRIC, **members}


async def put(app, document, **headers):
    return await app.service("PUT", f"/enrollmentGroups/{document['enrollmentGroupId']}", document, **headers)


async def make(app, group_id="group", **members):
    answer = await put(app, group(group_id, **members))
    assert answer.status == 200, answer.body
    return answer.json()["attestation"].get("symmetricKey", {}).get("primaryKey")


def derived(group_key: str, registration_id: str) -> str:
    return derive_device_key(Secret(group_key), registration_id).reveal()


def code(answer):
    return answer.status, answer.json()["errorCode"]


@pytest.mark.parametrize("slot", ["primary", "secondary"])
def test_a_reference_to_a_ca_certificate_is_any_name_but_not_of_any_length(slot):
    async def inside(app):
        for length, status in ((1025, 400), (1024, 200)):
            references = {"caReferences": {slot: "ж" * length}}
            asked = group("by-ca", attestation={"type": "x509", "x509": references})
            assert (await put(app, asked)).status == status

    with_application(inside)


def test_a_group_is_made_read_updated_and_deleted():
    async def inside(app):
        created = (await put(app, group("My-Group", iotHubs=["h.net"]))).json()
        assert set(created["attestation"]["symmetricKey"]) == {"primaryKey", "secondaryKey"}
        read = (await app.service("GET", "/enrollmentgroups/my-GROUP")).json()
        assert read["attestation"] == SYMMETRIC
        assert read["enrollmentGroupId"] == "My-Group"
        assert "registrationState" not in read
        mechanism = await app.service("POST", "/enrollmentgroups/my-group/attestationmechanism")
        assert mechanism.json() == created["attestation"]
        assert code(await put(app, group("My-Group"))) == (409, 409202)
        updated = (await put(app, group("My-Group"), if_match=created["etag"])).json()
        assert updated["attestation"] == created["attestation"], "keys that are left out are kept"
        assert "iotHubs" not in updated
        assert code(await put(app, group("My-Group"), if_match="stale")) == (412, 412000)
        assert (await app.service("DELETE", "/enrollmentGroups/My-Group")).status == 204
        assert code(await app.service("GET", "/enrollmentGroups/My-Group")) == (404, 404204)
        assert code(await app.service("DELETE", "/enrollmentGroups/My-Group")) == (404, 404204)

    with_application(inside)


@pytest.mark.parametrize(
    "attestation",
    [
        {"type": "tpm", "tpm": {"endorsementKey": ENDORSEMENT_KEY}},
        {"type": "x509"},
        {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": "{pem}"}}}},
        {"type": "symmetricKey", "symmetricKey": {"primaryKey": "short"}},
    ],
)
def test_what_no_group_attests_by(attestation):
    pem = CertificateMaker.authority("root").certificate.public_bytes(Encoding.PEM).decode()
    certificates = attestation.get("x509", {}).get("clientCertificates")
    if certificates:
        certificates["primary"]["certificate"] = pem

    async def inside(app):
        assert code(await put(app, group(attestation=attestation))) == (400, 400004)

    with_application(inside)


def test_a_group_attests_by_an_unverified_authority_and_by_references():
    """Observed: both are accepted, and judged when a device registers."""
    pem = CertificateMaker.authority("root").certificate.public_bytes(Encoding.PEM).decode()

    async def inside(app):
        signing = {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": pem}}}}
        shown = (await put(app, group("a", attestation=signing))).json()["attestation"]["x509"]["signingCertificates"]
        assert shown["primary"]["info"]["subjectName"] == "CN=root"
        assert code(await put(app, group("b", attestation=signing))) == (400, 400004), "one certificate, one group"
        references = {"type": "x509", "x509": {"caReferences": {"primary": "not-uploaded"}}}
        assert (await put(app, group("c", attestation=references))).json()["attestation"] == references

    with_application(inside)


def test_groups_are_listed_and_changed_in_bulk():
    async def inside(app):
        items = [group(f"g{number}") for number in range(10)]
        created = await app.service("POST", "/enrollmentGroups", {"mode": "create", "enrollmentGroups": items})
        assert created.json() == {"errors": [], "isSuccessful": True}
        page = await app.service("POST", "/enrollmentGroups/query", {"query": "SELECT * FROM enrollmentGroups"})
        assert [document["enrollmentGroupId"] for document in page.json()] == [f"g{number}" for number in range(10)]
        assert page.headers["x-ms-item-type"] == "EnrollmentGroup"
        wrong = await app.service("POST", "/enrollmentGroups/query", {"query": "SELECT * FROM enrollments"})
        assert code(wrong) == (400, 400004)
        update = await app.service("POST", "/enrollmentGroups/", {"mode": "update", "enrollmentGroups": items[:1]})
        assert update.json() == {
            "errors": [
                {"enrollmentGroupId": "g0", "errorCode": 409202, "errorStatus": "EnrollmentGroup already exists."}
            ],
            "isSuccessful": False,
        }

    with_application(inside)


def test_a_device_of_a_group_registers_with_its_derived_key():
    async def inside(app):
        group_key = await make(app, "Group", initialTwin={"tags": {"a": 1}}, capabilities={"iotEdge": True})
        state = (await app.register("Device-1", derived(group_key, "Device-1"))).json()["registrationState"]
        assert (state["status"], state["substatus"]) == ("assigned", "initialAssignment")
        assert state["registrationId"] == state["deviceId"] == "Device-1"
        assert state["symmetricKey"] == {"enrollmentGroupId": "Group"}
        device = (await app.hub("GET", "/devices/Device-1")).json()
        assert device["authentication"]["symmetricKey"]["primaryKey"] == derived(group_key, "Device-1")
        assert device["capabilities"] == {"iotEdge": True}
        assert (await app.hub("GET", "/twins/Device-1")).json()["tags"] == {"a": 1}
        again = await app.register("device-1", derived(group_key, "device-1"), version="2021-10-01")
        assert again.json()["registrationState"]["deviceId"] == "Device-1", "the first spelling stays"
        assert again.json()["registrationState"]["substatus"] == "reprovisionedToInitialAssignment"

    with_application(inside)


def test_the_secondary_key_and_a_key_derived_in_lower_case_open_too():
    async def inside(app):
        document = (await put(app, group())).json()["attestation"]["symmetricKey"]
        secondary = derived(document["secondaryKey"], "one")
        assert (await app.register("one", secondary)).json()["status"] == "assigned"
        keys = (await app.hub("GET", "/devices/one")).json()["authentication"]["symmetricKey"]
        assert keys == {"primaryKey": secondary, "secondaryKey": derived(document["primaryKey"], "one")}
        lower = derived(document["primaryKey"], "two")
        assert (await app.register("TWO", lower)).json()["status"] == "assigned"
        assert (await app.hub("GET", "/devices/TWO")).json()["authentication"]["symmetricKey"]["primaryKey"] == lower

    with_application(inside)


def test_the_key_alone_finds_the_group_among_many():
    async def inside(app):
        keys = {name: await make(app, name) for name in (f"g{number:02}" for number in range(12))}
        for name in ("g00", "g07", "g11"):
            state = (await app.register(f"of-{name}", derived(keys[name], f"of-{name}"))).json()["registrationState"]
            assert state["symmetricKey"] == {"enrollmentGroupId": name}

    with_application(inside)


def test_who_is_not_of_a_group():
    async def inside(app):
        key = await make(app)
        for wrong in (key, derived(key, "other"), KEY, derived(KEY, "device")):
            answer = await app.register("device", wrong)
            assert code(answer) == (401, 401002)
            assert answer.json()["message"] == "Unauthorized"

    with_application(inside)


def test_the_operator_is_told_of_a_group_key_that_was_used_itself():
    async def inside(app):
        key = await make(app)
        await app.register("device", key)
        return (await app.operator("GET", "/admin/registrations/device/attempts")).json()["attempts"]

    (attempt,) = with_application(inside)
    assert "itself instead of the key derived" in attempt["reason"]


def test_an_individual_enrollment_decides_before_any_group():
    async def inside(app):
        key = derived(await make(app), "device")
        assert (await app.register("device", key)).json()["status"] == "assigned"
        own = (await app.enroll("device", provisioningStatus="disabled"))["attestation"]["symmetricKey"]["primaryKey"]
        assert (await app.register("device", key)).json()["status"] == "disabled", "its credential is good elsewhere"
        assert (await app.register("device", derived(KEY, "device"))).status == 401
        assert (await app.register("device", own)).json()["status"] == "disabled"
        enabled = (await app.service("GET", "/enrollments/device")).json() | {"provisioningStatus": "enabled"}
        await app.service("PUT", "/enrollments/device", enabled, if_match="*")
        assert (await app.register("device", key)).status == 401, "the group is not asked any more"
        assert (await app.register("device", own)).json()["status"] == "assigned"
        await app.service("DELETE", "/enrollments/device")
        assert (await app.register("device", key)).json()["status"] == "assigned"

    with_application(inside)


def test_a_disabled_group_tells_its_own_devices_only():
    async def inside(app):
        key = await make(app)
        await put(app, group(provisioningStatus="disabled"), if_match="*")
        answer = (await app.register("device", derived(key, "device"))).json()
        assert answer["status"] == answer["registrationState"]["status"] == "disabled"
        assert (await app.register("device", derived(KEY, "device"))).status == 401
        record = (await app.service("GET", "/registrations/device")).json()
        assert set(record) == {"registrationId", "status", "etag", "lastUpdatedDateTimeUtc"}

    with_application(inside)


def test_a_disabled_individual_enrollment_beats_an_enabled_group_and_the_other_way_round():
    async def inside(app):
        key = await make(app, provisioningStatus="disabled")
        own = (await app.enroll("device"))["attestation"]["symmetricKey"]["primaryKey"]
        assert (await app.register("device", own)).json()["status"] == "assigned"
        assert (await app.register("other", derived(key, "other"))).json()["status"] == "disabled"

    with_application(inside)


def test_a_deleted_group_leaves_its_records_which_bind_nothing():
    async def inside(app):
        first = await make(app, "first")
        await app.register("device", derived(first, "device"))
        await app.service("DELETE", "/enrollmentGroups/first")
        assert (await app.register("device", derived(first, "device"))).status == 401
        assert (await app.service("GET", "/registrations/device")).json()["status"] == "assigned"
        listed = await app.service("POST", "/registrations/first/query")
        assert [state["registrationId"] for state in listed.json()] == ["device"]
        second = await make(app, "second")
        state = (await app.register("device", derived(second, "device"))).json()["registrationState"]
        assert state["symmetricKey"] == {"enrollmentGroupId": "second"}
        assert [s["registrationId"] for s in (await app.service("POST", "/registrations/second/query")).json()] == [
            "device"
        ]
        assert code(await app.service("POST", "/registrations/first/query")) == (404, 404204)

    with_application(inside)


def test_another_worker_sees_a_new_group_at_once():
    async def inside(app):
        other = Application(store=app.store, clock=app.clock)
        async with other:
            assert (await other.register("device", derived(KEY, "device"))).status == 401
            attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY}}
            await make(app, attestation=attestation)
            assert (await other.register("device", derived(KEY, "device"))).json()["status"] == "assigned"

    with_application(inside)


def test_registration_records_are_read_listed_in_pages_and_deleted():
    async def inside(app):
        key = await make(app)
        assert (await app.service("POST", "/registrations/group/query")).json() == []
        for number in range(25):
            await app.register(f"device-{number:02}", derived(key, f"device-{number:02}"))
        first = await app.service("POST", "/registrations/group/query", {"query": "SELECT *"}, x_ms_max_item_count="20")
        assert len(first.json()) == 20
        assert first.headers["x-ms-item-type"] == "DeviceRegistration"
        token = first.headers["x-ms-continuation"]
        second = await app.service("POST", "/registrations/group/query", x_ms_continuation=token)
        assert [state["registrationId"] for state in second.json()] == [f"device-{n:02}" for n in range(20, 25)]
        assert "x-ms-continuation" not in second.headers
        one = (await app.service("GET", "/registrations/DEVICE-03")).json()
        assert list(one) == [
            "registrationId", "createdDateTimeUtc", "assignedHub", "deviceId", "status", "substatus",
            "lastUpdatedDateTimeUtc", "etag",
        ]  # fmt: skip
        assert code(await app.service("DELETE", "/registrations/device-03", if_match="stale")) == (412, 412000)
        assert (await app.service("DELETE", "/registrations/device-03", if_match=one["etag"])).status == 204
        assert code(await app.service("GET", "/registrations/device-03")) == (404, 404202)
        assert code(await app.service("DELETE", "/registrations/device-03")) == (404, 404202)
        state = (await app.register("device-03", derived(key, "device-03"))).json()["registrationState"]
        assert state["substatus"] == "initialAssignment"

    with_application(inside)


def test_a_group_device_that_was_assigning_ends_with_its_group():
    async def inside(app):
        path = f"/{ID_SCOPE}/registrations/device?api-version=2021-06-01"
        key = derived(await make(app, "Group"), "device")
        before = await app.request("POST", path, authorization=app.device_token("device", key))
        assert before.json() == {"registrationId": "device", "status": "unassigned"}

    with_application(inside)
