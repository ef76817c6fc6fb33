"""The api-version: what is one, their order, what is published, what is masked since when."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idscope.errors import UnsupportedApiVersion
from idscope.model.api_version import PUBLISHED, SINCE, check_published, parse_api_version

versions = st.tuples(st.dates(), st.booleans())


def text_of(day: dt.date, stable: bool) -> str:
    return day.isoformat() + ("" if stable else "-preview")


@given(versions, versions)
def test_the_order_is_that_of_the_days_and_a_preview_comes_before_its_day(
    one: tuple[dt.date, bool], other: tuple[dt.date, bool]
) -> None:
    left, right = parse_api_version(text_of(*one)), parse_api_version(text_of(*other))
    assert (left < right) is (one < other)
    assert (left == right) is (one == other)
    assert str(left) == text_of(*one)


def test_the_published_list_is_in_order_and_without_repetition() -> None:
    parsed = [parse_api_version(text) for text in PUBLISHED]
    assert parsed == sorted(set(parsed))
    for version in parsed:
        check_published(version)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", " ", "2021", "2021-10", "2021-10-1", "2021-1-01", "20211001", "2021-10-01 ", " 2021-10-01"),
        *("2021-10-01-Preview", "2021-10-01-preview2", "2021-10-01preview", "2021-10-01-beta", "v2021-10-01"),
        *("2021-13-01", "2021-02-30", "0000-01-01", "2021-00-10", "2021-10-00", "2021-10-01\n", "2021-10-01-preview\n"),
        *("٢٠٢١-10-01", "latest", "2021-10-01,2019-03-31"),
    ],
)
def test_what_is_no_date_is_refused(text: str | None) -> None:
    with pytest.raises(UnsupportedApiVersion) as refused:
        parse_api_version(text)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["2021-10-02", "2021-10-01-preview", "1999-01-01", "2030-01-01"])
def test_a_date_that_nobody_published_is_refused_where_the_list_counts(text: str) -> None:
    with pytest.raises(UnsupportedApiVersion) as refused:
        check_published(parse_api_version(text))
    assert "2021-10-01" in refused.value.message  # the operator sees what would be accepted


def test_every_member_that_is_masked_came_after_2021_10_01() -> None:
    assert SINCE
    assert all(since > parse_api_version("2021-10-01") for since in SINCE.values())
    assert {str(since) for since in SINCE.values()} <= set(PUBLISHED)
