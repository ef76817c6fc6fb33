"""Owns what a refused device is told, read out of what each SDK makes of it on each of its wires.

It must not know why the device was refused.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from sdk_drivers import SdkError, Wire

UNAUTHORIZED = "unauthorized"
NO_SUCH_SCOPE = "no such scope"
BAD_REQUEST = "bad request"
DISABLED = "disabled"


class _AnyRefusal:
    """Equal to every refusal in SASL: Node's SDK loses the outcome and says only that it is not connected."""

    def __eq__(self, other: object) -> bool:
        return other in {UNAUTHORIZED, NO_SUCH_SCOPE, BAD_REQUEST}

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "not connected"


_SASL = _AnyRefusal()


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
    if wire.transport.startswith("Amqp"):
        assert (error.name, error.message) == ("NotConnectedError", "undefined")
        return _SASL
    if wire.transport.startswith("Mqtt"):
        if error.message == "Connection refused: Server unavailable":
            return NO_SUCH_SCOPE
        return _REASONS[error.name, error.result["errorCode"]]
    assert error.status == error.error_code // 1000
    return _REASONS[error.name, error.error_code]


_REASONS = {
    ("UnauthorizedError", 401002): UNAUTHORIZED,
    ("ArgumentError", 400004): BAD_REQUEST,
    ("Error", 404000): NO_SUCH_SCOPE,
}


def _python(error: SdkError, _: Wire) -> object:
    if error.name == "ConnectionFailedError" and "Connection Refused: broker unavailable." in error.message:
        return NO_SUCH_SCOPE
    assert error.name == "ClientError"
    if "invalid registration status disabled with a status code of 200" in error.message:
        return DISABLED
    status = re.search(r"service error status code (\d+)$", error.message)
    assert status, error.message
    return {"401": UNAUTHORIZED, "400": BAD_REQUEST}[status[1]]
