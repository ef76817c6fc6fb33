"""Which way a search takes: the index, its edges, and whether all that it meets is found."""

from __future__ import annotations

import pytest

from idscope.storage import EnrollmentRow, RegistrationRow, Search
from idscope.storage.condition import And, Column, Compare, Condition, Defined, Not, OneOf, Or, starting_with
from idscope.storage.search import Edge, Walk, fits, walk_of

ID = Column("registration_key")
DEVICE = Column("device_id")
NOT_AFTER = Column("client_primary_not_after")
ENABLED = Column("provisioning_status")
TYPE = Column("attestation_type")
EDGE = Column("iot_edge")
STATE = Column("status", beside=True)
GROUP = Column("enrollment_group_key")


def walk(condition: Condition | None) -> Walk:
    return walk_of(Search(kind=EnrollmentRow, service_id="s", condition=condition, beside=RegistrationRow))


def both(*conditions: Condition) -> Condition:
    return And(conditions)


def equal(column: Column, value: str | int) -> Condition:
    return Compare(column, "=", value)


@pytest.mark.parametrize(
    ("condition", "column", "low", "high", "whole"),
    [
        (None, "registration_key", None, None, True),
        (equal(EDGE, 1), "registration_key", None, None, False),
        (equal(ID, "a"), "registration_key", Edge("a"), Edge("a"), True),
        (starting_with(ID, "a"), "registration_key", Edge("a"), Edge("b", included=False), True),
        (equal(DEVICE, "a"), "device_id", Edge("a"), Edge("a"), True),
        (both(equal(DEVICE, "a"), equal(EDGE, 1)), "device_id", Edge("a"), Edge("a"), False),
        (OneOf(DEVICE, ("c", "a", "b")), "device_id", Edge("a"), Edge("c"), False),
        (OneOf(DEVICE, ("c",)), "device_id", Edge("c"), Edge("c"), True),
        (Defined(DEVICE), "device_id", None, None, True),
        (Compare(DEVICE, "!=", "a"), "device_id", None, None, False),
        (Compare(NOT_AFTER, "<", 5), "client_primary_not_after", None, Edge(5, included=False), True),
        # the narrowest edges count
        (
            both(Compare(NOT_AFTER, ">", 5), Compare(NOT_AFTER, ">=", 5), Compare(NOT_AFTER, ">", 4)),
            "client_primary_not_after",
            Edge(5, included=False),
            None,
            True,
        ),
        (
            both(Compare(NOT_AFTER, "<=", 5), Compare(NOT_AFTER, "<", 5), Compare(NOT_AFTER, "<", 6)),
            "client_primary_not_after",
            None,
            Edge(5, included=False),
            True,
        ),
        # few before many, both edges before one, the row's own before the row's beside
        (both(equal(TYPE, "x509"), equal(DEVICE, "a")), "device_id", Edge("a"), Edge("a"), False),
        (both(Compare(NOT_AFTER, "<", 5), equal(TYPE, "x509")), "attestation_type", Edge("x509"), Edge("x509"), False),
        (both(Compare(NOT_AFTER, "<", 5), equal(DEVICE, "a")), "device_id", Edge("a"), Edge("a"), False),
        (both(equal(STATE, "failed"), equal(DEVICE, "a")), "device_id", Edge("a"), Edge("a"), False),
        (both(equal(STATE, "failed"), equal(TYPE, "x509")), "status", Edge("failed"), Edge("failed"), False),
        # what an index leaves out is not looked for in it
        (equal(ENABLED, "enabled"), "registration_key", None, None, False),
        (equal(ENABLED, "disabled"), "provisioning_status", Edge("disabled"), Edge("disabled"), True),
        (Compare(ENABLED, "!=", "enabled"), "provisioning_status", None, None, True),
        (OneOf(ENABLED, ("disabled", "enabled")), "registration_key", None, None, False),
        (Defined(STATE), "registration_key", None, None, False),
        (equal(STATE, "failed"), "status", Edge("failed"), Edge("failed"), True),
        (OneOf(STATE, ("failed", "disabled")), "status", Edge("disabled"), Edge("failed"), False),
        # below OR and NOT, nothing that is met need be found
        (Or((equal(DEVICE, "a"), equal(DEVICE, "b"))), "registration_key", None, None, False),
        (Not(equal(DEVICE, "a")), "registration_key", None, None, False),
        (
            both(Or((equal(DEVICE, "a"), equal(EDGE, 1))), equal(TYPE, "none")),
            "attestation_type",
            *[Edge("none")] * 2,
            False,
        ),
    ],
)
def test_the_way_that_is_taken(
    condition: Condition | None, column: str, low: Edge | None, high: Edge | None, whole: bool
) -> None:
    taken = walk(condition)
    assert (taken.column, taken.low, taken.high, taken.whole) == (column, low, high, whole)
    assert taken.tail[-1] == "registration_key"


def test_the_failed_of_a_group_are_looked_for_among_the_failed() -> None:
    condition = both(equal(GROUP, "g"), equal(Column("status"), "failed"))
    taken = walk_of(Search(kind=RegistrationRow, service_id="s", condition=condition))
    assert (taken.column, taken.but) == ("status", "assigned")
    assert walk_of(Search(kind=RegistrationRow, service_id="s", condition=equal(GROUP, "g"))).column == GROUP.name


@pytest.mark.parametrize(
    ("position", "good"),
    [
        ((1, "a"), True),
        (("1", "a"), False),
        ((1, 1), False),
        ((1,), False),
        ((1, "a", "b"), False),
        ((2**63, "a"), False),
    ],
)
def test_a_position_fits_the_columns_of_its_walk(position: tuple[str | int, ...], good: bool) -> None:
    assert fits(walk(Compare(NOT_AFTER, "<", 5)), position) is good
