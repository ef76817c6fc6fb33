"""A device registers over HTTPS with Microsoft's device SDK for Node and an individual symmetric key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sdk_documents import device_token, instant, new_key, symmetric_key_enrollment
from sdk_drivers import SdkError

Document = dict[str, Any]

# The unknown id scope has the shape of a real one.
UNKNOWN_SCOPE = "0ne00FFFFFF"


@pytest.fixture
def enrolled(deployment: Any, registration_id: str, keys: Document) -> str:
    """The id of an enabled enrollment with `keys`."""
    deployment.service().put(symmetric_key_enrollment(registration_id, keys))
    return registration_id


def assert_assigned(deployment: Any, state: Document, registration_id: str) -> None:
    assert state["registrationId"] == registration_id
    assert state["status"] == "assigned"
    assert state["assignedHub"] == deployment.ready.hub_host_name
    assert state["createdDateTimeUtc"].endswith("Z")
    assert state["lastUpdatedDateTimeUtc"].endswith("Z")
    assert state["etag"]


def refusal(deployment: Any, registration_id: str, key: str | None = None, **options: Any) -> SdkError:
    with pytest.raises(SdkError) as refused:
        deployment.register(registration_id, key, **options)
    return refused.value


@pytest.mark.parametrize("slot", ["primaryKey", "secondaryKey"])
def test_registers_with_either_key(deployment: Any, enrolled: str, keys: Document, slot: str) -> None:
    state = deployment.register(enrolled, keys[slot])

    assert_assigned(deployment, state, enrolled)
    assert state["deviceId"] == enrolled
    assert state["substatus"] == "initialAssignment"


def test_registers_with_generated_keys(deployment: Any, registration_id: str) -> None:
    service = deployment.service()
    service.put(symmetric_key_enrollment(registration_id))

    state = deployment.register(registration_id, service.attestation(registration_id)["symmetricKey"]["primaryKey"])

    assert_assigned(deployment, state, registration_id)


def test_registers_again_at_the_same_hub(deployment: Any, enrolled: str, keys: Document) -> None:
    first = deployment.register(enrolled, keys["primaryKey"])
    second = deployment.register(enrolled, keys["secondaryKey"])

    assert_assigned(deployment, second, enrolled)
    assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]
    assert instant(second["lastUpdatedDateTimeUtc"]) > instant(first["lastUpdatedDateTimeUtc"])
    assert second["etag"] != first["etag"]
    # Devices of api-version 2019-03-31 always see this substatus (observed).
    assert second["substatus"] == "initialAssignment"


def test_registers_again_after_a_restart(deployment: Any, enrolled: str, keys: Document) -> None:
    first = deployment.register(enrolled, keys["primaryKey"])
    scope = deployment.ready.id_scope

    deployment.server.restart()

    assert deployment.ready.id_scope == scope
    assert deployment.service().get(enrolled)["registrationState"]["etag"] == first["etag"]
    second = deployment.register(enrolled, keys["primaryKey"])
    assert_assigned(deployment, second, enrolled)
    assert second["deviceId"] == first["deviceId"]
    assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]


def test_the_enrollments_device_id_is_assigned(deployment: Any, registration_id: str, keys: Document) -> None:
    device_id = f"Line_4.{registration_id}"
    deployment.service().put(symmetric_key_enrollment(registration_id, keys, deviceId=device_id))

    state = deployment.register(registration_id, keys["primaryKey"])

    assert_assigned(deployment, state, registration_id)
    assert state["deviceId"] == device_id


def test_the_answer_has_the_enrollments_spelling(deployment: Any, registration_id: str, keys: Document) -> None:
    deployment.service().put(symmetric_key_enrollment(f"A:{registration_id}", keys))

    state = deployment.register(f"a:{registration_id.upper()}", keys["primaryKey"])

    assert_assigned(deployment, state, f"A:{registration_id}")
    assert state["deviceId"] == f"A:{registration_id}"


def test_a_payload_is_taken_and_not_echoed(deployment: Any, enrolled: str, keys: Document) -> None:
    payload = {"model": "x", "versions": [1, 2.5, None], "name": "Grüße"}

    state = deployment.register(enrolled, keys["primaryKey"], payload=payload)

    assert_assigned(deployment, state, enrolled)
    assert "payload" not in state


def test_the_service_sees_the_registration(deployment: Any, enrolled: str, keys: Document) -> None:
    state = deployment.register(enrolled, keys["primaryKey"])

    seen = deployment.service().get(enrolled)["registrationState"]
    for name in ("status", "assignedHub", "deviceId", "etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc"):
        assert seen[name] == state[name]


def test_a_wrong_key_is_refused(deployment: Any, enrolled: str) -> None:
    refused = refusal(deployment, enrolled, new_key())

    assert (refused.name, refused.status, refused.error_code) == ("UnauthorizedError", 401, 401002)
    assert deployment.service().get(enrolled)["registrationState"]["status"] == "unassigned"


def test_an_expired_token_is_refused(deployment: Any, enrolled: str, keys: Document) -> None:
    token = device_token(deployment.ready.id_scope, enrolled, keys["primaryKey"], lifetime=-3600)

    refused = refusal(deployment, enrolled, token=token)

    assert (refused.name, refused.status, refused.error_code) == ("UnauthorizedError", 401, 401002)


def test_a_token_within_the_clock_skew_is_accepted(deployment: Any, enrolled: str, keys: Document) -> None:
    token = device_token(deployment.ready.id_scope, enrolled, keys["primaryKey"], lifetime=-60)

    assert_assigned(deployment, deployment.register(enrolled, token=token), enrolled)


def test_a_token_of_another_device_is_refused(
    deployment: Any, enrolled: str, keys: Document, new_id: Callable[[], str]
) -> None:
    token = device_token(deployment.ready.id_scope, new_id(), keys["primaryKey"])

    refused = refusal(deployment, enrolled, token=token)

    assert (refused.name, refused.status, refused.error_code) == ("UnauthorizedError", 401, 401002)


@pytest.mark.parametrize(
    "token",
    [
        "SharedAccessSignature",
        "SharedAccessSignature sr=&sig=&se=",
        "SharedAccessSignature sr=a&sig=%zz&se=now&skn=registration",
        "Bearer abc",
    ],
)
def test_a_garbled_token_is_refused(deployment: Any, enrolled: str, token: str) -> None:
    refused = refusal(deployment, enrolled, token=token)

    assert (refused.name, refused.status, refused.error_code) == ("UnauthorizedError", 401, 401002)


def test_an_unknown_id_is_refused_like_a_wrong_key(deployment: Any, registration_id: str) -> None:
    refused = refusal(deployment, registration_id, new_key())

    assert (refused.name, refused.status, refused.error_code) == ("UnauthorizedError", 401, 401002)


def test_an_unknown_scope_is_refused(deployment: Any, enrolled: str, keys: Document) -> None:
    refused = refusal(deployment, enrolled, keys["primaryKey"], id_scope=UNKNOWN_SCOPE)

    assert (refused.name, refused.status, refused.error_code // 1000) == ("Error", 404, 404)


def test_an_illegal_id_is_refused(deployment: Any, keys: Document) -> None:
    refused = refusal(deployment, "-starts-with-a-hyphen", keys["primaryKey"])

    assert (refused.name, refused.status, refused.error_code) == ("ArgumentError", 400, 400004)


def test_a_disabled_device_is_told_so_and_registers_once_enabled(
    deployment: Any, registration_id: str, keys: Document
) -> None:
    service = deployment.service()
    disabled = service.put(symmetric_key_enrollment(registration_id, keys, provisioningStatus="disabled"))

    refused = refusal(deployment, registration_id, keys["primaryKey"])

    # The SDK knows no such status and raises a syntax error that holds the answer.
    assert (refused.name, refused.message) == ("SyntaxError", "status is disabled")
    assert refused.result["operationId"]
    assert refused.result["registrationState"]["status"] == "disabled"
    assert refused.result["registrationState"]["registrationId"] == registration_id

    service.put(symmetric_key_enrollment(registration_id), if_match=disabled["etag"])
    assert_assigned(deployment, deployment.register(registration_id, keys["primaryKey"]), registration_id)


def test_a_stranger_is_not_told_that_the_device_is_disabled(
    deployment: Any, registration_id: str, keys: Document
) -> None:
    deployment.service().put(symmetric_key_enrollment(registration_id, keys, provisioningStatus="disabled"))

    refused = refusal(deployment, registration_id, new_key())

    assert (refused.name, refused.status, refused.error_code) == ("UnauthorizedError", 401, 401002)


def test_a_deleted_enrollment_refuses_and_a_new_one_admits(deployment: Any, enrolled: str, keys: Document) -> None:
    service = deployment.service()
    deployment.register(enrolled, keys["primaryKey"])

    service.delete(enrolled)

    assert refusal(deployment, enrolled, keys["primaryKey"]).error_code == 401002
    fresh = {"primaryKey": new_key(), "secondaryKey": new_key()}
    service.put(symmetric_key_enrollment(enrolled, fresh))
    assert refusal(deployment, enrolled, keys["primaryKey"]).error_code == 401002
    assert_assigned(deployment, deployment.register(enrolled, fresh["primaryKey"]), enrolled)
