"""Etags: the observed form of a new one, and every way in which a client writes one."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idscope.errors import InvalidETag
from idscope.model.etag import PRESENT, Matches, check_body_etag, new_etag, parse_if_match

# Observed: "pppppppp-0000-pp00-0000-tttttttt0000", t = hex seconds of the write; 646801f5 is 2023-05-19T23:10:45Z.
OBSERVED = re.compile(r'"[0-9a-f]{8}-0000-[0-9a-f]{2}00-0000-([0-9a-f]{8})0000"\Z')
SAMPLE = "IjBhMDBiNzQyLTAwMDAtMDgwMC0wMDAwLTY0NjgwMWY1MDAwMCI="


def test_the_recorded_etag_is_of_the_form_that_this_test_demands() -> None:
    match = OBSERVED.match(base64.b64decode(SAMPLE).decode())
    assert match
    assert int(match[1], 16) == 1684537845


@given(st.integers(min_value=0, max_value=2**32 - 1), st.integers(min_value=0, max_value=999_999))
def test_a_new_etag_is_of_the_observed_form_and_tells_the_second(second: int, micros: int) -> None:
    etag = new_etag(second * 1_000_000 + micros)
    match = OBSERVED.match(base64.b64decode(etag, validate=True).decode())
    assert match
    assert int(match[1], 16) == second
    assert len(etag) == len(SAMPLE)


def test_two_etags_of_one_instant_differ() -> None:
    assert len({new_etag(0) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("header", "expectation"),
    [
        (SAMPLE, Matches(SAMPLE)),  # Node, Java, C, CLI, Python
        (f'"{SAMPLE}"', Matches(SAMPLE)),  # C# 1.x
        (f'W/"{SAMPLE}"', Matches(SAMPLE)),
        (f"W/{SAMPLE}", Matches(SAMPLE)),
        (f"  {SAMPLE} ", Matches(SAMPLE)),
        ("*", PRESENT),  # CLI
        ('"*"', PRESENT),  # C#, forced
        ('W/"*"', PRESENT),
        (None, None),
        ("", None),
        ('""', None),  # .NET, on a create
        ("  ", None),
        ('"', Matches('"')),
        ("stale", Matches("stale")),
    ],
)
def test_every_form_that_clients_write_is_understood(header: str | None, expectation: object) -> None:
    assert parse_if_match(header) == expectation


def test_an_endless_if_match_is_refused() -> None:
    with pytest.raises(InvalidETag):
        parse_if_match("a" * 1025)


@pytest.mark.parametrize("etag", [None, "", "*", SAMPLE, "ngtrmhcikthymtknva"])
def test_a_bare_etag_in_a_body_is_accepted(etag: str | None) -> None:
    check_body_etag(etag)


@pytest.mark.parametrize("etag", [f'"{SAMPLE}"', '"', 'a"b', "a" * 1025])
def test_an_etag_in_a_body_with_embedded_quotes_is_refused(etag: str) -> None:
    with pytest.raises(InvalidETag) as refused:
        check_body_etag(etag)
    assert (refused.value.error_code, refused.value.message) == (400004, "ETag is invalid")
