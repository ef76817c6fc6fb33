"""Owns what every store must do in a search, as tests that any implementation can run, together with the rest of its
contract. It must not know any implementation, nor how a condition is written by a person."""

from __future__ import annotations

from typing import Any, Final

from idscope.storage import Delete, EnrollmentRow, Found, Key, Put, RegistrationRow, Search, Store, Unit
from idscope.storage.condition import And, Column, Compare, Condition, Defined, Not, OneOf, Operator, Or, starting_with
from idscope.storage.search import Position, walk_of
from idscope.testing.sample_rows import SERVICE, enrollment, registration
from idscope.testing.store_contract import StoreContract, on_a_new_store

DEVICE_ID: Final = Column("device_id")
CREATED: Final = Column("created")
STATUS: Final = Column("status", beside=True)


def asking(condition: Condition | None, kind: Any = EnrollmentRow) -> Search[Any]:
    beside = RegistrationRow if kind is EnrollmentRow else None
    return Search(kind=kind, service_id=SERVICE, condition=condition, beside=beside)


async def pages_of(store: Store, search: Search[Any], limit: int, stretch: int) -> list[Found[Any]]:
    """All pages, each behind the one before."""
    pages: list[Found[Any]] = []
    behind: Position | None = None
    while not pages or behind is not None:
        pages.append(await store.search(search, behind, limit, stretch))
        behind = pages[-1].behind
    return pages


async def keys_found(store: Store, condition: Condition | None, kind: Any = EnrollmentRow) -> str:
    """The keys of what is found, in order, without a blank between them (each is one character)."""
    found = await store.search(asking(condition, kind), None, 100, 100)
    return "".join(sorted(row.registration_key for row in found.rows))


class StoreSearchContract(StoreContract):
    """The suite: the store's contract, and the searches."""

    @on_a_new_store
    async def test_a_search_without_a_condition_finds_the_rows_of_one_service(self, store: Store) -> None:
        rows = [enrollment(key) for key in ("10", "9", "a")]
        foreign = enrollment("b", service_id="other")
        await store.commit(Unit.of(*(Put(row) for row in (*reversed(rows), foreign))))
        assert await store.search(asking(None), None, 9, 1) == Found(rows, None)
        assert await store.search(asking(None), None, 3, 1) == Found(rows, None)
        assert await store.search(asking(None), None, 2, 1) == Found(rows[:2], ("9",))
        assert await store.search(asking(None), ("9",), 2, 1) == Found(rows[2:], None)
        assert await store.search(asking(None), ("a",), 2, 1) == Found([], None)

    @on_a_new_store
    async def test_what_each_comparison_finds(self, store: Store) -> None:
        ids = {"a": "B", "b": "a", "c": "b", "d": "b%", "e": None, "f": "ж", "g": "𐀀", "h": ""}
        await store.commit(Unit.of(*(Put(enrollment(key, device_id=id_)) for key, id_ in ids.items())))
        cases: list[tuple[Operator, str, str]] = [
            ("=", "b", "c"),
            ("!=", "b", "abdfgh"),
            ("<", "b", "abh"),
            ("<=", "b", "abch"),
            (">", "b", "dfg"),
            (">=", "b", "cdfg"),
            (">", "ж", "g"),
            ("=", "b'; --", ""),
        ]
        for operator, value, keys in cases:
            assert await keys_found(store, Compare(DEVICE_ID, operator, value)) == keys, (operator, value)
        assert await keys_found(store, OneOf(DEVICE_ID, ("b", "B", "x"))) == "ac"
        assert await keys_found(store, Defined(DEVICE_ID)) == "abcdfgh"

    @on_a_new_store
    async def test_what_begins_with_a_text(self, store: Store) -> None:
        ids = {"a": "b", "b": "b%", "c": "bz", "d": "c", "e": "\U0010ffffx", "f": None, "g": "\ud7ff1", "h": "\ue000"}
        await store.commit(Unit.of(*(Put(enrollment(key, device_id=id_)) for key, id_ in ids.items())))
        cases = {"b": "abc", "b%": "b", "%": "", "": "abcdegh", "\U0010ffff": "e", "\ud7ff": "g", "c\U0010ffff": ""}
        for text, keys in cases.items():
            assert await keys_found(store, starting_with(DEVICE_ID, text)) == keys, text

    @on_a_new_store
    async def test_what_is_absent_makes_neither_true_nor_false(self, store: Store) -> None:
        await store.commit(Unit.of(Put(enrollment("a", device_id="x", created=1)), Put(enrollment("b", created=2))))
        same, other = Compare(DEVICE_ID, "=", "x"), Compare(DEVICE_ID, "=", "y")
        one, two = Compare(CREATED, "=", 1), Compare(CREATED, "=", 2)
        cases: list[tuple[Condition, str]] = [
            (same, "a"),
            (Not(same), ""),
            (Not(other), "a"),
            (Not(OneOf(DEVICE_ID, ("y",))), "a"),
            (Not(Defined(DEVICE_ID)), "b"),
            (Not(Not(Defined(DEVICE_ID))), "a"),
            (Or((other, two)), "b"),
            (Not(Or((other, two))), "a"),
            (And((other, two)), ""),
            (Not(And((other, one))), "ab"),
            (Not(And((other, two))), "a"),
            (Or((same, Not(same))), "a"),
            (Or((And((same, one)), And((Not(Defined(DEVICE_ID)), two)))), "ab"),
        ]
        for condition, keys in cases:
            assert await keys_found(store, condition) == keys, condition

    @on_a_new_store
    async def test_the_row_beside_is_asked_too(self, store: Store) -> None:
        await store.commit(
            Unit.of(
                Put(enrollment("a", device_id="x")),
                Put(registration("a", status="failed", error_code=400209)),
                Put(enrollment("b", device_id="x")),
                Put(registration("b", status="assigned")),
                Put(enrollment("c", device_id="x")),
                Put(registration("d", status="failed", error_code=400209)),
                Put(enrollment("e", service_id="other")),
                Put(registration("e", status="failed")),
            )
        )
        cases: list[tuple[Condition, str]] = [
            (Compare(STATUS, "=", "failed"), "a"),
            (Compare(STATUS, "=", "assigned"), "b"),
            (Compare(STATUS, "!=", "assigned"), "a"),
            (Not(Defined(STATUS)), "c"),
            (Compare(Column("error_code", beside=True), ">", 400000), "a"),
            (And((Compare(STATUS, "=", "failed"), Compare(DEVICE_ID, "=", "x"))), "a"),
            (And((Compare(STATUS, "=", "failed"), Compare(DEVICE_ID, "=", "y"))), ""),
            (Or((Compare(STATUS, "=", "failed"), Not(Defined(STATUS)))), "ac"),
        ]
        for condition, keys in cases:
            assert await keys_found(store, condition) == keys, condition

    @on_a_new_store
    async def test_one_search_looks_at_a_stretch_and_no_further(self, store: Store) -> None:
        """By an index of which each row is one that is looked for, the limit is all that bounds it."""
        rows = [enrollment(f"{number:02}", device_id="x" if number in {4, 17} else "y") for number in range(20)]
        await store.commit(Unit.of(*(Put(row) for row in rows)))
        slow = asking(Compare(Column("etag"), "=", "none"))
        assert await pages_of(store, slow, 5, 8) == [Found([], ("07",)), Found([], ("15",)), Found([], None)]
        assert await pages_of(store, slow, 5, 10) == [Found([], ("09",)), Found([], None)]
        both = asking(Or((Compare(DEVICE_ID, "=", "x"), Compare(CREATED, "=", -1))))
        assert await pages_of(store, both, 5, 10) == [Found([rows[4]], ("09",)), Found([rows[17]], None)]
        assert await pages_of(store, both, 1, 99) == [Found([rows[4]], ("04",)), Found([rows[17]], None)]
        quick = asking(Compare(DEVICE_ID, "=", "x"))
        assert await pages_of(store, quick, 1, 1) == [Found([rows[4]], ("x", "04")), Found([rows[17]], None)]

    @on_a_new_store
    async def test_every_way_is_gone_to_its_end(self, store: Store) -> None:
        """Whichever index a search takes, its pages hold what one page of all would, once each."""
        for number in range(30):
            key, third = f"{number:02}", number // 3
            row = enrollment(
                key,
                device_id=f"d{third}" if number % 5 else None,
                provisioning_status="disabled" if number % 2 else "enabled",
                client_primary_not_after=third * 10 if number % 4 else None,
            )
            state = registration(
                key, status="failed" if number % 3 else "assigned", enrollment_group_key="g" if number % 2 else None
            )
            await store.commit(Unit.of(Put(row), Put(state)))
        not_after, disabled = (
            Column("client_primary_not_after"),
            Compare(Column("provisioning_status"), "=", "disabled"),
        )
        ways: list[tuple[Search[Any], int]] = [
            (asking(None), 30),
            (asking(Compare(DEVICE_ID, ">=", "d3")), 17),
            (asking(And((Compare(DEVICE_ID, ">", "d3"), Compare(DEVICE_ID, "<=", "d8")))), 12),
            (asking(OneOf(DEVICE_ID, ("d8", "d2"))), 5),
            (asking(Compare(not_after, "<", 50)), 11),
            (asking(And((disabled, Compare(not_after, ">=", 20)))), 12),
            (asking(disabled), 15),
            (asking(Compare(STATUS, "=", "failed")), 20),
            (asking(And((Compare(STATUS, "=", "failed"), disabled))), 10),
            (asking(starting_with(Column("registration_key"), "1")), 10),
            (asking(Compare(Column("enrollment_group_key"), "=", "g"), RegistrationRow), 15),
        ]
        for search, count in ways:
            whole = (await store.search(search, None, 100, 100)).rows
            assert len(whole) == count, search
            for limit, stretch in ((1, 1), (2, 3), (7, 4), (4, 100)):
                pages = await pages_of(store, search, limit, stretch)
                assert [row for page in pages for row in page.rows] == whole, (search, limit, stretch)
                assert all(len(page.rows) <= limit for page in pages)

    @on_a_new_store
    async def test_rows_come_in_the_order_of_the_walk(self, store: Store) -> None:
        expiries = {"a": 30, "b": 10, "c": 20, "d": 10}
        await store.commit(
            Unit.of(*(Put(enrollment(key, client_primary_not_after=at)) for key, at in expiries.items()))
        )
        search = asking(Compare(Column("client_primary_not_after"), "<", 30))
        assert walk_of(search).tail == ("client_primary_not_after", "registration_key")
        found = await store.search(search, None, 2, 1)
        assert ([row.registration_key for row in found.rows], found.behind) == (["b", "d"], (10, "d"))
        found = await store.search(search, found.behind, 2, 1)
        assert ([row.registration_key for row in found.rows], found.behind) == (["c"], None)

    @on_a_new_store
    async def test_a_search_goes_on_while_rows_come_and_go(self, store: Store) -> None:
        stays = [f"{number:03}" for number in range(0, 60, 2)]
        await store.commit(Unit.of(*(Put(enrollment(name, device_id="x")) for name in stays)))
        search = asking(Compare(DEVICE_ID, "=", "x"))
        met: list[str] = []
        behind: Position | None = None
        while True:
            found = await store.search(search, behind, 7, 9)
            met += [row.registration_key for row in found.rows]
            behind = found.behind
            if behind is None:
                break
            coming = [enrollment("000x", device_id="x"), enrollment(f"{len(met) * 2 + 1:03}", device_id="x")]
            await store.commit(Unit.of(*(Put(row) for row in coming), Delete(Key(EnrollmentRow, (SERVICE, met[-1])))))
        assert len(met) == len(set(met))
        assert met == sorted(met)
        assert [name for name in met if name in stays] == stays
