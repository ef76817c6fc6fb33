"""Individual enrollments, as Microsoft's three service SDKs create, read, change and delete them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from sdk_documents import (
    ENDORSEMENT_KEY,
    Certificate,
    new_key,
    self_signed,
    self_signed_ending_in_a_blank,
    symmetric_key_enrollment,
)
from sdk_drivers import SdkError, ServiceSdk

Document = dict[str, Any]
NewId = Callable[[], str]

NODE, PYTHON, OLD_PYTHON = (
    "azure-iot-provisioning-service",
    "azure-iot-deviceprovisioning",
    "azure-iothub-provisioningserviceclient",
)

# How each SDK names the HTTP status of an error.
ERROR_NAMES = {
    NODE: {
        400: "ArgumentError",
        401: "UnauthorizedError",
        404: "Error",
        409: "DeviceAlreadyExistsError",
        412: "InvalidEtagError",
    },
    PYTHON: {
        400: "HttpResponseError",
        401: "ClientAuthenticationError",
        404: "ResourceNotFoundError",
        409: "ResourceExistsError",
        412: "HttpResponseError",
    },
    OLD_PYTHON: dict.fromkeys((400, 401, 404, 409, 412), "ProvisioningServiceError"),
}

TWIN: Document = {
    "tags": {"site": {"floor": 3, "rooms": ["a", "b", 7, {"deep": [1.5, True]}]}, "owner": "Grüße"},
    "properties": {"desired": {"interval": 10, "levels": [1, 2, 3], "nested": {"on": True, "text": ""}}},
}


def assert_refused(service: ServiceSdk, error: SdkError, status: int) -> None:
    """The SDK raised its own error for this status, from the catalogue's JSON body."""
    assert (error.status, error.name) == (status, ERROR_NAMES[service.name][status]), str(error)
    assert error.body is not None
    body = json.loads(error.body)
    assert body["errorCode"] // 1000 == status
    assert body["message"]
    assert body["trackingId"]
    assert body["timestampUtc"].endswith("Z")


def client_certificates(primary: str, secondary: str | None = None) -> Document:
    certificates: Document = {"primary": {"certificate": primary}}
    if secondary is not None:
        certificates["secondary"] = {"certificate": secondary}
    return {"type": "x509", "x509": {"clientCertificates": certificates}}


# create and read back


def test_keys_are_generated(service: ServiceSdk, registration_id: str) -> None:
    created = service.put(symmetric_key_enrollment(registration_id))

    made = created["attestation"]["symmetricKey"]
    assert len({made["primaryKey"], made["secondaryKey"]}) == 2
    assert all(len(base64.b64decode(key, validate=True)) >= 32 for key in made.values())
    assert service.attestation(registration_id) == created["attestation"]


def test_given_keys_are_kept(service: ServiceSdk, registration_id: str, keys: Document) -> None:
    created = service.put(symmetric_key_enrollment(registration_id, keys))

    assert created["attestation"] == {"type": "symmetricKey", "symmetricKey": keys}
    assert service.attestation(registration_id) == {"type": "symmetricKey", "symmetricKey": keys}


def test_a_read_shows_no_key(service: ServiceSdk, registration_id: str, keys: Document) -> None:
    created = service.put(symmetric_key_enrollment(registration_id, keys))

    read = service.get(registration_id)

    assert read["attestation"] == {"type": "symmetricKey"}
    assert read["etag"] == created["etag"]
    assert read["createdDateTimeUtc"] == created["createdDateTimeUtc"]
    assert read["registrationState"] == {"registrationId": registration_id, "status": "unassigned"}


def test_optional_members_are_read_back(service: ServiceSdk, registration_id: str, hub_host_name: str) -> None:
    members: Document = {
        "deviceId": f"{registration_id}_Own",
        "provisioningStatus": "disabled",
        "initialTwin": TWIN,
        "capabilities": {"iotEdge": True},
        "iotHubs": [hub_host_name],
        "allocationPolicy": "static",
        "reprovisionPolicy": {"updateHubAssignment": False, "migrateDeviceData": True},
    }
    if service.name != OLD_PYTHON:  # its models are older than this member
        members["optionalDeviceInformation"] = {"serial": "x-1", "parts": [1, {"a": [None]}]}

    created = service.put(symmetric_key_enrollment(registration_id, **members))
    read = service.get(registration_id)

    assert {name: created.get(name) for name in members} == members
    assert {name: read.get(name) for name in members} == members


def test_a_member_that_was_not_sent_is_not_made_up(service: ServiceSdk, registration_id: str) -> None:
    service.put(symmetric_key_enrollment(registration_id))

    made_up = {"capabilities", "reprovisionPolicy", "allocationPolicy", "initialTwin", "iotHubs", "deviceId"}
    assert not made_up & service.get(registration_id).keys()


@pytest.mark.parametrize("form", ["pem", "base64_der", "base64_pem"])
def test_certificates_are_shown_by_their_facts(service: ServiceSdk, registration_id: str, form: str) -> None:
    primary, secondary = self_signed(registration_id), self_signed(f"{registration_id}-2")
    attestation = client_certificates(getattr(primary, form), getattr(secondary, form))

    created = service.put({"registrationId": registration_id, "attestation": attestation})

    for document in (created, service.get(registration_id)):
        shown = document["attestation"]["x509"]["clientCertificates"]
        assert_shows(shown["primary"], primary)
        assert_shows(shown["secondary"], secondary)


def test_a_certificate_may_end_in_a_blank(service: ServiceSdk, registration_id: str) -> None:
    certificate = self_signed_ending_in_a_blank(registration_id)

    service.put({"registrationId": registration_id, "attestation": client_certificates(certificate.base64_der)})

    assert_shows(service.get(registration_id)["attestation"]["x509"]["clientCertificates"]["primary"], certificate)


def test_one_certificate_fills_both_slots(service: ServiceSdk, registration_id: str) -> None:
    certificate = self_signed(registration_id)

    service.put({"registrationId": registration_id, "attestation": client_certificates(certificate.pem)})

    shown = service.get(registration_id)["attestation"]["x509"]["clientCertificates"]
    assert_shows(shown["primary"], certificate)
    assert_shows(shown["secondary"], certificate)


def assert_shows(slot: Document, certificate: Certificate) -> None:
    assert not slot.get("certificate")
    info = slot["info"]
    assert info["subjectName"] == info["issuerName"] == f"CN={certificate.common_name}"
    assert info["sha1Thumbprint"] == certificate.sha1_thumbprint
    assert info["sha256Thumbprint"] == certificate.sha256_thumbprint
    assert int(info["serialNumber"], 16) == certificate.serial_number
    assert info["serialNumber"] == info["serialNumber"].upper()
    assert info["version"] == 3


def test_endorsement_key_is_read_back(service: ServiceSdk, registration_id: str) -> None:
    attestation = {"type": "tpm", "tpm": {"endorsementKey": ENDORSEMENT_KEY}}

    service.put({"registrationId": registration_id, "attestation": attestation})

    assert service.get(registration_id)["attestation"] == attestation
    assert service.attestation(registration_id) == attestation


# change


def test_update_with_the_present_etag(service: ServiceSdk, registration_id: str) -> None:
    created = service.put(symmetric_key_enrollment(registration_id))

    changed = service.put(
        symmetric_key_enrollment(registration_id, provisioningStatus="disabled"), if_match=created["etag"]
    )

    assert changed["provisioningStatus"] == "disabled"
    assert changed["etag"] != created["etag"]
    assert changed["createdDateTimeUtc"] == created["createdDateTimeUtc"]
    assert service.get(registration_id)["etag"] == changed["etag"]


def test_update_with_a_stale_etag_is_refused(service: ServiceSdk, registration_id: str) -> None:
    created = service.put(symmetric_key_enrollment(registration_id))
    service.put(symmetric_key_enrollment(registration_id), if_match=created["etag"])

    with pytest.raises(SdkError) as refused:
        service.put(symmetric_key_enrollment(registration_id, provisioningStatus="disabled"), if_match=created["etag"])

    assert_refused(service, refused.value, 412)
    assert service.get(registration_id)["provisioningStatus"] != "disabled"


def test_update_with_any_etag(service: ServiceSdk, registration_id: str) -> None:
    service.put(symmetric_key_enrollment(registration_id))

    changed = service.put(symmetric_key_enrollment(registration_id, deviceId="other"), if_match="*")

    assert changed["deviceId"] == "other"


def test_update_with_any_etag_of_an_unknown_id_is_refused(service: ServiceSdk, registration_id: str) -> None:
    with pytest.raises(SdkError) as refused:
        service.put(symmetric_key_enrollment(registration_id), if_match="*")

    assert_refused(service, refused.value, 412)


def test_create_of_an_existing_id_is_refused(service: ServiceSdk, registration_id: str, keys: Document) -> None:
    service.put(symmetric_key_enrollment(registration_id, keys))

    with pytest.raises(SdkError) as refused:
        service.put(symmetric_key_enrollment(registration_id))

    assert_refused(service, refused.value, 409)
    assert refused.value.error_code == 409201
    assert service.attestation(registration_id)["symmetricKey"] == keys


def test_get_and_put_back_keeps_the_keys(service: ServiceSdk, registration_id: str, keys: Document) -> None:
    service.put(symmetric_key_enrollment(registration_id, keys, initialTwin=TWIN))

    changed = service.put_back(registration_id)

    assert changed["initialTwin"] == TWIN
    assert service.attestation(registration_id)["symmetricKey"] == keys


def test_get_and_put_back_keeps_the_certificates(service: ServiceSdk, registration_id: str) -> None:
    primary, secondary = self_signed(registration_id), self_signed(f"{registration_id}-2")
    attestation = client_certificates(primary.pem, secondary.base64_der)
    service.put({"registrationId": registration_id, "attestation": attestation})

    service.put_back(registration_id)

    shown = service.get(registration_id)["attestation"]["x509"]["clientCertificates"]
    assert_shows(shown["primary"], primary)
    assert_shows(shown["secondary"], secondary)


def test_get_and_put_back_keeps_the_endorsement_key(service: ServiceSdk, registration_id: str) -> None:
    attestation = {"type": "tpm", "tpm": {"endorsementKey": ENDORSEMENT_KEY}}
    service.put({"registrationId": registration_id, "attestation": attestation})

    service.put_back(registration_id)

    assert service.get(registration_id)["attestation"] == attestation


# delete


def test_delete(service: ServiceSdk, registration_id: str) -> None:
    service.put(symmetric_key_enrollment(registration_id))

    service.delete(registration_id)

    with pytest.raises(SdkError) as refused:
        service.get(registration_id)
    assert_refused(service, refused.value, 404)


def test_delete_with_etags(service: ServiceSdk, registration_id: str) -> None:
    first = service.put(symmetric_key_enrollment(registration_id))
    second = service.put(symmetric_key_enrollment(registration_id), if_match=first["etag"])

    with pytest.raises(SdkError) as refused:
        service.delete(registration_id, if_match=first["etag"])
    assert_refused(service, refused.value, 412)

    service.delete(registration_id, if_match=second["etag"])
    with pytest.raises(SdkError):
        service.get(registration_id)


@pytest.mark.parametrize("verb", ["get", "delete", "attestation"])
def test_an_unknown_id_is_not_found(service: ServiceSdk, registration_id: str, verb: str) -> None:
    with pytest.raises(SdkError) as refused:
        getattr(service, verb)(registration_id)

    assert_refused(service, refused.value, 404)
    assert refused.value.error_code == 404201


# bad requests and credentials


def test_an_illegal_registration_id_is_refused(service: ServiceSdk, registration_id: str) -> None:
    with pytest.raises(SdkError) as refused:
        service.put(symmetric_key_enrollment(f"-{registration_id} %"))

    assert_refused(service, refused.value, 400)
    assert refused.value.error_code == 400004


def test_an_id_with_every_legal_character(service: ServiceSdk, registration_id: str) -> None:
    spelled = f"Az:0._-{registration_id}"

    service.put(symmetric_key_enrollment(spelled))

    assert service.get(spelled)["registrationId"] == spelled
    assert service.get(spelled.upper())["registrationId"] == spelled


@pytest.mark.parametrize("part", ["SharedAccessKey", "SharedAccessKeyName"])
def test_a_wrong_policy_is_refused(deployment: Any, service: ServiceSdk, registration_id: str, part: str) -> None:
    wrong = {"SharedAccessKey": new_key(), "SharedAccessKeyName": "nobody"}[part]
    stranger = deployment.service_with(service.name, **{part: wrong})

    with pytest.raises(SdkError) as refused:
        stranger.put(symmetric_key_enrollment(registration_id))

    assert_refused(service, refused.value, 401)
    assert refused.value.error_code == 401002


# bulk


def test_bulk_creates_and_deletes(service: ServiceSdk, new_id: NewId) -> None:
    ids = [new_id() for _ in range(3)]

    created = service.bulk("create", [symmetric_key_enrollment(each) for each in ids])
    assert created == {"isSuccessful": True, "errors": []}
    assert [service.get(each)["registrationId"] for each in ids] == ids

    deleted = service.bulk("delete", [symmetric_key_enrollment(each) for each in ids])
    assert deleted == {"isSuccessful": True, "errors": []}
    for each in ids:
        with pytest.raises(SdkError):
            service.get(each)


def test_bulk_judges_each_item_for_itself(service: ServiceSdk, new_id: NewId) -> None:
    existing, fresh = new_id(), new_id()
    service.put(symmetric_key_enrollment(existing))

    result = service.bulk("create", [symmetric_key_enrollment(existing), symmetric_key_enrollment(fresh)])

    assert result["isSuccessful"] is False
    assert [(item["registrationId"], item["errorCode"]) for item in result["errors"]] == [(existing, 409201)]
    assert all(item["errorStatus"] for item in result["errors"])
    assert service.get(fresh)["registrationId"] == fresh


def test_bulk_update_of_existing_items_needs_their_etags(service: ServiceSdk, new_id: NewId) -> None:
    with_etag, without = new_id(), new_id()
    etag = service.put(symmetric_key_enrollment(with_etag))["etag"]
    service.put(symmetric_key_enrollment(without))

    result = service.bulk(
        "update",
        [
            symmetric_key_enrollment(with_etag, provisioningStatus="disabled", etag=etag),
            symmetric_key_enrollment(without, provisioningStatus="disabled"),
        ],
    )

    assert result["isSuccessful"] is False
    assert [(item["registrationId"], item["errorCode"]) for item in result["errors"]] == [(without, 409201)]
    assert service.get(with_etag)["provisioningStatus"] == "disabled"


def test_bulk_update_if_match(service: ServiceSdk, new_id: NewId) -> None:
    present, stale = new_id(), new_id()
    etag = service.put(symmetric_key_enrollment(present))["etag"]
    old_etag = service.put(symmetric_key_enrollment(stale))["etag"]
    service.put(symmetric_key_enrollment(stale), if_match=old_etag)

    result = service.bulk(
        "updateIfMatchETag",
        [
            symmetric_key_enrollment(present, deviceId="new", etag=etag),
            symmetric_key_enrollment(stale, deviceId="new", etag=old_etag),
        ],
    )

    assert [(item["registrationId"], item["errorCode"] // 1000) for item in result["errors"]] == [(stale, 412)]
    assert service.get(present)["deviceId"] == "new"
    assert "deviceId" not in service.get(stale)


def test_bulk_delete_of_an_unknown_id(service: ServiceSdk, new_id: NewId) -> None:
    existing, unknown = new_id(), new_id()
    service.put(symmetric_key_enrollment(existing))

    result = service.bulk("delete", [symmetric_key_enrollment(unknown), symmetric_key_enrollment(existing)])

    assert [(item["registrationId"], item["errorCode"]) for item in result["errors"]] == [(unknown, 404201)]
    with pytest.raises(SdkError):
        service.get(existing)


def test_bulk_of_eleven_is_refused(service: ServiceSdk, new_id: NewId) -> None:
    ids = [new_id() for _ in range(11)]

    with pytest.raises(SdkError) as refused:
        service.bulk("create", [symmetric_key_enrollment(each) for each in ids])

    assert_refused(service, refused.value, 400)
    with pytest.raises(SdkError):
        service.get(ids[0])


# oddities


def test_quirk_node_posts_bulk_to_a_path_with_a_trailing_slash(deployment: Any, new_id: NewId) -> None:
    node = deployment.service(NODE)

    assert node.bulk("create", [symmetric_key_enrollment(new_id())])["isSuccessful"] is True
