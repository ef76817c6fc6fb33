"""Documents: absent and null differ, free JSON is carried byte for byte, secrets do not show, a refusal says what is
wrong and never what was said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from idscope.errors import InvalidArgument, MalformedJson
from idscope.model.document import UNSET, decode, encode, encode_revealing, is_present
from idscope.model.document import given as given_value
from idscope.model.enrollment import BulkEnrollmentOperation, IndividualEnrollment
from idscope.model.registration import DeviceRegistration

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
MINIMAL = {"registrationId": "a", "attestation": {"type": "symmetricKey"}}


def enrollment(**members: object) -> bytes:
    return json.dumps({**MINIMAL, **members}).encode()


def test_absent_and_null_differ_and_both_come_back() -> None:
    absent, null = decode(enrollment(), IndividualEnrollment), decode(enrollment(deviceId=None), IndividualEnrollment)
    assert absent.device_id is UNSET
    assert null.device_id is None
    assert not is_present(absent.device_id)
    assert not is_present(null.device_id)
    assert given_value(null.device_id) is None
    assert json.loads(encode(absent)) == MINIMAL
    assert json.loads(encode(null)) == {**MINIMAL, "deviceId": None}


def test_free_json_is_carried_byte_for_byte() -> None:
    payload = b'{ "b":1.0, "a" : 1e2,"n":12345678901234567890123,"u":"\\u00e9","d":1,"d":2 }'
    registration = decode(b'{"payload":' + payload + b"}", DeviceRegistration)
    assert isinstance(registration.payload, Raw)
    assert bytes(registration.payload) == payload
    assert payload in encode(registration)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_payload_of_any_kind_is_carried(payload: object) -> None:
    body = json.dumps({"payload": payload}).encode()
    assert json.loads(encode(decode(body, DeviceRegistration))) == {"payload": payload}


def test_secrets_are_revealed_only_on_purpose() -> None:
    body = enrollment(
        attestation={"type": "symmetricKey", "symmetricKey": {"primaryKey": SECRET, "secondaryKey": SECRET}},
        customAllocationDefinition={"webhookUrl": f"https://x/?code={SECRET}", "apiVersion": "2021-10-01"},
    )
    document = decode(body, IndividualEnrollment)
    assert SECRET not in repr(document)
    assert SECRET not in str(document)
    with pytest.raises(TypeError):
        encode(document)
    assert json.loads(encode_revealing(document)) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[",
        b"null garbage",
        b"{'a':1}",
        b'{"a":}',
        b'{"a":1,}',
        b"\xff\xfe{\x00}",
        b'"\xed\xa0\x80"',
        b"NaN",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJson) as refused:
        decode(body, DeviceRegistration)
    assert refused.value.error_code == 400006


def test_bad_utf8_inside_free_json_is_malformed_too() -> None:
    with pytest.raises(MalformedJson):
        decode(b'{"payload":{"a":"\xff"}}', DeviceRegistration)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_without_end_is_malformed(opening: str, closing: str) -> None:
    body = '{"payload":' + opening * 50_000 + "1" + closing * 50_000 + "}"
    with pytest.raises(MalformedJson):
        decode(body.encode(), DeviceRegistration)


@pytest.mark.parametrize(
    ("body", "member"),
    [
        (enrollment(registrationId=SECRET.encode().hex(), deviceId=[SECRET]), "deviceId"),
        (enrollment(attestation={"type": SECRET}), "attestation.type"),
        (enrollment(attestation={"type": "symmetricKey", "symmetricKey": {"primaryKey": [SECRET]}}), "primaryKey"),
        (enrollment(attestation={"type": "symmetricKey", "symmetricKey": SECRET}), "symmetricKey"),
        (enrollment(provisioningStatus=SECRET), "provisioningStatus"),
        (enrollment(allocationPolicy=SECRET), "allocationPolicy"),
        (enrollment(iotHubs=SECRET), "iotHubs"),
        (enrollment(capabilities={"iotEdge": SECRET}), "iotEdge"),
    ],
)
def test_a_member_of_the_wrong_type_is_named_and_its_value_is_not(body: bytes, member: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode(body, IndividualEnrollment)
    assert refused.value.error_code == 400004
    assert member in refused.value.message
    assert SECRET not in refused.value.message


def test_a_missing_required_member_is_named() -> None:
    with pytest.raises(InvalidArgument, match="attestation"):
        decode(b'{"registrationId":"a"}', IndividualEnrollment)
    with pytest.raises(InvalidArgument, match="mode"):
        decode(b'{"enrollments":[]}', BulkEnrollmentOperation)


def outcome(body: bytes, kind: type) -> str:
    try:
        decode(body, kind)
    except (MalformedJson, InvalidArgument) as refused:
        return type(refused).__name__
    return "decoded"


members = st.sampled_from(["registrationId", "payload", "tpm", "attestation", "enrollments", "mode", "other"])


@given(st.binary(max_size=200) | st.dictionaries(members, JSON, max_size=3).map(lambda one: json.dumps(one).encode()))
def test_whatever_arrives_is_a_document_or_one_of_two_errors(body: bytes) -> None:
    for kind in (DeviceRegistration, IndividualEnrollment, BulkEnrollmentOperation):
        assert outcome(body, kind) in ("decoded", "MalformedJson", "InvalidArgument")


@given(JSON, st.integers(1))
def test_json_that_is_cut_short_is_malformed_whatever_its_types(value: object, cut: int) -> None:
    whole = json.dumps({"registrationId": value, "tpm": value}).encode()
    assert outcome(whole[: -1 - cut % (len(whole) - 1)], DeviceRegistration) == "MalformedJson"
