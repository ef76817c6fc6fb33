"""Queries with a condition, as Microsoft's three service SDKs ask them: this server's extension, by their own means."""

from __future__ import annotations

from typing import Any

import pytest
from sdk_documents import derived_key, self_signed, symmetric_key_enrollment, symmetric_key_group
from sdk_drivers import HTTPS, SdkError, ServiceSdk

COUNT = 60
SINGLES = [f"query-{number:02}" for number in range(COUNT)]
GROUPS = [f"query-group-{number:02}" for number in range(20)]
DISABLED = SINGLES[::3]
REGISTERED = SINGLES[1:9:3]
MEMBERS = [f"member-{number}" for number in range(9)]
EXPIRING = "query-certificate"
BULK_LIMIT = 10


def status_of(name: str) -> str:
    return "disabled" if name in DISABLED or name in GROUPS[::2] else "enabled"


@pytest.fixture(scope="module")
def deployment(deploy: Any) -> Any:
    """A third of its enrollments and half of its groups are disabled; some of its devices registered."""
    deployment = deploy()
    service = deployment.service()
    for start in range(0, COUNT, BULK_LIMIT):
        batch = [
            symmetric_key_enrollment(each, provisioningStatus=status_of(each)) for each in SINGLES[start:][:BULK_LIMIT]
        ]
        assert service.bulk("create", batch) == {"isSuccessful": True, "errors": []}
    for each in GROUPS:
        service.groups.put(symmetric_key_group(each, provisioningStatus=status_of(each)))
    pem = self_signed(EXPIRING).pem
    certificates = {"clientCertificates": {"primary": {"certificate": pem}}}
    service.put({"registrationId": EXPIRING, "attestation": {"type": "x509", "x509": certificates}})

    own = [(each, service.attestation(each)["symmetricKey"]["primaryKey"], HTTPS) for each in REGISTERED]
    key = service.groups.attestation(GROUPS[1])["symmetricKey"]["primaryKey"]
    states = deployment.register_all([*own, *((each, derived_key(key, each), HTTPS) for each in MEMBERS)])
    assert [state["status"] for state in states] == ["assigned"] * len(states)
    return deployment


def ids(pages: list[list[dict[str, Any]]], name: str = "registrationId") -> list[str]:
    return sorted(item[name] for page in pages for item in page)


def test_a_condition_in_pages(service: ServiceSdk) -> None:
    pages = service.query(7, "SELECT * FROM enrollments WHERE provisioningStatus = 'disabled'")

    assert [len(page) for page in pages] == [7, 7, 6]
    assert ids(pages) == DISABLED


def test_a_condition_for_groups_in_pages(service: ServiceSdk) -> None:
    condition = "NOT provisioningStatus = 'disabled' AND enrollmentGroupId > 'query-group-04'"

    pages = service.groups.query(3, f"SELECT * FROM enrollmentGroups WHERE {condition}")

    assert [len(page) for page in pages] == [3, 3, 2]
    assert ids(pages, "enrollmentGroupId") == GROUPS[5::2]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("registrationState.status = 'assigned'", REGISTERED),
        ("registrationId IN ('query-05', 'QUERY-07', 'nobody')", ["query-05", "query-07"]),
        ("STARTSWITH(registrationId, 'query-1') AND registrationState.status = 'unassigned'", SINGLES[10:20]),
        ("attestation.type = 'x509'", [EXPIRING]),
        ("attestation.x509.clientCertificates.primary.info.notAfterUtc < '2999-01-01'", [EXPIRING]),
        ("attestation.x509.clientCertificates.primary.info.notAfterUtc < '2001-01-01T00:00:00Z'", []),
        (
            "(registrationId = 'query-01' OR registrationId = 'query-02') AND NOT registrationId = 'query-02'",
            ["query-01"],
        ),
    ],
)
def test_conditions(service: ServiceSdk, condition: str, found: list[str]) -> None:
    assert ids(service.query(query=f"SELECT * WHERE {condition}")) == found


def test_a_condition_for_the_registrations_of_a_group(deployment: Any) -> None:
    """Node's service SDK alone sends a query here."""
    service = deployment.service()

    pages = service.query_states(GROUPS[1], 2, "SELECT * FROM registrations WHERE registrationId < 'member-5'")

    assert [len(page) for page in pages] == [2, 2, 1]
    assert ids(pages) == MEMBERS[:5]
    assert ids(service.query_states(GROUPS[1], query="SELECT * WHERE status != 'assigned'")) == []


def test_a_mistake_is_told_with_its_column(service: ServiceSdk) -> None:
    with pytest.raises(SdkError) as refused:
        service.query(query="SELECT * FROM enrollments WHERE tags.site = 'north'")

    assert (refused.value.status, refused.value.error_code) == (400, 400004)
    assert "at column 33: expected a field" in str(refused.value.body)
