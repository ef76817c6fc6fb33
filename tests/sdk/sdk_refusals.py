"""Owns what a refused device is told, read out of what each SDK makes of it on each of its wires.

It must not know why the device was refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from sdk_drivers import SdkError, Wire

UNAUTHORIZED = "unauthorized"
INVALID_CERTIFICATE = "invalid certificate"
CA_NOT_FOUND = "CA certificate not found"
NO_SUCH_SCOPE = "no such scope"
BAD_REQUEST = "bad request"
DISABLED = "disabled"


@dataclass(frozen=True, eq=False)
class _OneOf:
    """Equal to each of these refusals: all that an SDK leaves of them is `said`."""

    said: str
    refusals: frozenset[str]

    def __eq__(self, other: object) -> bool:
        return other in self.refusals

    def __hash__(self) -> int:
        return hash(self.said)


# Node's SDK loses the outcome of SASL.
_NOT_CONNECTED = _OneOf("not connected", frozenset({UNAUTHORIZED, NO_SUCH_SCOPE, BAD_REQUEST}))
# Python's SDK drops the answer's body.
_STATUS_401 = _OneOf("401", frozenset({UNAUTHORIZED, INVALID_CERTIFICATE, CA_NOT_FOUND}))


def refusal(deployment: Any, registration_id: str, key: str | None, wire: Wire, **options: Any) -> object:
    """Register and be refused; why, as far as the SDK says."""
    with pytest.raises(SdkError) as refused:
        deployment.register(registration_id, key, wire, **options)
    error = refused.value
    return (_python if wire.sdk == "python" else _node)(error, wire)


def _node(error: SdkError, wire: Wire) -> object:
    # The SDK knows no such status and raises a syntax error that holds the answer.
    if (error.name, error.message) == ("SyntaxError", "status is disabled"):
        return DISABLED
    if (error.name, error.message) == ("NotConnectedError", "undefined"):
        assert wire.transport.startswith("Amqp")
        return _NOT_CONNECTED
    if error.message == "Connection refused: Server unavailable":
        assert wire.transport.startswith("Mqtt")
        return NO_SUCH_SCOPE
    if wire.transport == "Http":
        assert error.status == error.error_code // 1000
    document = json.loads(error.body) if error.body else error.result
    return _WORDS[error.name, document["errorCode"], document["message"]]


_REFUSED = {"Unauthorized": UNAUTHORIZED, "Invalid certificate.": INVALID_CERTIFICATE}
_REFUSED |= {"CA certificate not found.": CA_NOT_FOUND}
_WORDS = {
    ("ArgumentError", 400004, "Invalid RegistrationId"): BAD_REQUEST,
    ("Error", 404000, "IdScope not found."): NO_SUCH_SCOPE,
    **{("UnauthorizedError", 401002, message): word for message, word in _REFUSED.items()},
    **{("amqp:unauthorized-access", 401002, message): word for message, word in _REFUSED.items()},
}


def _python(error: SdkError, _: Wire) -> object:
    if error.name == "ConnectionFailedError" and "Connection Refused: broker unavailable." in error.message:
        return NO_SUCH_SCOPE
    assert error.name == "ClientError"
    if "invalid registration status disabled with a status code of 200" in error.message:
        return DISABLED
    status = re.search(r"service error status code (\d+)$", error.message)
    assert status, error.message
    return {"401": _STATUS_401, "400": BAD_REQUEST}[status[1]]
