"""Owns the words of a query: where each begins, and what kind of word it is. It must not know the grammar.

Linear in the length of the text, whatever it is.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple, NoReturn

from idscope.errors import InvalidArgument

_MOST_SHOWN: Final = 40
_WORD: Final = re.compile(
    r"""[ \t\r\n]*+(?:
        (?P<name>[A-Za-z_][A-Za-z0-9_.]*+)
      | (?P<number>-?[0-9]++)
      | (?P<text>'(?:[^']|'')*+')
      | (?P<sign>!=|<>|<=|>=|[=<>()\[\],*;])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)


class TokenKind(Enum):
    NAME = "name"
    NUMBER = "number"
    TEXT = "text"
    SIGN = "sign"
    END = "end"


class Token(NamedTuple):
    """`text` as it was written; `column` counts characters from 1."""

    kind: TokenKind
    text: str
    column: int

    def is_word(self, *words: str) -> bool:
        """A keyword, in any case, or a sign."""
        return self.kind in {TokenKind.NAME, TokenKind.SIGN} and self.text.upper() in words

    def __str__(self) -> str:
        """What a person is told. Texts and numbers are values, which no error repeats."""
        match self.kind:
            case TokenKind.TEXT | TokenKind.NUMBER:
                return f"a {self.kind.value}"
            case TokenKind.END:
                return "the end"
        return self.text if len(self.text) <= _MOST_SHOWN else f"{self.text[:_MOST_SHOWN]}…"


def tokens_of(text: str) -> list[Token]:
    """The last one is the end. Raises InvalidArgument."""
    tokens: list[Token] = []
    position = 0
    while not tokens or tokens[-1].kind is not TokenKind.END:
        match = _WORD.match(text, position)
        if match is None or match.lastgroup is None:
            _refuse_character(text, position)
        kind = TokenKind(match.lastgroup)
        tokens.append(Token(kind, match[kind.value], match.start(kind.value) + 1))
        position = match.end()
    return tokens


def refuse(column: int, expected: str, found: object) -> NoReturn:
    """Raises InvalidArgument that points at the column."""
    raise InvalidArgument(f"The query is not understood at column {column}: expected {expected}, found {found}.")


def _refuse_character(text: str, position: int) -> NoReturn:
    while text[position] in " \t\r\n":
        position += 1
    if text[position] == "'":
        refuse(position + 1, "a text in single quotes", "no closing quote")
    refuse(position + 1, "a word, a number, a text in single quotes or a sign", "another character")
