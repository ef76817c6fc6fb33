"""trackingIds: GUIDs, as clients expect, of version 7."""

from __future__ import annotations

import time
import uuid

from idscope.frontends.http.answers import new_tracking_id


def test_a_tracking_id_is_a_guid_of_version_7_that_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_tracking_id() for _ in range(200)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == 200
    for text in ids:
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 7, uuid.RFC_4122)
        assert before <= read.int >> 80 <= after


def test_what_is_random_in_it_is_all_drawn() -> None:
    """Each of the 74 bits is seen set and not set."""
    ones = zeros = 0
    for _ in range(200):
        value = uuid.UUID(new_tracking_id()).int
        ones, zeros = ones | value, zeros | ~value
    drawn = (0xFFF << 64) | ((1 << 62) - 1)
    assert ones & drawn == drawn
    assert zeros & drawn == drawn
