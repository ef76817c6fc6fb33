"""Owns how text from elsewhere is shown on a terminal. It must not know what the text says."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything escaped that a terminal would not show but obey."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
