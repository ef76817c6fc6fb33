"""The pages of 250 enrollments, 250 groups and the 250 registrations of a group, as each service SDK walks them."""

from __future__ import annotations

from typing import Any

import pytest
from sdk_documents import derived_key, symmetric_key_enrollment, symmetric_key_group
from sdk_drivers import HTTPS, SdkError, ServiceSdk

IDS = [f"page-{number:03}" for number in range(250)]
FULL_GROUP = IDS[0]
BULK_LIMIT = 10
AT_ONCE = 25

GROUP_BULK = "azure-iot-deviceprovisioning"

PAGES = pytest.mark.parametrize(
    ("page_size", "lengths"),
    [
        pytest.param(None, [100, 100, 50], id="default"),
        pytest.param(60, [60, 60, 60, 60, 10], id="sixty"),
        # A full last page has no token, and no empty page follows it.
        pytest.param(50, [50] * 5, id="full-last-page"),
    ],
)


def in_batches(size: int) -> list[list[str]]:
    return [IDS[start : start + size] for start in range(0, len(IDS), size)]


@pytest.fixture(scope="module")
def deployment(deploy: Any) -> Any:
    """A server that holds these 250 enrollments and 250 groups, and 250 devices that entered by the first group."""
    deployment = deploy()
    service, groups = deployment.service(), deployment.service(GROUP_BULK).groups
    for batch in in_batches(BULK_LIMIT):
        created = service.bulk("create", [symmetric_key_enrollment(each) for each in batch])
        assert created == {"isSuccessful": True, "errors": []}
        created = groups.bulk("create", [symmetric_key_group(each) for each in batch])
        assert created == {"isSuccessful": True, "errors": []}
    key = groups.attestation(FULL_GROUP)["symmetricKey"]["primaryKey"]
    for batch in in_batches(AT_ONCE):
        members = [f"member-{each}" for each in batch]
        states = deployment.register_all([(each, derived_key(key, each), HTTPS) for each in members])
        assert not [state for state in states if isinstance(state, SdkError) or state["status"] != "assigned"]
    return deployment


@PAGES
def test_pages(service: ServiceSdk, page_size: int | None, lengths: list[int]) -> None:
    pages = service.query(page_size)

    assert [len(page) for page in pages] == lengths
    assert sorted(item["registrationId"] for page in pages for item in page) == IDS


@PAGES
def test_groups_in_pages(service: ServiceSdk, page_size: int | None, lengths: list[int]) -> None:
    pages = service.groups.query(page_size)

    assert [len(page) for page in pages] == lengths
    assert sorted(item["enrollmentGroupId"] for page in pages for item in page) == IDS


@PAGES
def test_states_in_pages(listing_service: ServiceSdk, page_size: int | None, lengths: list[int]) -> None:
    pages = listing_service.query_states(FULL_GROUP, page_size)

    assert [len(page) for page in pages] == lengths
    assert sorted(item["registrationId"] for page in pages for item in page) == [f"member-{each}" for each in IDS]


@pytest.mark.parametrize("kind", ["individual", "group"])
def test_a_page_shows_neither_keys_nor_state(service: ServiceSdk, kind: str) -> None:
    if kind == "group":
        service = service.groups
    item = service.query()[0][0]

    assert item["attestation"] == {"type": "symmetricKey"}
    assert "registrationState" not in item
    assert item["etag"] == service.get(item["registrationId" if kind == "individual" else "enrollmentGroupId"])["etag"]


def test_the_query_is_read_whatever_its_case(service: ServiceSdk) -> None:
    assert sum(len(page) for page in service.query(query="select * FROM Enrollments")) == len(IDS)
    assert sum(len(page) for page in service.groups.query(query="SELECT * from enrollmentgroups")) == len(IDS)
