"""The query pages over 250 enrollments, as each service SDK walks them."""

from __future__ import annotations

from typing import Any

import pytest
from sdk_documents import symmetric_key_enrollment
from sdk_drivers import ServiceSdk

IDS = [f"page-{number:03}" for number in range(250)]
BULK_LIMIT = 10


@pytest.fixture(scope="module")
def deployment(deploy: Any) -> Any:
    """A server that holds these 250 enrollments and nothing else."""
    deployment = deploy()
    service = deployment.service()
    for start in range(0, len(IDS), BULK_LIMIT):
        batch = [symmetric_key_enrollment(each) for each in IDS[start : start + BULK_LIMIT]]
        assert service.bulk("create", batch) == {"isSuccessful": True, "errors": []}
    return deployment


@pytest.mark.parametrize(
    ("page_size", "lengths"),
    [
        pytest.param(None, [100, 100, 50], id="default"),
        pytest.param(60, [60, 60, 60, 60, 10], id="sixty"),
        # A full last page has no token, and no empty page follows it.
        pytest.param(50, [50] * 5, id="full-last-page"),
    ],
)
def test_pages(service: ServiceSdk, page_size: int | None, lengths: list[int]) -> None:
    pages = service.query(page_size)

    assert [len(page) for page in pages] == lengths
    assert sorted(item["registrationId"] for page in pages for item in page) == IDS


def test_a_page_shows_neither_keys_nor_state(service: ServiceSdk) -> None:
    item = service.query()[0][0]

    assert item["attestation"] == {"type": "symmetricKey"}
    assert "registrationState" not in item
    assert item["etag"] == service.get(item["registrationId"])["etag"]


def test_the_query_is_read_whatever_its_case(service: ServiceSdk) -> None:
    assert sum(len(page) for page in service.query(query="select * FROM Enrollments")) == len(IDS)
