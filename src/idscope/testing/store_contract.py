"""Owns what every store must do, as tests that any implementation can run. It must not know any implementation.

It is long because it is a list of independent tests, and one class to inherit from.
A test class inherits from `StoreContract` and says how its store is made:

    class TestMyStore(StoreContract):
        @asynccontextmanager
        async def new_store(self, folder: Path) -> AsyncIterator[Store]:
            store = MyStore(folder)
            yield store
            await store.close()
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from idscope.model.etag import ABSENT, ANYTHING, PRESENT, Expectation, Matches
from idscope.storage import (
    AttemptRow,
    CertificateThumbprintRow,
    Delete,
    EmbeddedHubRow,
    EnrollmentRow,
    ExpectationFailed,
    HubDeviceRow,
    Key,
    LinkedHubRow,
    ProvisioningServiceRow,
    Put,
    Row,
    Search,
    Store,
    StoreUnavailable,
    Trim,
    Unit,
    key_of,
)
from idscope.storage.rows import EVERY_ROW
from idscope.testing.sample_rows import ONE_OF_EACH, SERVICE, attempt, device, operation, registration, service

C = TypeVar("C", bound="StoreContract")


def on_a_new_store(test: Callable[[C, Store], Awaitable[None]]) -> Callable[[C], None]:
    """Runs a test on a new, empty store in a folder and an event loop of its own."""

    async def within(contract: C) -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with contract.new_store(Path(folder)) as store, asyncio.timeout(60):
                await test(contract, store)

    @functools.wraps(test)
    def run(self: C) -> None:
        asyncio.run(within(self))

    del run.__dict__["__wrapped__"]  # pytest would take `store` for the name of a fixture
    return run


async def failed_index(store: Store, *writes: Any) -> int | None:
    """Commit the writes as one unit: the index whose expectation failed, None if it was written."""
    try:
        await store.commit(Unit.of(*writes))
    except ExpectationFailed as failed:
        return failed.index
    return None


async def refusal_of(call: Awaitable[Any]) -> StoreUnavailable:
    """The error with which the store refuses the call."""
    try:
        await call
    except StoreUnavailable as refusal:
        return refusal
    raise AssertionError("the store did not refuse")


async def row_under(store: Store, row: Row) -> Any:
    (found,) = await store.fetch([key_of(row)])
    return found


class StoreContract(ABC):
    """The suite: each test runs on a new store of `new_store`."""

    @abstractmethod
    def new_store(self, folder: Path) -> AbstractAsyncContextManager[Store]:
        """A new, empty store; `folder` is empty, and removed after the test."""

    @on_a_new_store
    async def test_every_kind_of_row_comes_back_as_it_was_put(self, store: Store) -> None:
        assert {type(row) for row in ONE_OF_EACH} == set(EVERY_ROW)
        for row in ONE_OF_EACH:
            await store.commit(Unit.of(Put(row, ABSENT)))
        for row in ONE_OF_EACH:
            found = await row_under(store, row)
            if isinstance(found, ProvisioningServiceRow):
                found = msgspec.structs.replace(found, revision=0)
            assert found == row
            assert [type(value) for value in msgspec.structs.astuple(found)] == [
                type(value) for value in msgspec.structs.astuple(row)
            ]

    @on_a_new_store
    async def test_every_kind_of_row_can_be_replaced_and_deleted(self, store: Store) -> None:
        for row in ONE_OF_EACH:
            for expect in (ANYTHING, ANYTHING, PRESENT):
                assert await failed_index(store, Put(row, expect)) is None
            assert await failed_index(store, Delete(key_of(row), PRESENT)) is None
            assert await row_under(store, row) is None

    @on_a_new_store
    async def test_put_under_each_expectation(self, store: Store) -> None:
        cases: list[tuple[bool, Expectation, bool]] = [
            (False, ANYTHING, True),
            (False, ABSENT, True),
            (False, PRESENT, False),
            (False, Matches("old"), False),
            (True, ANYTHING, True),
            (True, ABSENT, False),
            (True, PRESENT, True),
            (True, Matches("old"), True),
            (True, Matches("other"), False),
            (True, Matches("OLD"), False),
            (True, Matches(""), False),
        ]
        for number, (there, expect, written) in enumerate(cases):
            old, new = registration(f"r{number}", etag="old"), registration(f"r{number}", etag="new", document=b"new")
            if there:
                await store.commit(Unit.of(Put(old, ABSENT)))
            assert (await failed_index(store, Put(new, expect)) is None) is written, (there, expect)
            assert await row_under(store, new) == (new if written else old if there else None)

    @on_a_new_store
    async def test_delete_under_each_expectation(self, store: Store) -> None:
        cases: list[tuple[bool, Expectation, bool]] = [
            (False, ANYTHING, True),
            (False, PRESENT, False),
            (False, Matches("old"), False),
            (True, ANYTHING, True),
            (True, PRESENT, True),
            (True, Matches("old"), True),
            (True, Matches("other"), False),
        ]
        for number, (there, expect, written) in enumerate(cases):
            old = registration(f"r{number}", etag="old")
            if there:
                await store.commit(Unit.of(Put(old, ABSENT)))
            assert (await failed_index(store, Delete(key_of(old), expect)) is None) is written, (there, expect)
            assert await row_under(store, old) == (old if there and not written else None)

    @on_a_new_store
    async def test_a_write_that_means_nothing_is_a_mistake_of_the_caller(self, store: Store) -> None:
        thumbprint = CertificateThumbprintRow(service_id=SERVICE, thumbprint="00", owner="x")
        for write in (
            Put(thumbprint, Matches("e")),
            Delete(key_of(thumbprint), Matches("e")),
            Delete(key_of(thumbprint), ABSENT),
            Trim(AttemptRow, (SERVICE, "b", 1, "a"), 1),
            Trim(AttemptRow, (SERVICE, "b"), -1),
            Trim(LinkedHubRow, (SERVICE,), 1),
        ):
            try:
                await store.commit(Unit.of(Put(device("d")), write))
            except ValueError:
                assert await row_under(store, device("d")) is None
            else:
                raise AssertionError(write)

    @on_a_new_store
    async def test_a_unit_is_written_whole_or_not_at_all(self, store: Store) -> None:
        await store.commit(Unit.of(Put(device("kept", etag="1")), Put(attempt("b", 1)), Put(attempt("b", 2))))
        index = await failed_index(
            store,
            Put(registration("new"), ABSENT),
            Put(device("kept", etag="2"), Matches("1")),
            Trim(AttemptRow, (SERVICE, "b"), 0),
            Put(device("missing"), PRESENT),
            Put(device("never"), ANYTHING),
        )
        assert index == 3
        keys = [key_of(row) for row in (registration("new"), device("kept"), device("missing"), device("never"))]
        assert await store.fetch(keys) == [None, device("kept", etag="1"), None, None]
        assert await store.page(AttemptRow, (SERVICE,), None, 9) == [attempt("b", 1), attempt("b", 2)]

    @on_a_new_store
    async def test_a_unit_sees_its_own_earlier_writes(self, store: Store) -> None:
        assert await failed_index(store, Put(device("d", etag="1"), ABSENT), Put(device("d", etag="2"), ABSENT)) == 1
        await store.commit(
            Unit.of(
                Put(device("d", etag="1"), ABSENT),
                Put(device("d", etag="2"), Matches("1")),
                Delete(key_of(device("e"))),
            )
        )
        assert await row_under(store, device("d")) == device("d", etag="2")
        await store.commit(Unit.of())

    @on_a_new_store
    async def test_the_failure_of_one_unit_never_touches_its_neighbours(self, store: Store) -> None:
        await store.commit(Unit.of(Put(device("there"), ABSENT)))
        units = [
            Unit.of(
                Put(device(f"d{number}"), ABSENT),
                Put(device("there") if number % 3 == 0 else device(f"e{number}"), ABSENT),
            )
            for number in range(60)
        ]
        outcomes = await asyncio.gather(*(store.commit(unit) for unit in units), return_exceptions=True)
        for number, outcome in enumerate(outcomes):
            fails = number % 3 == 0
            assert isinstance(outcome, ExpectationFailed) if fails else outcome is None
            assert (await row_under(store, device(f"d{number}")) is None) is fails

    @on_a_new_store
    async def test_of_many_that_expect_the_same_etag_one_wins(self, store: Store) -> None:
        await store.commit(Unit.of(Put(device("d", etag="0"))))
        for turn in range(3):
            puts = [Put(device("d", etag=f"{turn + 1}"), Matches(f"{turn}")) for _ in range(50)]
            indices = await asyncio.gather(*(failed_index(store, put) for put in puts))
            assert sorted(index is None for index in indices) == [False] * 49 + [True]

    @on_a_new_store
    async def test_of_many_that_expect_absence_one_wins(self, store: Store) -> None:
        puts = [Put(registration("r", etag=f"{number}"), ABSENT) for number in range(50)]
        indices = await asyncio.gather(*(failed_index(store, put) for put in puts))
        (winner,) = [number for number, index in enumerate(indices) if index is None]
        assert await row_under(store, registration("r")) == registration("r", etag=f"{winner}")

    @on_a_new_store
    async def test_no_update_is_lost_when_many_read_and_swap(self, store: Store) -> None:
        await store.commit(Unit.of(Put(device("d", etag="0"))))

        async def add_one() -> None:
            while True:
                count = int((await row_under(store, device("d"))).etag)
                if await failed_index(store, Put(device("d", etag=f"{count + 1}"), Matches(f"{count}"))) is None:
                    return

        await asyncio.gather(*(add_one() for _ in range(20)))
        assert await row_under(store, device("d")) == device("d", etag="20")

    @on_a_new_store
    async def test_the_same_key_many_times_at_once_is_written_in_order(self, store: Store) -> None:
        puts = [Unit.of(Put(device("d", etag=f"{number}"))) for number in range(200)]
        await asyncio.gather(*(store.commit(unit) for unit in puts))
        assert await row_under(store, device("d")) == device("d", etag="199")

    @on_a_new_store
    async def test_an_acknowledged_write_is_seen_by_the_next_read(self, store: Store) -> None:
        async def put_and_read(number: int) -> None:
            row = device(f"d{number}", etag=f"{number}")
            await store.commit(Unit.of(Put(row)))
            assert await row_under(store, row) == row

        await asyncio.gather(*(put_and_read(number) for number in range(100)))

    @on_a_new_store
    async def test_a_fetch_answers_in_the_order_of_its_keys(self, store: Store) -> None:
        await store.commit(Unit.of(Put(device("a")), Put(registration("b"))))
        keys: list[Key[Any]] = [
            key_of(registration("b")),
            key_of(device("x")),
            key_of(device("a")),
            key_of(device("a")),
        ]
        assert await store.fetch(keys) == [registration("b"), None, device("a"), device("a")]
        assert await store.fetch([]) == []

    @on_a_new_store
    async def test_a_fetch_sees_one_instant(self, store: Store) -> None:
        rows = [device(f"d{number}") for number in range(5)]

        async def put_all(etag: str) -> None:
            await store.commit(Unit.of(*(Put(device(row.device_id, etag=etag)) for row in rows)))

        await put_all("0")
        writing = asyncio.gather(*(put_all(f"{number}") for number in range(50)))
        while not writing.done():
            found = await store.fetch([key_of(row) for row in rows])
            assert len({row.etag for row in found}) == 1
            await asyncio.sleep(0)
        await writing

    @on_a_new_store
    async def test_keys_are_compared_exactly(self, store: Store) -> None:
        names = ["Device", "device", "device ", "de%ice", "dévice"]
        for name in names:
            await store.commit(Unit.of(Put(device(name, etag=name), ABSENT)))
        assert [row.etag for row in await store.fetch([key_of(device(name)) for name in names])] == names

    @on_a_new_store
    async def test_pages_follow_the_order_of_keys(self, store: Store) -> None:
        names = ["10", "9", "B", "a", "b", "é", "ж", "𐀀"]  # ascending by code points, which is also that of UTF-8 bytes
        await store.commit(Unit.of(*(Put(device(name)) for name in reversed(names))))
        await store.commit(Unit.of(Put(HubDeviceRow(hub_id="other", device_id="c", etag="", document=b"", sealed=""))))
        found: list[str] = []
        after: tuple[str | int, ...] | None = None
        while page := await store.page(HubDeviceRow, ("h",), after, 3):
            assert len(page) <= 3
            found += [row.device_id for row in page]
            after = (page[-1].device_id,)
        assert found == names
        assert await store.page(HubDeviceRow, ("none",), None, 3) == []
        assert await store.page(HubDeviceRow, ("h",), None, 0) == []

    @on_a_new_store
    async def test_pages_by_a_longer_key_tail(self, store: Store) -> None:
        rows = [attempt(bucket, at, id_) for bucket in ("", "b") for at in (-5, 9, 10) for id_ in ("x", "y")]
        await store.commit(Unit.of(*(Put(row) for row in reversed(rows))))
        assert await store.page(AttemptRow, (SERVICE,), None, 99) == rows
        assert await store.page(AttemptRow, (), None, 5) == rows[:5]
        assert await store.page(AttemptRow, (SERVICE,), ("", 9, "x"), 4) == rows[3:7]
        assert await store.page(AttemptRow, (SERVICE, "b"), (9, "x"), 99) == rows[9:]
        assert await store.page(AttemptRow, (SERVICE, "b"), (9, "xx"), 99) == rows[9:]
        assert await store.page(AttemptRow, (SERVICE, "b", 10, "y"), None, 9) == rows[11:]

    @on_a_new_store
    async def test_pages_backwards_and_by_another_order(self, store: Store) -> None:
        rows = [attempt(bucket, at, id_) for bucket in ("", "b") for at in (-5, 9, 10) for id_ in ("x", "y")]
        await store.commit(Unit.of(*(Put(row) for row in rows)))
        assert await store.page(AttemptRow, (SERVICE, "b"), None, 99, backwards=True) == rows[:5:-1]
        assert await store.page(AttemptRow, (SERVICE,), ("b", 9, "x"), 3, backwards=True) == rows[7:4:-1]
        newest = sorted(rows, key=lambda row: (row.at, row.attempt_id, row.bucket), reverse=True)
        found = await store.page(
            AttemptRow, (SERVICE, "r"), (10, "y"), 99, order=AttemptRow.BY_REGISTRATION, backwards=True
        )
        assert [(row.at, row.attempt_id) for row in found] == [(row.at, row.attempt_id) for row in newest[2:]]
        assert await store.page(AttemptRow, ("x",), None, 99, order=AttemptRow.BY_ATTEMPT_ID) == rows[::2]

    @on_a_new_store
    async def test_paging_meets_each_row_once_while_others_come_and_go(self, store: Store) -> None:
        stays = [f"{number:03}" for number in range(0, 60, 2)]
        await store.commit(Unit.of(*(Put(device(name)) for name in stays)))
        found: list[str] = []
        after: tuple[str | int, ...] | None = None
        while page := await store.page(HubDeviceRow, ("h",), after, 7):
            found += [row.device_id for row in page]
            after = (page[-1].device_id,)
            coming, going = device(f"{len(found) * 2 + 1:03}"), device(f"{len(found) // 2 * 2 + 1:03}")
            await store.commit(Unit.of(Put(device("000x")), Put(coming), Delete(key_of(going))))
            await store.commit(
                Unit.of(Delete(Key(HubDeviceRow, ("h", found[-1]))))
            )  # paging goes on behind a row that left
        assert len(found) == len(set(found))
        assert found == sorted(found)
        assert [name for name in found if name in stays] == stays

    @on_a_new_store
    async def test_a_trim_keeps_the_last_rows(self, store: Store) -> None:
        rows = [attempt("b", at, id_) for at in (1, 2, 10) for id_ in ("x", "y")]
        others = [attempt("a", 1), attempt("c", 1)]
        await store.commit(Unit.of(*(Put(row) for row in rows + others)))
        for keep, left in ((7, rows), (6, rows), (3, rows[3:]), (1, rows[5:]), (0, []), (5, [])):
            await store.commit(Unit.of(Trim(AttemptRow, (SERVICE, "b"), keep)))
            assert await store.page(AttemptRow, (SERVICE, "b"), None, 99) == left
        assert await store.page(AttemptRow, (), None, 99) == others
        await store.commit(Unit.of(Put(attempt("c", 2)), Trim(AttemptRow, (), 1), Put(attempt("d", 1))))
        assert await store.page(AttemptRow, (), None, 99) == [attempt("c", 2), attempt("d", 1)]

    @on_a_new_store
    async def test_expired_operations_come_oldest_first(self, store: Store) -> None:
        rows = [operation("r1", lease_until=30), operation("r2", lease_until=10), operation("r3", lease_until=20)]
        await store.commit(Unit.of(*(Put(row) for row in rows)))
        assert await store.expired_operations(30, 9) == [rows[1], rows[2]]
        assert await store.expired_operations(31, 9) == [rows[1], rows[2], rows[0]]
        assert await store.expired_operations(31, 1) == [rows[1]]
        assert await store.expired_operations(10, 9) == []

    @on_a_new_store
    async def test_a_change_below_a_service_raises_its_revision(self, store: Store) -> None:
        hub = LinkedHubRow(service_id=SERVICE, hub_id="h", etag="1", document=b"", sealed="")
        foreign = msgspec.structs.replace(hub, service_id="other")
        await store.commit(Unit.of(Put(service(), ABSENT)))
        steps: list[tuple[Any, bool]] = [
            (Put(hub, ABSENT), True),
            (Put(hub, ABSENT), False),
            (Put(hub, Matches("1")), True),
            (Put(hub, Matches("2")), False),
            (Put(hub, ANYTHING), True),
            (Put(foreign, ABSENT), False),
            (Put(device("d")), False),
            (Put(registration("r")), False),
            (Delete(key_of(hub), Matches("2")), False),
            (Delete(key_of(hub), Matches("1")), True),
            (Delete(key_of(hub), ANYTHING), False),
        ]
        for write, raises in steps:
            before = (await row_under(store, service())).revision
            await failed_index(store, write)
            assert (await row_under(store, service())).revision == before + raises, write

    @on_a_new_store
    async def test_a_put_of_the_service_never_resets_its_revision(self, store: Store) -> None:
        await store.commit(Unit.of(Put(service(etag="1", revision=77), ABSENT)))
        assert await row_under(store, service()) == service(etag="1", revision=1)
        await store.commit(Unit.of(Put(service(etag="2"), Matches("1"))))
        await store.commit(Unit.of(Put(service(etag="3"), PRESENT)))
        await store.commit(Unit.of(Put(service(etag="4", revision=99))))
        assert await row_under(store, service()) == service(etag="4", revision=4)
        assert await failed_index(store, Put(service(etag="5"), Matches("no"))) == 0
        assert await row_under(store, service()) == service(etag="4", revision=4)

    @on_a_new_store
    async def test_a_failed_unit_raises_no_revision(self, store: Store) -> None:
        hub = EmbeddedHubRow(service_id=SERVICE, hub_id="h", etag="1", document=b"")
        await store.commit(Unit.of(Put(service(), ABSENT)))
        assert await failed_index(store, Put(hub), Put(device("d"), PRESENT)) == 1
        assert await row_under(store, service()) == service(revision=1)

    @on_a_new_store
    async def test_a_cancelled_caller_takes_nothing_back(self, store: Store) -> None:
        committing = [asyncio.ensure_future(store.commit(Unit.of(Put(device(f"d{number}"))))) for number in range(20)]
        await asyncio.sleep(0)
        for task in committing[::2]:
            task.cancel()
        await asyncio.gather(*committing, return_exceptions=True)
        await store.commit(Unit.of(Put(device("last"))))
        found = await store.fetch([key_of(device(f"d{number}")) for number in range(20)])
        assert None not in found

    @on_a_new_store
    async def test_closing_finishes_what_was_accepted(self, store: Store) -> None:
        committing = [asyncio.ensure_future(store.commit(Unit.of(Put(device(f"d{number}"))))) for number in range(100)]
        await asyncio.sleep(0)
        await store.close()
        assert await asyncio.gather(*committing) == [None] * 100

    @on_a_new_store
    async def test_a_closed_store_refuses_everything_and_closes_again(self, store: Store) -> None:
        await store.close()
        await store.close()
        for call in (
            lambda: store.commit(Unit.of(Put(device("d")))),
            lambda: store.fetch([key_of(device("d"))]),
            lambda: store.page(HubDeviceRow, ("h",), None, 1),
            lambda: store.search(Search(kind=EnrollmentRow, service_id=SERVICE), None, 1, 1),
            lambda: store.expired_operations(1, 1),
            store.check,
        ):
            refusal = await refusal_of(call())
            assert refusal.reason
            assert refusal.reason not in str(refusal)

    @on_a_new_store
    async def test_a_store_that_works_passes_its_check(self, store: Store) -> None:
        await store.check()
        await store.check()
