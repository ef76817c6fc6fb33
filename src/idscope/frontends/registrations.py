"""Owns what a device's register and its answers hold, the same on every wire. It must not know any wire."""

from __future__ import annotations

from idscope.errors import InvalidRegistrationId
from idscope.model.document import UNSET, decode, encode, given
from idscope.model.registration import DeviceRegistration, RegistrationOperationStatus
from idscope.registration import RegisterRequest, RegistrationResult


def read_registration(body: bytes, registration_id: str) -> DeviceRegistration:
    """The document in the body of register, which may be empty; raises MalformedJson, InvalidArgument and as
    `check_named`."""
    return check_named(decode(body, DeviceRegistration) if body else DeviceRegistration(), registration_id)


def check_named(registration: DeviceRegistration, registration_id: str) -> DeviceRegistration:
    """The same document; raises InvalidRegistrationId where it names another id than the one presented beside it."""
    named = given(registration.registration_id)
    if named is not None and named.lower() != registration_id.lower():
        raise InvalidRegistrationId("Invalid RegistrationId: the id presented is not the one in the body.")
    return registration


def register_request(tracking_id: str, registration: DeviceRegistration) -> RegisterRequest:
    """What the workflow is asked."""
    payload = None if registration.payload is UNSET else bytes(registration.payload)
    return RegisterRequest(tracking_id, payload, given(registration.csr))


def operation_status(result: RegistrationResult) -> bytes:
    """The body that answers register and every poll."""
    state = UNSET if result.state is None else result.state
    return encode(
        RegistrationOperationStatus(operation_id=result.operation_id, status=result.status, registration_state=state)
    )
