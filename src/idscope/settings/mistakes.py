"""Owns how mistakes in settings are collected and told, all at once. It must not know any one setting."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec


class Mistake(msgspec.Struct, frozen=True):
    """One mistake: where it stands, what is wrong, what to do."""

    origin: str
    problem: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.problem}" + (f". {self.advice}" if self.advice else "")


class SettingsMistakes(Exception):
    """Every mistake that was found; the server does not start."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n".join([f"{count} in the settings:", *(f"  - {each}" for each in self.mistakes)]))


def unknown_name(origin: str, name: str, known: Iterable[str]) -> Mistake:
    """The mistake of a name that nobody knows, with the nearest one that exists."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    advice = f"Did you mean {nearest[0]!r}?" if nearest else "`idscope settings` lists every name."
    return Mistake(origin, f"unknown name {name!r}", advice)
