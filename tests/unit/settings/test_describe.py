"""How settings are shown: stars for secrets, and a reference page that equals the committed one."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from idscope.settings import ROWS, load_settings
from idscope.settings.describe import as_json, as_markdown, as_table

KEY = base64.b64encode(bytes(range(32))).decode()
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def test_the_reference_page_is_the_generated_one() -> None:
    assert PAGE.read_text() == as_markdown(), "run: python -m idscope settings --markdown > docs/reference/settings.md"


def test_table_and_json_show_value_and_origin_and_stars(tmp_path: Path) -> None:
    loaded = load_settings({"data_directory": str(tmp_path)}, {"IDSCOPE_SEALING_KEY": KEY})
    shown = {row["name"]: row for row in json.loads(as_json(loaded.settings, loaded.origins))}
    table = as_table(loaded.settings, loaded.origins)
    assert list(shown) == [row.name for row in ROWS]
    assert shown["https_port"]["value"] == 443
    assert shown["data_directory"]["value"] == str(tmp_path)
    assert shown["data_directory"]["origin"] == "flag --data-directory"
    assert shown["sealing_key"]["value"] == "***"
    assert KEY not in table + json.dumps(shown)
    [line] = [line for line in table.splitlines() if line.startswith("sealing_key ")]
    assert line.split()[1:4] == ["***", "environment", "IDSCOPE_SEALING_KEY"]


def test_flags_and_variables_are_unambiguous() -> None:
    flags = [row.flag for row in ROWS if row.flag]
    assert len(set(flags)) == len(flags)
    assert all(row.variable.startswith("IDSCOPE_") for row in ROWS)
