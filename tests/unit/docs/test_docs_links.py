"""Links between the pages lead somewhere, and the index of decisions is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_pages import DOCS, ROOT, anchors, every_page, links, text_of

RECORDS = sorted(page for page in (DOCS / "decisions").glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("page", every_page(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if fragment:
            assert fragment in anchors(target), link


def test_every_decision_stands_in_the_index_with_its_title() -> None:
    index = re.findall(r"^- \[(\d{4}) (.+)\]\((.+)\)", text_of(DOCS / "decisions" / "README.md"), re.MULTILINE)

    assert [name for _, _, name in index] == [page.name for page in RECORDS]
    for number, title, name in index:
        assert name.startswith(number)
        assert text_of(DOCS / "decisions" / name).startswith(f"# {number}. {title}\n")


@pytest.mark.parametrize("page", RECORDS, ids=lambda page: page.stem)
def test_a_decision_says_context_decision_and_what_follows(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", text_of(page), re.MULTILINE)

    assert headings[:3] == ["Context", "Decision", "What follows"]


def test_a_page_below_docs_is_reached_from_another_page() -> None:
    reached = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in every_page()
        for link in links(page)
        if "://" not in link and link.partition("#")[0]
    }
    assert set(DOCS.rglob("*.md")) <= reached
