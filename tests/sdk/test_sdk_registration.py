"""A device registers with a symmetric key of its own: every device SDK over every transport that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sdk_documents import device_token, instant, new_key, symmetric_key_enrollment
from sdk_drivers import NODE_WIRES, WIRES, SdkError, Wire
from sdk_refusals import BAD_REQUEST, NO_SUCH_SCOPE, UNAUTHORIZED, refusal

Document = dict[str, Any]

# The unknown id scope has the shape of a real one.
UNKNOWN_SCOPE = "0ne00FFFFFF"

# A JSON string that holds JSON is what the Java SDK makes of an object.
PAYLOADS = {
    "object": {"model": "x", "versions": [1, 2.5, None], "name": "Grüße"},
    "string": '{"model":"x"}',
    "array": [1, {"a": None}],
}


@pytest.fixture(params=NODE_WIRES, ids=str)
def token_wire(request: pytest.FixtureRequest) -> Wire:
    """The wires on which the SDK lets a test bring its own token."""
    assert isinstance(request.param, Wire)
    return request.param


@pytest.fixture
def enrolled(deployment: Any, registration_id: str, keys: Document) -> str:
    """The id of an enabled enrollment with `keys`."""
    deployment.service().put(symmetric_key_enrollment(registration_id, keys))
    return registration_id


def assert_assigned(deployment: Any, state: Document, registration_id: str) -> None:
    # The Python SDK keeps no registration id.
    assert state.get("registrationId", registration_id) == registration_id
    assert state["status"] == "assigned"
    assert state["assignedHub"] == deployment.ready.hub_host_name
    assert state["createdDateTimeUtc"].endswith("Z")
    assert state["lastUpdatedDateTimeUtc"].endswith("Z")
    assert state["etag"]


# admitted


@pytest.mark.parametrize("slot", ["primaryKey", "secondaryKey"])
def test_registers_with_either_key(deployment: Any, wire: Wire, enrolled: str, keys: Document, slot: str) -> None:
    state = deployment.register(enrolled, keys[slot], wire)

    assert_assigned(deployment, state, enrolled)
    assert state["deviceId"] == enrolled
    assert state["substatus"] == "initialAssignment"


def test_registers_with_generated_keys(deployment: Any, registration_id: str) -> None:
    service = deployment.service()
    service.put(symmetric_key_enrollment(registration_id))

    state = deployment.register(registration_id, service.attestation(registration_id)["symmetricKey"]["primaryKey"])

    assert_assigned(deployment, state, registration_id)


def test_registers_again_at_the_same_hub(deployment: Any, wire: Wire, enrolled: str, keys: Document) -> None:
    first = deployment.register(enrolled, keys["primaryKey"], wire)
    second = deployment.register(enrolled, keys["secondaryKey"], wire)

    assert_assigned(deployment, second, enrolled)
    assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]
    assert instant(second["lastUpdatedDateTimeUtc"]) > instant(first["lastUpdatedDateTimeUtc"])
    assert second["etag"] != first["etag"]
    # Devices of api-version 2019-03-31 always see this substatus (observed).
    assert second["substatus"] == "initialAssignment"


def test_one_device_registers_over_every_wire(deployment: Any, enrolled: str, keys: Document) -> None:
    states = [deployment.register(enrolled, keys["primaryKey"], wire) for wire in WIRES]

    assert {state["createdDateTimeUtc"] for state in states} == {states[0]["createdDateTimeUtc"]}
    assert len({state["etag"] for state in states}) == len(WIRES)
    assert deployment.service().get_state(enrolled)["etag"] == states[-1]["etag"]


def test_registers_again_after_a_restart(deployment: Any, new_id: Callable[[], str], keys: Document) -> None:
    service = deployment.service()
    devices = [(new_id(), keys["primaryKey"], wire) for wire in WIRES]
    for registration_id, _, _ in devices:
        service.put(symmetric_key_enrollment(registration_id, keys))
    first = deployment.register_all(devices)
    scope = deployment.ready.id_scope

    deployment.server.restart()

    assert deployment.ready.id_scope == scope
    assert [service.get_state(device[0])["etag"] for device in devices] == [state["etag"] for state in first]
    second = deployment.register_all(devices)
    for (registration_id, _, _), before, after in zip(devices, first, second, strict=True):
        assert_assigned(deployment, after, registration_id)
        assert after["deviceId"] == before["deviceId"] == registration_id
        assert after["createdDateTimeUtc"] == before["createdDateTimeUtc"]


def test_the_enrollments_device_id_is_assigned(
    deployment: Any, wire: Wire, registration_id: str, keys: Document
) -> None:
    device_id = f"Line_4.{registration_id}"
    deployment.service().put(symmetric_key_enrollment(registration_id, keys, deviceId=device_id))

    state = deployment.register(registration_id, keys["primaryKey"], wire)

    assert_assigned(deployment, state, registration_id)
    assert state["deviceId"] == device_id


def test_the_answer_has_the_enrollments_spelling(
    deployment: Any, wire: Wire, registration_id: str, keys: Document
) -> None:
    deployment.service().put(symmetric_key_enrollment(f"A:{registration_id}", keys))

    state = deployment.register(f"a:{registration_id.upper()}", keys["primaryKey"], wire)

    assert_assigned(deployment, state, f"A:{registration_id}")
    assert state["deviceId"] == f"A:{registration_id}"


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_payload_is_taken_and_not_echoed(
    deployment: Any, wire: Wire, enrolled: str, keys: Document, kind: str
) -> None:
    state = deployment.register(enrolled, keys["primaryKey"], wire, payload=PAYLOADS[kind])

    assert_assigned(deployment, state, enrolled)
    assert "payload" not in state


@pytest.mark.parametrize("sdk", ["node", "python"])
@pytest.mark.parametrize("body", ["", "{}", '{"payload":{"a":1}}', '{"payload":null}'])
def test_quirk_csharp_registers_without_a_body(
    deployment: Any, enrolled: str, keys: Document, sdk: str, body: str
) -> None:
    """Sent by the AMQP and the MQTT library beneath the SDKs, which cannot do so themselves."""
    token = device_token(deployment.ready.id_scope, enrolled, keys["primaryKey"])
    place = {"host": deployment.ready.host_name, "id_scope": deployment.ready.id_scope}

    answer = getattr(deployment, sdk).call(
        "device.register_raw", **place, registration_id=enrolled, token=token, body=body
    )

    assert answer["status"] == "assigned"
    assert_assigned(deployment, answer["registrationState"], enrolled)
    assert "payload" not in answer["registrationState"]


def test_the_service_sees_the_registration(deployment: Any, wire: Wire, enrolled: str, keys: Document) -> None:
    state = deployment.register(enrolled, keys["primaryKey"], wire)

    seen = deployment.service().get(enrolled)["registrationState"]
    for name in ("status", "assignedHub", "deviceId", "etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc"):
        assert seen[name] == state[name]


def test_a_token_within_the_clock_skew_is_accepted(
    deployment: Any, token_wire: Wire, enrolled: str, keys: Document
) -> None:
    token = device_token(deployment.ready.id_scope, enrolled, keys["primaryKey"], lifetime=-60)

    assert_assigned(deployment, deployment.register(enrolled, wire=token_wire, token=token), enrolled)


# refused


def test_an_unknown_scope_is_refused(deployment: Any, wire: Wire, enrolled: str, keys: Document) -> None:
    assert refusal(deployment, enrolled, keys["primaryKey"], wire, id_scope=UNKNOWN_SCOPE) == NO_SUCH_SCOPE


def test_an_illegal_id_is_refused(deployment: Any, wire: Wire, keys: Document) -> None:
    assert refusal(deployment, "-starts-with-a-hyphen", keys["primaryKey"], wire) == BAD_REQUEST


def test_an_expired_token_is_refused(deployment: Any, token_wire: Wire, enrolled: str, keys: Document) -> None:
    token = device_token(deployment.ready.id_scope, enrolled, keys["primaryKey"], lifetime=-3600)

    assert refusal(deployment, enrolled, None, token_wire, token=token) == UNAUTHORIZED


def test_a_token_of_another_device_is_refused(
    deployment: Any, token_wire: Wire, enrolled: str, keys: Document, new_id: Callable[[], str]
) -> None:
    token = device_token(deployment.ready.id_scope, new_id(), keys["primaryKey"])

    assert refusal(deployment, enrolled, None, token_wire, token=token) == UNAUTHORIZED


@pytest.mark.parametrize(
    "token",
    [
        "SharedAccessSignature",
        "SharedAccessSignature sr=&sig=&se=",
        "SharedAccessSignature sr=a&sig=%zz&se=now&skn=registration",
        "Bearer abc",
    ],
)
def test_a_garbled_token_is_refused(deployment: Any, token_wire: Wire, enrolled: str, token: str) -> None:
    assert refusal(deployment, enrolled, None, token_wire, token=token) == UNAUTHORIZED


def test_the_refusal_of_a_disabled_device_has_its_state(
    deployment: Any, token_wire: Wire, registration_id: str, keys: Document
) -> None:
    deployment.service().put(symmetric_key_enrollment(registration_id, keys, provisioningStatus="disabled"))

    with pytest.raises(SdkError) as refused:
        deployment.register(registration_id, keys["primaryKey"], token_wire)

    assert refused.value.result["operationId"]
    assert refused.value.result["registrationState"]["status"] == "disabled"
    assert refused.value.result["registrationState"]["registrationId"] == registration_id


def test_a_deleted_enrollment_refuses_and_a_new_one_admits(
    deployment: Any, wire: Wire, enrolled: str, keys: Document
) -> None:
    service = deployment.service()
    deployment.register(enrolled, keys["primaryKey"], wire)

    service.delete(enrolled)

    assert refusal(deployment, enrolled, keys["primaryKey"], wire) == UNAUTHORIZED
    fresh = {"primaryKey": new_key(), "secondaryKey": new_key()}
    service.put(symmetric_key_enrollment(enrolled, fresh))
    assert refusal(deployment, enrolled, keys["primaryKey"], wire) == UNAUTHORIZED
    assert_assigned(deployment, deployment.register(enrolled, fresh["primaryKey"], wire), enrolled)
