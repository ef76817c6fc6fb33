"""The few queries that the embedded hub understands."""

from __future__ import annotations

import pytest

from idscope.embedded_hub.query import parse_query
from idscope.errors import HubArgumentInvalid


@pytest.mark.parametrize("text", ["SELECT * FROM devices", "select  *  from devices ;", "\nSELECT *\nFROM devices\n"])
def test_all_devices(text: str) -> None:
    assert parse_query(text) is None


@pytest.mark.parametrize(
    ("text", "device_id"),
    [
        ("SELECT * FROM devices WHERE deviceId = 'd1'", "d1"),
        ("select * from devices where devices.deviceId='D 1'", "D 1"),
        ("SELECT * FROM devices WHERE deviceId = 'it''s'", "it's"),
        ("SELECT * FROM devices WHERE deviceId = ''", ""),
    ],
)
def test_one_device(text: str, device_id: str) -> None:
    assert parse_query(text) == device_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT deviceId FROM devices",
        "SELECT * FROM devices.modules",
        "SELECT * FROM devices WHERE tags.site = 'north'",
        "SELECT * FROM devices WHERE deviceId = 'a' OR deviceId = 'b'",
        "SELECT * FROM devices WHERE deviceId = 'a",
        "SELECT * FROM enrollments",
        "DELETE FROM devices",
    ],
)
def test_every_other_query_is_refused(text: str) -> None:
    with pytest.raises(HubArgumentInvalid):
        parse_query(text)
