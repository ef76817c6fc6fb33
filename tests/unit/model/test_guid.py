from __future__ import annotations

import time
import uuid

from idscope.model.guid import new_guid, new_ordered_guid


def test_guids_are_of_the_fourth_version_and_written_as_python_writes_them() -> None:
    for _ in range(200):
        text = new_guid()
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (4, uuid.RFC_4122)


def test_guids_differ() -> None:
    assert len({new_guid() for _ in range(1000)}) == 1000


def test_ordered_guids_are_of_the_seventh_version_and_begin_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = [new_ordered_guid() for _ in range(200)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == 200
    for text in made:
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 7, uuid.RFC_4122)
        assert before <= read.int >> 80 <= after


def test_all_else_in_an_ordered_guid_is_drawn() -> None:
    """Each of the 74 bits is seen set and not set."""
    ones = zeros = 0
    for _ in range(200):
        value = uuid.UUID(new_ordered_guid()).int
        ones, zeros = ones | value, zeros | ~value
    drawn = (0xFFF << 64) | ((1 << 62) - 1)
    assert ones & drawn == drawn
    assert zeros & drawn == drawn
