"""Owns the grammar: how a query is read, and the condition that it comes to. It must not know what is stored.

    query      = [ "SELECT" "*" [ "FROM" name ] [ "WHERE" or ] [ ";" ] ]  |  "*"
    or         = and { "OR" and }
    and        = not { "AND" not }
    not        = "NOT" not  |  "(" or ")"  |  function  |  comparison
    function   = "IS_DEFINED" "(" field ")"  |  ( "STARTSWITH" | "STARTS_WITH" ) "(" field "," text ")"
    comparison = field ( sign value  |  [ "NOT" ] "IN" ( "(" values ")"  |  "[" values "]" ) )

Each token is looked at a fixed number of times, and what may nest is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from idscope.enrollments.query.fields import Collection, Field, FieldType
from idscope.enrollments.query.tokens import Token, TokenKind, refuse, tokens_of
from idscope.enrollments.query.values import compared, defined, one_of, starts_with, value_in
from idscope.errors import InvalidArgument
from idscope.storage import And, Condition, Not, Or
from idscope.storage.condition import Operator, Value

MAX_LENGTH: Final = 8192  # characters
MAX_COMPARISONS: Final = 50
MAX_VALUES: Final = 100  # in one IN
MAX_DEPTH: Final = 32  # of parentheses and NOT

_SIGNS: Final[dict[str, Operator]] = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_STARTS_WITH: Final = ("STARTSWITH", "STARTS_WITH")
_ORDERED: Final = frozenset({FieldType.TEXT, FieldType.NUMBER, FieldType.TIME})
_CLOSING: Final = {"(": ")", "[": "]"}
_EVERYTHING: Final = frozenset({"", "*"})  # quirk: Node's service SDK is told to ask a group's registrations for `*`


def parse_query(text: str, collection: Collection) -> Condition | None:
    """What a query asks of each item, None for all of them. Raises InvalidArgument."""
    if len(text) > MAX_LENGTH:
        raise InvalidArgument(f"The query is longer than {MAX_LENGTH} characters.")
    if text.strip(" \t\r\n") in _EVERYTHING:
        return None
    return _Reader(tokens_of(text), collection).query()


class _Reader:
    def __init__(self, tokens: list[Token], collection: Collection) -> None:
        self._tokens = tokens
        self._collection = collection
        self._next = 0
        self._depth = 0
        self._comparisons = 0

    def query(self) -> Condition | None:
        self._expect("SELECT")
        self._expect("*")
        condition: Condition | None = None
        could_follow = "FROM, WHERE or the end"
        if self._take("FROM"):
            self._from()
            could_follow = "WHERE or the end"
        if self._take("WHERE"):
            condition = self._or()
            could_follow = "AND, OR or the end"
        self._take(";")
        if self._token.kind is not TokenKind.END:
            self._refuse(could_follow)
        return condition

    def _from(self) -> None:
        names = {name.upper() for name in (self._collection.name, *self._collection.others)}
        if not self._token.is_word(*names):
            self._refuse(self._collection.name)
        self._advance()

    def _or(self) -> Condition:
        parts = self._separated("OR", self._and)
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Condition:
        parts = self._separated("AND", self._not)
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _separated(self, word: str, read: Callable[[], Condition]) -> list[Condition]:
        parts = [read()]
        while self._take(word):
            parts.append(read())
        return parts

    def _not(self) -> Condition:
        if self._take("NOT"):
            return Not(self._deeper(self._not))
        if self._take("("):
            condition = self._deeper(self._or)
            self._expect(")", "AND, OR or )")
            return condition
        return self._comparison()

    def _deeper(self, read: Callable[[], Condition]) -> Condition:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidArgument(f"The query nests deeper than {MAX_DEPTH} parentheses and NOT.")
        condition = read()
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise InvalidArgument(f"The query has more than {MAX_COMPARISONS} comparisons.")
        called = self._tokens[self._next + 1].is_word("(") if self._token.kind is TokenKind.NAME else False
        if called and self._take("IS_DEFINED"):
            return self._is_defined()
        if called and self._take(*_STARTS_WITH):
            return self._starts_with()
        field = self._field("a field, NOT, IS_DEFINED, STARTSWITH or (")
        if self._take("NOT"):
            self._expect("IN")
            return Not(self._in(field))
        return self._in(field) if self._take("IN") else self._compared(field)

    def _is_defined(self) -> Condition:
        self._expect("(")
        field = self._field("a field")
        self._expect(")")
        return defined(field)

    def _starts_with(self) -> Condition:
        self._expect("(")
        token = self._token
        field = self._field("a field")
        if field.type is not FieldType.TEXT:
            refuse(token.column, "a field that is text", token)
        self._expect(",", "a comma")
        value = self._value(field)
        self._expect(")")
        return starts_with(field, str(value))

    def _compared(self, field: Field) -> Condition:
        token = self._advance()
        sign = _SIGNS.get(token.text) if token.kind is TokenKind.SIGN else None
        if sign is None or (sign not in {"=", "!="} and field.type not in _ORDERED):
            possible = "=, !=, <, <=, >, >= or IN" if field.type in _ORDERED else "=, != or IN"
            if token.is_word(*_STARTS_WITH):
                possible += f"; it is written STARTSWITH({field.name}, 'text')"
            refuse(token.column, possible, token)
        return compared(field, sign, self._value(field))

    def _in(self, field: Field) -> Condition:
        opening = self._advance()
        if not opening.is_word(*_CLOSING):
            refuse(opening.column, "( or [", opening)
        values = [self._value(field)]
        while self._take(","):
            values.append(self._value(field))
            if len(values) > MAX_VALUES:
                raise InvalidArgument(f"An IN of the query has more than {MAX_VALUES} values.")
        closing = _CLOSING[opening.text]
        self._expect(closing, f", or {closing}")
        return one_of(field, tuple(values))

    def _field(self, expected: str) -> Field:
        token = self._advance()
        field = self._collection.field(token.text) if token.kind is TokenKind.NAME else None
        if field is None:
            named = f" ({self._collection.name} have no such field)" if token.kind is TokenKind.NAME else ""
            refuse(token.column, expected, f"{token}{named}")
        return field

    def _value(self, field: Field) -> Value:
        return value_in(self._advance(), field)

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _advance(self) -> Token:
        token = self._token
        if token.kind is not TokenKind.END:
            self._next += 1
        return token

    def _take(self, *words: str) -> bool:
        taken = self._token.is_word(*words)
        if taken:
            self._advance()
        return taken

    def _expect(self, word: str, expected: str | None = None) -> None:
        if not self._take(word):
            self._refuse(expected or word)

    def _refuse(self, expected: str) -> None:
        refuse(self._token.column, expected, self._token)
