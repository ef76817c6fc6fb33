"""Times that were written by others, read as the standard library reads them, and refused where they are none."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idscope.clock import format_time, parse_time

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))


@given(st.datetimes(timezones=ZONES), st.sampled_from(["T", "t", " "]))
def test_a_time_is_read_as_the_standard_library_writes_it(moment: dt.datetime, separator: str) -> None:
    assert parse_time(moment.isoformat(separator)) == (moment - EPOCH) // dt.timedelta(microseconds=1)


@given(st.datetimes(min_value=EPOCH.replace(tzinfo=None)))
def test_a_time_that_this_server_wrote_is_read(moment: dt.datetime) -> None:
    microseconds = (moment - EPOCH.replace(tzinfo=None)) // dt.timedelta(microseconds=1)
    assert parse_time(format_time(microseconds)) == microseconds


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2023-05-19", "2023-05-19T00:00:00Z"),
        ("2023-05-19T23:10", "2023-05-19T23:10:00Z"),
        ("2023-05-19 23:10:45", "2023-05-19T23:10:45Z"),
        ("2023-05-19T23:10:45.4777930Z", "2023-05-19T23:10:45.477793Z"),  # the seven digits of .NET
        ("2023-05-19T23:10:45.5z", "2023-05-19T23:10:45.500000Z"),
    ],
)
def test_what_may_be_left_out(text: str, same: str) -> None:
    assert parse_time(text) == parse_time(same)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023",
        "20230519",
        "2023-5-19",
        "2023-02-29",
        "2023-13-01",
        "2023-05-19T24:00:00Z",
        "2023-05-19T23",
        "2023-05-19T23:10.5Z",
        "2023-05-19T23:10:45.Z",
        "2023-05-19T23:10:45.4777931Z",
        "2023-05-19T23:10:45+02",
        "2023-05-19T23:10:45+24:00",
        "2023-05-19Z",
        "2023-W20-5",
        " 2023-05-19",
        "2023-05-19\n",
        "٢٠٢٣-05-19",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)
