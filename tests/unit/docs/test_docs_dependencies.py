"""Every runtime dependency has its reason in the record of them, and nothing else has one."""

from __future__ import annotations

import re
import tomllib

from markdown_pages import DOCS, ROOT, tables


def test_every_runtime_dependency_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[^\w-]", requirement)[0] for requirement in project["dependencies"]]

    ((_, rows),) = tables(DOCS / "decisions" / "0002-runtime-dependencies.md")

    assert [row["Package"] for row in rows] == names
    assert all(row["Reason"].endswith(".") for row in rows)
