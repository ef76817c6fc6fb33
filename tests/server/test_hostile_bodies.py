"""Every endpoint of the real server that takes a body, against bodies that mean it harm: a documented error in the
words of its API, soon, and nothing changed in the store."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hostile import KEY, WITH_BODY, Attacker, group

from idscope.testing.server_client import enrollment

DEPTH = 60_000
NOT_JSON = {
    "cut": b'{"registrationId":"d"',
    "no quotes": b"{registrationId:d}",
    "single quotes": b"{'registrationId':'d'}",
    "comma": b'{"registrationId":"d",}',
    "more behind": b"{} {}",
    "text": b"registrationId=d",
    "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"registrationId":"d"}'.encode("utf-16"),
    "bad utf-8": b'{"registrationId":"\xff\xfe"}',
    "bad utf-8 in what is kept raw": b'{"payload":"\xc3\x28","tags":{"a":"\xc3\x28"}}',
    "overlong utf-8": b'{"registrationId":"\xc0\xae\xc0\xae"}',
    "surrogate in utf-8": b'{"registrationId":"\xed\xa0\x80"}',
    "control character": b'{"registrationId":"a\x00b"}',
    "nul": b"\x00",
    "blank": b" \r\n\t ",
    "not a number": b'{"a":NaN}',
    "deep arrays": b"[" * DEPTH,
    "deep objects": b'{"a":' * (DEPTH // 6) + b"1" + b"}" * (DEPTH // 6),
    "deep in what is kept raw": b'{"payload":' + b"[" * (DEPTH // 2) + b"]" * (DEPTH // 2) + b"}",
    "deep arrays, closed": b"[" * (DEPTH // 2) + b"]" * (DEPTH // 2),
}


@pytest.mark.parametrize("label", NOT_JSON)
def test_what_is_no_json(attacker: Attacker, label: str) -> None:
    for endpoint in WITH_BODY:
        attacker.refused(label, endpoint, attacker.request(endpoint, body=NOT_JSON[label]), [400])


WRONG_TYPES = (b"null", b"true", b"0", b'"text"', b"[1]", b"[[]]", b"[null]", b"1e999", b"-0.0")


def test_json_of_another_type(attacker: Attacker) -> None:
    for endpoint in WITH_BODY:
        for body in (*WRONG_TYPES, b"{}" if isinstance(endpoint.body, list) else b"[]"):
            attacker.refused(body.decode(), endpoint, attacker.request(endpoint, body=body), [400])


# Members that both kinds of enrollment have, each with something wrong in `BAD_MEMBERS`.
SHARED = {"provisioningStatus", "allocationPolicy", "iotHubs", "iotHubHostName", "initialTwin", "capabilities"}
SHARED |= {"reprovisionPolicy", "etag"}

# A document each that has a member of the wrong type, or one that cannot be.
ENROLLMENT = enrollment("d", KEY)
BAD_MEMBERS: dict[str, list[Any]] = {
    "/{scope}/registrations/{id}": [
        {"registrationId": 1},
        {"registrationId": "other"},
        {"registrationId": ["d"]},
        {"registrationId": "d\u0000"},
        {"tpm": "x"},
        {"tpm": {"endorsementKey": 1}},
        {"csr": {}},
    ],
    "/enrollments/{id}": [
        {},
        {"registrationId": "d"},
        {**ENROLLMENT, "registrationId": "other"},
        {**ENROLLMENT, "registrationId": "d" * 129},
        {**ENROLLMENT, "registrationId": ""},
        {**ENROLLMENT, "registrationId": None},
        {**ENROLLMENT, "deviceId": ""},
        {**ENROLLMENT, "deviceId": "x" * 129},
        {**ENROLLMENT, "deviceId": "a/b"},
        {**ENROLLMENT, "deviceId": "a\u0000b"},
        {**ENROLLMENT, "deviceId": {"a": 1}},
        {**ENROLLMENT, "attestation": {}},
        {**ENROLLMENT, "attestation": {"type": "none such"}},
        {**ENROLLMENT, "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "short"}}},
        {**ENROLLMENT, "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "\u00e9" * 44}}},
        {**ENROLLMENT, "attestation": {"type": "tpm", "tpm": {"endorsementKey": "AAAA"}}},
        {**ENROLLMENT, "attestation": {"type": "tpm", "tpm": {"endorsementKey": "\u00e9"}}},
        {**ENROLLMENT, "attestation": {"type": "x509", "x509": {}}},
        {
            **ENROLLMENT,
            "attestation": {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": "AAAA"}}}},
        },
        {
            **ENROLLMENT,
            "attestation": {
                "type": "x509",
                "x509": {"clientCertificates": {"primary": {"certificate": "-----BEGIN CERTIFICATE-----"}}},
            },
        },
        {**ENROLLMENT, "provisioningStatus": "maybe"},
        {**ENROLLMENT, "allocationPolicy": "nearest"},
        {**ENROLLMENT, "allocationPolicy": "custom"},
        {**ENROLLMENT, "iotHubs": "hub"},
        {**ENROLLMENT, "iotHubs": [1]},
        {**ENROLLMENT, "iotHubHostName": "x" * 5000},
        {**ENROLLMENT, "initialTwin": {"tags": []}},
        {**ENROLLMENT, "initialTwin": {"properties": {"desired": 1}}},
        {**ENROLLMENT, "optionalDeviceInformation": "x"},
        {**ENROLLMENT, "capabilities": {"iotEdge": "yes"}},
        {**ENROLLMENT, "reprovisionPolicy": []},
        {**ENROLLMENT, "etag": '"x"'},
        {**ENROLLMENT, "etag": 1},
    ],
    "/enrollments/query": [
        {},
        {"query": 1},
        {"query": "DROP TABLE enrollments"},
        {"query": "x" * 90000},
    ],
    "/enrollments": [
        {},
        {"mode": "create"},
        {"mode": "destroy", "enrollments": []},
        {"mode": "create", "enrollments": {}},
        {"mode": "create", "enrollments": [1]},
        {"mode": "create", "enrollments": [enrollment(f"new-{number}", KEY) for number in range(11)]},
    ],
    "/devices/{id}": [
        {"deviceId": "other"},
        {"deviceId": 1},
        {"authentication": 1},
        {"authentication": {"type": "none such"}},
        {"authentication": {"symmetricKey": {"primaryKey": "short", "secondaryKey": "short"}}},
        {"status": "maybe"},
        {"capabilities": {"iotEdge": 1}},
    ],
    "/devices": [
        [{}],
        [{"id": 1}],
        [{"id": "new", "importMode": "none such"}],
        [{"id": "new"}, {"id": "new"}],
        [{"id": "x" * 129, "importMode": "create"}],
        [{"id": f"new-{number}", "importMode": "create"} for number in range(101)],
    ],
    "/devices/query": [{}, {"query": 1}, {"query": "DROP TABLE devices"}, {"query": "x" * 90000}],
    "/twins/{id}": [
        {"tags": 1},
        {"tags": []},
        {"properties": []},
        {"properties": {"desired": 1}},
        {"properties": {"desired": {"$a": 1}}},
        {"properties": {"desired": {"a.b": 1}}},
        {"properties": {"desired": {"a\u0000": 1}}},
        {"properties": {"desired": {"x" * 5000: 1}}},
        {"properties": {"desired": {"a": "x" * 5000}}},
        {"tags": {str(number): "x" * 4000 for number in range(10)}},
        {"tags": json.loads('{"a":' * 20 + "1" + "}" * 20)},
        {"deviceId": "other", "tags": {"a": 1}},
    ],
}
GROUP = group("d", KEY)
BAD_MEMBERS["/enrollmentGroups/{id}"] = [
    {},
    {"enrollmentGroupId": "d"},
    {**GROUP, "enrollmentGroupId": "other"},
    {**GROUP, "enrollmentGroupId": "d" * 129},
    {**GROUP, "enrollmentGroupId": None},
    {**GROUP, "attestation": {}},
    {**GROUP, "attestation": {"type": "none such"}},
    {**GROUP, "attestation": {"type": "tpm", "tpm": {"endorsementKey": "AAAA"}}},
    {**GROUP, "attestation": {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": "AAAA"}}}}},
    {**GROUP, "attestation": {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": "AAAA"}}}}},
    {**GROUP, "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "short"}}},
    *({**GROUP, name: bad[name]} for bad in BAD_MEMBERS["/enrollments/{id}"] for name in bad if name in SHARED),
]
BAD_MEMBERS["/enrollmentGroups/query"] = BAD_MEMBERS["/enrollments/query"]
BAD_MEMBERS["/enrollmentGroups"] = [
    {},
    {"mode": "create"},
    {"mode": "destroy", "enrollmentGroups": []},
    {"mode": "create", "enrollmentGroups": {}},
    {"mode": "create", "enrollmentGroups": [1]},
    {"mode": "create", "enrollmentGroups": [group(f"new-{number}", KEY) for number in range(11)]},
]
BAD_MEMBERS["/{scope}/registrations/{id}/register"] = BAD_MEMBERS["/{scope}/registrations/{id}"]


def test_every_endpoint_with_a_body_has_bad_members_here() -> None:
    assert {endpoint.path for endpoint in WITH_BODY} == BAD_MEMBERS.keys()


def test_members_that_cannot_be(attacker: Attacker) -> None:
    for endpoint in WITH_BODY:
        for document in BAD_MEMBERS[endpoint.path]:
            body = json.dumps(document).encode()
            # What is there may be replaced, so that nothing but the document is in the way.
            headers = [("If-Match", "*")] if endpoint.method == "PUT" else []
            content = attacker.request(endpoint, body=body, headers=headers)
            # The last refusals are a hub's: too many devices, and twins that are too large.
            attacker.refused(body[:120].decode(), endpoint, content, [400, 401, 403, 413])


def test_other_content_types(attacker: Attacker) -> None:
    for endpoint in WITH_BODY:
        for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "x" * 1000, "\xe9"):
            content = attacker.request(endpoint, headers=[("Content-Type", kind)])
            attacker.refused(kind[:40], endpoint, content, [415])


def test_bodies_beyond_the_limit(attacker: Attacker) -> None:
    for endpoint in WITH_BODY:
        padded = b" " * (endpoint.limit + 1)
        attacker.refused("one byte too many", endpoint, attacker.request(endpoint, body=padded), [413])
        chunked = attacker.request(endpoint, body=b"", headers=[("Transfer-Encoding", "chunked")])
        content = chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(padded), padded)
        attacker.refused("one byte too many in chunks", endpoint, content, [413])
        promised = attacker.request(endpoint, body=b"{}", headers=[("Content-Length", str(10**15))])
        attacker.refused("a thousand terabytes promised", endpoint, promised, [413])


def test_a_body_of_the_limit_is_read(attacker: Attacker) -> None:
    """Read whole and found to be no JSON, in other words."""
    for endpoint in WITH_BODY:
        body = b" " * endpoint.limit
        attacker.refused("just not too many bytes", endpoint, attacker.request(endpoint, body=body), [400])
