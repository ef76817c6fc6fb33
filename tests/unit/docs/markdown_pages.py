"""Owns the reading of the project's Markdown pages: their tables, links, headings and code spans.

It must not know what any page is held to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"

_LINK = re.compile(r"\[[^\]^]+\]\(([^)\s]+)\)")
_DEFINITION = re.compile(r'^\[([^\]]+)\]: (\S+)(?: "([^"]*)")?$', re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def every_page() -> list[Path]:
    """README, changelog and everything below docs/."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """The text without its fenced blocks."""
    return _FENCED.sub("", text_of(page))


def tables(page: Path) -> Iterator[tuple[list[str], list[dict[str, str]]]]:
    """Each table: its column names, and its rows by column name, code marks taken away."""
    for block in re.findall(r"(?:^\|.*\|\n)+", prose_of(page), re.MULTILINE):
        head, _, *rows = (_cells(line) for line in block.splitlines())
        assert all(len(row) == len(head) for row in rows), f"{page.name}: a row is not as wide as its table: {head}"
        yield head, [dict(zip(head, row, strict=True)) for row in rows]


def links(page: Path) -> Iterator[str]:
    """Targets of inline links and of link definitions."""
    prose = prose_of(page)
    yield from _LINK.findall(prose)
    yield from (target for _, target, _ in _DEFINITION.findall(prose))


def definitions(page: Path) -> dict[str, tuple[str, str]]:
    """Link definitions: label to target and title."""
    return {label: (target, title) for label, target, title in _DEFINITION.findall(prose_of(page))}


def anchors(page: Path) -> set[str]:
    """The fragment of each heading, as GitHub makes it."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose_of(page))}


def code_spans(page: Path) -> set[str]:
    return set(_SPAN.findall(prose_of(page)))


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
