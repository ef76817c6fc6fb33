"""How a query is read: the grammar, what a mistake is told, the limits, and any text at all."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idscope.enrollments.query import (
    COLLECTIONS,
    ENROLLMENT_GROUPS,
    ENROLLMENTS,
    REGISTRATIONS,
    Collection,
    parse_query,
)
from idscope.enrollments.query.fields import FieldType
from idscope.enrollments.query.grammar import MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, MAX_VALUES
from idscope.errors import InvalidArgument
from idscope.storage.condition import And, Column, Compare, Condition, Defined, Not, OneOf, Or

DEVICE_ID = Column("device_id")
STATUS = Column("status", beside=True)
A, B, C = (Compare(DEVICE_ID, "=", text) for text in "abc")


def where(text: str, collection: Collection = ENROLLMENTS) -> Condition | None:
    return parse_query(f"SELECT * WHERE {text}", collection)


def refusal_of(query: str, collection: Collection = ENROLLMENTS) -> str:
    with pytest.raises(InvalidArgument) as refused:
        parse_query(query, collection)
    assert refused.value.error_code == 400004
    return refused.value.message


@pytest.mark.parametrize(
    ("query", "collection"),
    [
        ("", ENROLLMENTS),
        (" \n", ENROLLMENTS),
        ("select *", ENROLLMENTS),
        ("SELECT*", ENROLLMENTS),
        ("SELECT * FROM enrollments;", ENROLLMENTS),
        ("sElEcT\t* fRoM ENROLLMENTGROUPS ; ", ENROLLMENT_GROUPS),
        ("SELECT * FROM registrations", REGISTRATIONS),
        # quirk: a live test of Microsoft's asks for a group's registrations so
        ("SELECT * FROM enrollmentGroups", REGISTRATIONS),
        # quirk: Node's service SDK is told to ask for a group's registrations so
        ("*", REGISTRATIONS),
    ],
)
def test_what_asks_for_everything(query: str, collection: Collection) -> None:
    assert parse_query(query, collection) is None


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("deviceId = 'a'", A),
        ("DEVICEID='a'", A),
        ("deviceId = 'it''s'", Compare(DEVICE_ID, "=", "it's")),
        ("deviceId <> 'a'", Compare(DEVICE_ID, "!=", "a")),
        ("deviceId != 'a'", Compare(DEVICE_ID, "!=", "a")),
        ("deviceId <= ''", Compare(DEVICE_ID, "<=", "")),
        ("registrationId = 'Line-7'", Compare(Column("registration_key"), "=", "line-7")),
        ("deviceId IN ('a', 'b')", OneOf(DEVICE_ID, ("a", "b"))),
        ("deviceId in ['a']", OneOf(DEVICE_ID, ("a",))),
        ("deviceId NOT IN ['a']", Not(OneOf(DEVICE_ID, ("a",)))),
        ("STARTSWITH(deviceId, 'a')", And((Compare(DEVICE_ID, ">=", "a"), Compare(DEVICE_ID, "<", "b")))),
        ("starts_with ( deviceId , 'a' )", And((Compare(DEVICE_ID, ">=", "a"), Compare(DEVICE_ID, "<", "b")))),
        ("IS_DEFINED(deviceId)", Defined(DEVICE_ID)),
        ("capabilities.iotEdge = TRUE", Compare(Column("iot_edge"), "=", 1)),
        ("capabilities.iotEdge IN (true, False)", OneOf(Column("iot_edge"), (1, 0))),
        ("registrationState.errorCode >= -400209", Compare(Column("error_code", beside=True), ">=", -400209)),
        ("createdDateTimeUtc < '1970-01-01T00:00:01.5Z'", Compare(Column("created"), "<", 1_500_000)),
        ("createdDateTimeUtc < '1970-01-01T02:00:00+02:00'", Compare(Column("created"), "<", 0)),
        ("createdDateTimeUtc < '1970-01-02'", Compare(Column("created"), "<", 86_400_000_000)),
        # NOT binds before AND, AND before OR
        ("deviceId='a' OR deviceId='b' AND deviceId='c'", Or((A, And((B, C))))),
        ("deviceId='a' AND deviceId='b' OR deviceId='c'", Or((And((A, B)), C))),
        ("(deviceId='a' OR deviceId='b') AND deviceId='c'", And((Or((A, B)), C))),
        ("NOT deviceId='a' AND deviceId='b'", And((Not(A), B))),
        ("NOT (deviceId='a' AND NOT NOT deviceId='b')", Not(And((A, Not(Not(B)))))),
        ("((deviceId='a'))", A),
        ("deviceId='a' OR deviceId='b' OR deviceId='c'", Or((A, B, C))),
        # who never registered is unassigned
        ("registrationState.status = 'failed'", And((Compare(STATUS, "=", "failed"), Defined(STATUS)))),
        ("registrationState.status != 'failed'", Or((Compare(STATUS, "!=", "failed"), Not(Defined(STATUS))))),
        ("registrationState.status = 'unassigned'", Or((Compare(STATUS, "=", "unassigned"), Not(Defined(STATUS))))),
        ("IS_DEFINED(registrationState.status)", Or((Defined(STATUS), Not(Defined(STATUS))))),
    ],
)
def test_what_a_condition_means(text: str, condition: Condition) -> None:
    assert where(text) == condition


MISTAKES = [
    ("SELECT", "column 7: expected *, found the end"),
    ("SELECT registrationId", "column 8: expected *, found registrationId"),
    ("DELETE FROM enrollments", "column 1: expected SELECT, found DELETE"),
    ("SELECT * FROM", "column 14: expected enrollments, found the end"),
    ("SELECT * FROM devices", "column 15: expected enrollments, found devices"),
    ("SELECT * enrollments", "column 10: expected FROM, WHERE or the end, found enrollments"),
    ("SELECT * FROM enrollments LIMIT 5", "column 27: expected WHERE or the end, found LIMIT"),
    ("SELECT *\x00", "column 9: expected a word, a number, a text in single quotes or a sign, found another character"),
    ("SELECT * WHERE", "column 15: expected a field, NOT, IS_DEFINED, STARTSWITH or (, found the end"),
    (
        "SELECT * WHERE tags.site = 'x'",
        "column 16: expected a field, NOT, IS_DEFINED, STARTSWITH or (, found tags.site (enrollments have no such",
    ),
    ("SELECT * WHERE deviceId", "column 24: expected =, !=, <, <=, >, >= or IN, found the end"),
    (
        "SELECT * WHERE deviceId STARTSWITH 'x'",
        "column 25: expected =, !=, <, <=, >, >= or IN; it is written STARTSWITH(deviceId, 'text'), found STARTSWITH",
    ),
    ("SELECT * WHERE deviceId LIKE 'x'", "column 25: expected =, !=, <, <=, >, >= or IN, found LIKE"),
    ("SELECT * WHERE attestation.type < 'x509'", "column 33: expected =, != or IN, found <"),
    ("SELECT * WHERE deviceId = 5", "column 27: expected a text in single quotes, found a number"),
    ('SELECT * WHERE deviceId = "x"', "column 27: expected a word, a number, a text in single quotes or a sign, found"),
    ("SELECT * WHERE deviceId = 'x", "column 27: expected a text in single quotes, found no closing quote"),
    ("SELECT * WHERE deviceId = registrationId", "column 27: expected a text in single quotes, found registrationId"),
    (
        "SELECT * WHERE provisioningStatus = 'off'",
        "column 37: expected one of 'enabled', 'disabled', found another word",
    ),
    ("SELECT * WHERE registrationState.errorCode = '5'", "column 46: expected a whole number, found a text"),
    (
        "SELECT * WHERE registrationState.errorCode = 9223372036854775808",
        "column 46: expected a whole number, found another",
    ),
    (
        "SELECT * WHERE registrationState.errorCode = 5.5",
        "column 47: expected a word, a number, a text in single quotes",
    ),
    (
        "SELECT * WHERE createdDateTimeUtc > '31.1.2026'",
        "column 37: expected a time in single quotes, such as '2026-01-31T08:30:00Z', found another time",
    ),
    ("SELECT * WHERE createdDateTimeUtc > '2026-02-30'", "column 37: expected a time"),
    ("SELECT * WHERE capabilities.iotEdge = 1", "column 39: expected true or false, found a number"),
    ("SELECT * WHERE capabilities.iotEdge = yes", "column 39: expected true or false, found yes"),
    ("SELECT * WHERE deviceId IN 'x'", "column 28: expected ( or [, found a text"),
    ("SELECT * WHERE deviceId IN ()", "column 29: expected a text in single quotes, found )"),
    ("SELECT * WHERE deviceId IN ('x'", "column 32: expected , or ), found the end"),
    ("SELECT * WHERE deviceId IN ('x']", "column 32: expected , or ), found ]"),
    ("SELECT * WHERE deviceId NOT 'x'", "column 29: expected IN, found a text"),
    ("SELECT * WHERE (deviceId = 'x'", "column 31: expected AND, OR or ), found the end"),
    ("SELECT * WHERE deviceId = 'x')", "column 30: expected AND, OR or the end, found )"),
    ("SELECT * WHERE deviceId = 'x' ORDER BY deviceId", "column 31: expected AND, OR or the end, found ORDER"),
    ("SELECT * WHERE deviceId = 'x';;", "column 31: expected AND, OR or the end, found ;"),
    (
        "SELECT * WHERE deviceId = 'x' AND",
        "column 34: expected a field, NOT, IS_DEFINED, STARTSWITH or (, found the end",
    ),
    ("SELECT * WHERE IS_DEFINED(x)", "column 27: expected a field, found x (enrollments have no such field)"),
    (
        "SELECT * WHERE IS_DEFINED",
        "column 16: expected a field, NOT, IS_DEFINED, STARTSWITH or (, found IS_DEFINED (enroll",
    ),
    (
        "SELECT * WHERE STARTSWITH(createdDateTimeUtc, 'x')",
        "column 27: expected a field that is text, found createdDat",
    ),
    ("SELECT * WHERE STARTSWITH(deviceId)", "column 35: expected a comma, found )"),
    ("SELECT * WHERE STARTSWITH(deviceId, 'x'", "column 40: expected ), found the end"),
    (
        "SELECT *\nWHERE deviceId ~ 'x'",
        "column 25: expected a word, a number, a text in single quotes or a sign, found",
    ),
]


@pytest.mark.parametrize(("query", "told"), MISTAKES)
def test_a_mistake_is_told_with_its_column(query: str, told: str) -> None:
    assert refusal_of(query).startswith(f"The query is not understood at {told}")


def test_no_value_is_repeated_and_no_word_at_length() -> None:
    assert "sesame" not in refusal_of("SELECT * WHERE provisioningStatus = 'sesame'")
    assert "4711" not in refusal_of("SELECT * WHERE deviceId = 4711")
    assert len(refusal_of(f"SELECT * WHERE {'x' * 8000}")) < 250


def test_each_collection_has_its_own_fields() -> None:
    assert "registrations have no such field" in refusal_of(
        "SELECT * WHERE registrationState.status = 'x'", REGISTRATIONS
    )
    assert "enrollmentGroups have no such field" in refusal_of("SELECT * WHERE deviceId = 'x'", ENROLLMENT_GROUPS)
    assert where("status = 'failed'", REGISTRATIONS) == Compare(Column("status"), "=", "failed")


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda collection: collection.name)
def test_each_field_has_a_column_of_its_type(collection: Collection) -> None:
    names = [field.name.lower() for field in collection.fields]
    assert len(set(names)) == len(names)
    for field in collection.fields:
        row = collection.beside if field.beside else collection.row
        assert row is not None
        held = "str" if field.type in {FieldType.TEXT, FieldType.WORD} else "int"
        assert held in str(row.__annotations__[field.column]), field.name
        assert bool(field.words) is (field.type is FieldType.WORD)


def test_the_limits() -> None:
    in_full = "deviceId IN (" + ",".join("'x'" for _ in range(MAX_VALUES)) + ")"
    assert isinstance(where(in_full), OneOf)
    assert refusal_of(f"SELECT * WHERE {in_full[:-1]},'x')") == "An IN of the query has more than 100 values."

    terms = ["deviceId = 'x'"] * MAX_COMPARISONS
    assert isinstance(where(" OR ".join(terms)), Or)
    more = " OR ".join([*terms, "deviceId = 'x'"])
    assert refusal_of(f"SELECT * WHERE {more}") == "The query has more than 50 comparisons."

    for opening, closing in (("(", ")"), ("NOT ", "")):
        assert where(opening * MAX_DEPTH + "deviceId = 'x'" + closing * MAX_DEPTH)
        deeper = opening * (MAX_DEPTH + 1) + "deviceId = 'x'" + closing * (MAX_DEPTH + 1)
        assert refusal_of(f"SELECT * WHERE {deeper}") == "The query nests deeper than 32 parentheses and NOT."

    longest = "SELECT *".ljust(MAX_LENGTH)
    assert parse_query(longest, ENROLLMENTS) is None
    assert refusal_of(f"{longest} ") == "The query is longer than 8192 characters."


WORDS = """
    SELECT * FROM WHERE enrollments AND OR NOT IN ( ) [ ] , = < != ; IS_DEFINED STARTSWITH deviceId attestation.type
    createdDateTimeUtc capabilities.iotEdge registrationState.status 'x509' '2026-01-01' true 7 - ' '' é .
"""
SOUP = st.lists(st.sampled_from(WORDS.split())).map(" ".join)


@given(st.one_of(st.text(), SOUP, SOUP.map(lambda soup: f"SELECT * WHERE {soup}")))
def test_any_text_is_a_query_or_the_documented_error(text: str) -> None:
    for collection in COLLECTIONS:
        try:
            parse_query(text, collection)
        except InvalidArgument as error:
            message = error.message
        else:
            continue
        assert message.startswith(("The query is not understood at column", "The query nests"))


@pytest.mark.parametrize(
    "filling",
    ["'", "''", "(", "NOT ", " ", "a", "a.", "1", "-", "=", "\x00", "IS_DEFINED(", "deviceId='", "deviceId IN ("],
)
def test_the_longest_text_takes_no_time(filling: str) -> None:
    """Of CPU: a time that grew with the square of the length would be seconds."""
    text = ("SELECT * WHERE " + filling * MAX_LENGTH)[:MAX_LENGTH]
    begun = time.process_time()
    refusal_of(text)
    assert time.process_time() - begun < 0.5
