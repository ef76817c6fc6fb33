"""The words of provisioning over AMQP: addresses, versions, operations, conditions. Expected values are those that
clients were seen to send, or map back. It must not know how they travel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from idscope.errors import (
    BodyTooLarge,
    EnrollmentNotFound,
    IdscopeError,
    InvalidArgument,
    RegistrationConflict,
    RouteNotFound,
    ServiceUnavailable,
    Throttled,
    Unauthorized,
    UnsupportedApiVersion,
    every_error_class,
)
from idscope.frontends.amqp.failures import failure_of
from idscope.frontends.amqp.messages import read_message, write_message
from idscope.frontends.amqp.provisioning import Identity, Request, link_version, parse_address, read_request

IDENTITY = Identity("0ne00ABCDEF", "a-device")


@pytest.mark.parametrize(
    "address",
    [
        "0ne00ABCDEF/registrations/a-device",
        "/0ne00ABCDEF/registrations/a-device",
        "amqps://dps.local.test/0ne00ABCDEF/registrations/a-device",
        "amqps://127.0.0.1:5671/0ne00ABCDEF/registrations/a-device",
        "0ne00ABCDEF/Registrations/a%2Ddevice",
    ],
)
def test_addresses(address: str) -> None:
    assert parse_address(address) == IDENTITY


@pytest.mark.parametrize(
    "address",
    [None, "", "/", "$cbs", "0ne/registrations", "0ne/registrations/", "0ne/registrations/a/b", "https://h/0ne/registrations/a",
     "//0ne/registrations/a", "amqps://0ne/registrations/a"],
)  # fmt: skip
def test_no_addresses(address: str | None) -> None:
    with pytest.raises(RouteNotFound):
        parse_address(address)


def test_neither_id_knows_case() -> None:
    assert IDENTITY.is_same(Identity("0NE00abcdef", "A-Device"))
    assert not IDENTITY.is_same(Identity("0ne00ABCDEF", "a-device-2"))


@pytest.mark.parametrize("text", [None, "", "2019", b"2019-03-31", 20190331])
def test_a_link_without_a_version(text: Any) -> None:
    with pytest.raises(UnsupportedApiVersion):
        link_version({"com.microsoft:api-version": text}, strict=False)


def test_a_link_with_a_version() -> None:
    properties = {"com.microsoft:api-version": "2019-03-31", "com.microsoft:client-version": "x/1"}
    assert str(link_version(properties, strict=True)) == "2019-03-31"


def test_an_operation_id_is_cut_not_trusted() -> None:
    properties = {"iotdps-operation-type": "iotdps-get-operationstatus", "iotdps-operation-id": "x" * 10_000}
    assert read_request(properties, b"{").operation_id == "x" * 256


@pytest.mark.parametrize(
    ("body", "read"), [(None, b""), ("", b""), ("{}", b"{}"), (b"{}", b"{}"), (bytearray(b"{}"), b"{}")]
)
def test_bodies(body: object, read: bytes) -> None:
    properties = {"iotdps-operation-type": "iotdps-register", "iotdps-forceRegistration": False}
    assert read_request(properties, body) == Request("iotdps-register", "", read)


@pytest.mark.parametrize(
    ("body", "error"), [(1, InvalidArgument), ({}, InvalidArgument), (b"x" * 98_305, BodyTooLarge)]
)
def test_bodies_that_are_refused(body: object, error: type[IdscopeError]) -> None:
    with pytest.raises(error):
        read_request({"iotdps-operation-type": "iotdps-register"}, body)


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (Unauthorized(), "amqp:unauthorized-access"),
        (EnrollmentNotFound(), "amqp:not-found"),
        (InvalidArgument(), "com.microsoft:argument-error"),
        (Throttled(), "com.microsoft:device-container-throttled"),
        (ServiceUnavailable(), "amqp:internal-error"),
    ],
)
def test_conditions(error: IdscopeError, condition: str) -> None:
    assert failure_of(error, "an-id", 0, 2).condition == condition


@pytest.mark.parametrize("kind", sorted(set(every_error_class()), key=str))
def test_every_error_has_a_condition_and_the_json(kind: type[IdscopeError]) -> None:
    failure = failure_of(kind(reason="private") if kind.__init__ is IdscopeError.__init__ else kind(), "an-id", 0, 2)
    assert failure.condition.startswith(("amqp:", "com.microsoft:"))
    document = json.loads(failure.description)
    assert (document["errorCode"], document["trackingId"]) == (kind.error_code, "an-id")
    assert "private" not in failure.description


@pytest.mark.parametrize("error", [RegistrationConflict(), Throttled(), ServiceUnavailable()])
def test_what_passes_says_when_to_come_back(error: IdscopeError) -> None:
    assert failure_of(error, "an-id", 0, 3).info == {"retry-after": 3, "Retry-After": 3}


def test_a_message_outlives_what_it_was_read_from() -> None:
    received = read_message(write_message(b"correlation", {"retry-after": 2}, b"x" * 5000))
    assert (received.correlation_id, received.body) == (b"correlation", b"x" * 5000)
    assert received.properties == {"retry-after": 2}


@pytest.mark.parametrize("encoded", [b"\x00", b"\xff", b"\x00\x53\x75\xa0\xff", b"\x00\x53\x77\xa1\x02\xff\xff"])
def test_no_messages(encoded: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_message(encoded)
