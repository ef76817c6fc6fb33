"""The page about the query language says what the code says, and its examples are understood."""

from __future__ import annotations

import re

import pytest
from markdown_pages import DOCS, tables, text_of

from idscope.enrollments.query import COLLECTIONS, Collection, grammar, paging, parse_query
from idscope.enrollments.query.fields import Field
from idscope.errors import InvalidArgument

PAGE = DOCS / "reference" / "query-language.md"
_BLOCK = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOW_TO = DOCS / "how-to" / "find-enrollments-and-devices.md"
EXAMPLES = [line for block in _BLOCK.findall(text_of(PAGE)) for line in block.splitlines()]
EXAMPLES += re.findall(r'(?<=")SELECT [^"]+(?=")|(?<=`)SELECT [^`]+(?=`)', text_of(HOW_TO))
NOUNS = {"enrollment": "enrollments", "enrollment-group": "enrollmentGroups", "registration": "registrations"}
_COMMAND = re.compile(r'^idscope (\S+) list .*--query "([^"]+)"', re.MULTILINE)
OF_COMMANDS = {query: NOUNS[noun] for noun, query in _COMMAND.findall(text_of(HOW_TO))}


def named(name: str) -> Collection:
    (collection,) = [each for each in COLLECTIONS if each.name == name]
    return collection


def type_of(field: Field) -> str:
    if field.words:
        return f"one of {', '.join(field.words)}"
    return f"{field.type.value}, without case" if field.fold else field.type.value


def index_of(collection: Collection, field: Field) -> str:
    row = collection.beside if field.beside else collection.row
    assert row is not None
    if field.column == row.KEY[1] and not field.beside:
        return "yes"
    for index in row.SEARCHED:
        if index.column == field.column:
            return "yes" if index.but is None else f"yes, but for {index.but}"
    return "-"


def test_every_field_is_documented_with_its_type_and_index() -> None:
    documented = [rows for head, rows in tables(PAGE) if "Field" in head]

    assert documented == [
        [
            {"Field": field.name, "Type": type_of(field), "Index": index_of(collection, field)}
            for field in collection.fields
        ]
        for collection in COLLECTIONS
    ]


def test_the_limits_are_documented() -> None:
    (bounds,) = ([int(row["Value"]) for row in rows] for head, rows in tables(PAGE) if "Bound" in head)
    (limits,) = ([int(row["Value"]) for row in rows] for head, rows in tables(PAGE) if "Limit" in head)

    assert bounds == [paging.DEFAULT_PAGE, paging.LARGEST_PAGE, paging.STRETCH, paging.ENOUGH, paging.MOST]
    assert limits == [grammar.MAX_LENGTH, grammar.MAX_COMPARISONS, grammar.MAX_VALUES, grammar.MAX_DEPTH]


@pytest.mark.parametrize("query", EXAMPLES)
def test_an_example_is_understood(query: str) -> None:
    collection = named(OF_COMMANDS.get(query) or query.split()[3])
    assert (parse_query(query, collection) is None) is ("WHERE" not in query)


def test_there_are_examples_of_each_collection() -> None:
    names = {each.name for each in COLLECTIONS}
    assert {query.split()[3] for query in EXAMPLES if query not in OF_COMMANDS} == names
    assert set(OF_COMMANDS.values()) == names


def test_the_message_of_a_mistake_is_the_documented_one() -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_query("SELECT * WHERE deviceId LIKE 'x'", COLLECTIONS[0])
    assert f"```\n{refused.value.message}\n```" in text_of(PAGE)
