"""Owns what is compared: the value that a token holds for a field, and the condition that a comparison comes to.
It must not know the grammar around it."""

from __future__ import annotations

from typing import Final

from idscope.clock import parse_time
from idscope.enrollments.query.fields import Field, FieldType
from idscope.enrollments.query.tokens import Token, TokenKind, refuse
from idscope.storage import And, Condition, Not, Or
from idscope.storage.condition import Column, Compare, Defined, OneOf, Operator, Value, starting_with, truth

_LARGEST: Final = 2**63 - 1
_DIGITS: Final = 20  # more than the largest number has
_BOOLEANS: Final = {"FALSE": 0, "TRUE": 1}
_EXPECTED: Final = {
    FieldType.TEXT: "a text in single quotes",
    FieldType.NUMBER: "a whole number",
    FieldType.TIME: "a time in single quotes, such as '2026-01-31T08:30:00Z'",
    FieldType.BOOLEAN: "true or false",
}


def value_in(token: Token, field: Field) -> Value:
    """The token's value, as the field's column holds it. Raises InvalidArgument."""
    value = _value(token, field)
    if value is None:
        expected = _EXPECTED.get(field.type) or "one of " + ", ".join(f"'{word}'" for word in field.words)
        of_its_type = token.kind is _written_as(field) and token.kind is not TokenKind.NAME
        refuse(token.column, expected, f"another {field.type.value}" if of_its_type else token)
    return value


def compared(field: Field, sign: Operator, value: Value) -> Condition:
    return _also_of_absent(field, Compare(_column(field), sign, value))


def one_of(field: Field, values: tuple[Value, ...]) -> Condition:
    return _also_of_absent(field, OneOf(_column(field), values))


def starts_with(field: Field, text: str) -> Condition:
    return starting_with(_column(field), text)


def defined(field: Field) -> Condition:
    return _also_of_absent(field, Defined(_column(field)))


def _column(field: Field) -> Column:
    return Column(field.column, field.beside)


def _also_of_absent(field: Field, condition: Condition) -> Condition:
    """The same condition, or, where nothing stands in the column, what it is of the value that stands for none."""
    if field.absent is None:
        return condition
    there = Defined(_column(field))
    if truth(condition, lambda _: field.absent):
        return Or((condition, Not(there)))
    return And((condition, there))


def _value(token: Token, field: Field) -> Value | None:
    """None where the token is no value of the field's type."""
    if token.kind is not _written_as(field):
        return None
    match field.type:
        case FieldType.NUMBER:
            number = int(token.text[:_DIGITS])
            return number if len(token.text) <= _DIGITS and abs(number) <= _LARGEST else None
        case FieldType.BOOLEAN:
            return _BOOLEANS.get(token.text.upper())
    text = token.text[1:-1].replace("''", "'")
    match field.type:
        case FieldType.TIME:
            return _time(text)
        case FieldType.WORD:
            return text if text in field.words else None
    return text if field.fold is None else field.fold(text)


def _written_as(field: Field) -> TokenKind:
    return {FieldType.NUMBER: TokenKind.NUMBER, FieldType.BOOLEAN: TokenKind.NAME}.get(field.type, TokenKind.TEXT)


def _time(text: str) -> int | None:
    try:
        return parse_time(text)
    except ValueError:
        return None
