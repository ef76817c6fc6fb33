from __future__ import annotations

import uuid

from idscope.model.guid import new_guid


def test_guids_are_of_the_fourth_version_and_written_as_python_writes_them() -> None:
    for _ in range(200):
        text = new_guid()
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (4, uuid.RFC_4122)


def test_guids_differ() -> None:
    assert len({new_guid() for _ in range(1000)}) == 1000
