"""What the SQLite store promises beyond the contract of all stores: its files, its limits, its failures."""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from idscope.model.etag import ABSENT
from idscope.storage import (
    Column,
    Compare,
    EnrollmentRow,
    ExpectationFailed,
    HubDeviceRow,
    HubTwinRow,
    Put,
    Search,
    StoreUnavailable,
    Unit,
    key_of,
)
from idscope.storage.sql import CannotOpenStore, SqliteStore, open_store
from idscope.storage.sql.writer import BATCH_LIMIT
from idscope.testing.sample_rows import SERVICE, device, enrollment


@asynccontextmanager
async def opened(database: Path, **options: int) -> AsyncIterator[SqliteStore]:
    store = open_store(database, **options)
    try:
        async with asyncio.timeout(60):
            yield store
    finally:
        await store.close()


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(test())


@contextmanager
def turn_taken(database: Path) -> Iterator[None]:
    """Hold the writers' lock as another process would."""
    with Path(f"{database}.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def wait_until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


def wal_size(database: Path) -> int:
    return database.with_name(f"{database.name}-wal").stat().st_size


def test_its_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.commit(Unit.of(Put(device("d"))))
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            assert modes == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm", "store.db.lock"), 0o600)

    run(test)


def test_closing_leaves_everything_in_the_one_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.commit(Unit.of(Put(device("d"))))

    run(test)
    assert {file.name for file in tmp_path.iterdir()} == {"store.db", "store.db.lock"}


def test_a_value_that_does_not_fit_fails_alone_and_is_not_repeated(tmp_path: Path) -> None:
    unfit = [
        msgspec.structs.replace(device("a"), etag=None),
        msgspec.structs.replace(device("b"), sealed="v1:secret\ud800"),
        msgspec.structs.replace(device("c"), document=["v1:secret"]),
        msgspec.structs.replace(device("d"), document=2**64),
    ]

    async def test() -> None:
        async with opened(tmp_path / "store.db") as store:
            units = [Unit.of(Put(row)) for row in unfit]
            units += [Unit.of(Put(device("before")), Put(row)) for row in unfit]
            good = [Unit.of(Put(device(f"good-{number}"))) for number in range(len(units))]
            mixed = [unit for pair in zip(good, units, strict=True) for unit in pair]
            outcomes = await asyncio.gather(*(store.commit(unit) for unit in mixed), return_exceptions=True)
            assert outcomes[::2] == [None] * len(good)
            for outcome in outcomes[1::2]:
                assert isinstance(outcome, ValueError)
                assert "secret" not in repr(outcome)
            names = [row.device_id for row in await store.page(HubDeviceRow, ("h",), None, 99)]
            assert names == [f"good-{number}" for number in range(len(good))]

    run(test)


def test_more_than_the_queue_holds_is_refused_at_once(tmp_path: Path) -> None:
    limit = 10

    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database, queue_limit=limit) as store:
            with turn_taken(database):
                committing = [asyncio.ensure_future(store.commit(Unit.of(Put(device("first")))))]
                await asyncio.sleep(0)
                refused: list[StoreUnavailable] = []
                while not refused:  # the thread may take some of them before it meets the lock
                    task = asyncio.ensure_future(store.commit(Unit.of(Put(device(f"{len(committing)}")))))
                    await asyncio.wait([task], timeout=0)
                    if task.done() and isinstance(error := task.exception(), StoreUnavailable):
                        refused.append(error)
                    else:
                        committing.append(task)
                assert f"{limit} units are waiting" in refused[0].reason
                assert limit <= len(committing) <= limit + BATCH_LIMIT
            await asyncio.gather(*committing)
            await store.commit(Unit.of(Put(device("room again"))))

    run(test)


def test_who_holds_sqlites_own_lock_delays_writes_only(tmp_path: Path) -> None:
    """Somebody looks into the file with a tool that knows nothing of turns."""

    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database) as store:
            with closing(sqlite3.connect(database, isolation_level=None)) as tool:
                tool.execute("BEGIN IMMEDIATE")
                committing = asyncio.ensure_future(store.commit(Unit.of(Put(device("d")))))
                for _ in range(100):  # turns of the loop, which the write does not hold up
                    await asyncio.sleep(0)
                assert await store.fetch([key_of(device("d"))]) == [None]
                assert not committing.done()
                tool.execute("COMMIT")
            await committing
            assert await store.fetch([key_of(device("d"))]) == [device("d")]

    run(test)


def test_reads_do_not_wait_for_writers(tmp_path: Path) -> None:
    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database) as store:
            await store.commit(Unit.of(Put(device("d"))))
            with turn_taken(database), closing(sqlite3.connect(database, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                committing = asyncio.ensure_future(store.commit(Unit.of(Put(device("d", etag="2")))))
                assert await store.fetch([key_of(device("d"))] * 2) == [device("d")] * 2
                assert not committing.done()
                other.execute("ROLLBACK")
            await committing

    run(test)


def test_the_log_stays_short_under_steady_load(tmp_path: Path) -> None:
    limit, written = 256 * 1024, 16 * 1024 * 1024

    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database, wal_limit=limit) as store:
            sizes: list[int] = []

            async def commit(number: int) -> None:
                document = number.to_bytes(4, "big") * 4096
                await store.commit(Unit.of(Put(msgspec.structs.replace(device(f"{number % 50}"), document=document))))
                sizes.append(wal_size(database))

            for start in range(0, written // 16384, 16):
                await asyncio.gather(*(commit(number) for number in range(start, start + 16)))
            assert max(sizes) < written // 4
            await wait_until(lambda: wal_size(database) <= limit)

    run(test)


def test_a_reader_that_stays_only_delays_the_shortening(tmp_path: Path) -> None:
    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database, wal_limit=1) as store:
            await store.commit(Unit.of(Put(device("d"))))
            with closing(sqlite3.connect(database, isolation_level=None)) as other:
                other.execute("BEGIN")
                other.execute("SELECT count(*) FROM hub_device").fetchone()
                for number in range(20):
                    await store.commit(Unit.of(Put(device(f"{number}"))))
                assert wal_size(database) > 0
                other.execute("ROLLBACK")
            await wait_until(lambda: wal_size(database) == 0)

    run(test)


def test_a_log_that_others_left_is_taken_over(tmp_path: Path) -> None:
    """A process that died leaves its log; whoever opens the file next reads what stands in it."""

    async def test() -> None:
        database = tmp_path / "store.db"
        copy = tmp_path / "copy.db"
        async with opened(database) as store:
            await store.commit(Unit.of(Put(device("d"))))
            for suffix in ("", "-wal"):
                Path(f"{copy}{suffix}").write_bytes(Path(f"{database}{suffix}").read_bytes())
        async with opened(copy) as store:
            assert await store.fetch([key_of(device("d"))]) == [device("d")]

    run(test)


def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database) as one, opened(database) as other:
            await one.commit(Unit.of(Put(device("d", etag="1"))))
            assert await other.fetch([key_of(device("d"))]) == [device("d", etag="1")]
            await other.commit(Unit.of(Put(device("d", etag="2"))))
            assert await one.fetch([key_of(device("d"))]) == [device("d", etag="2")]

    run(test)


def test_what_fails_says_so_to_every_caller_by_itself(tmp_path: Path) -> None:
    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database) as store:
            with turn_taken(database):
                committing = [asyncio.ensure_future(store.commit(Unit.of(Put(device(f"{n}"))))) for n in range(20)]
                await asyncio.sleep(0)
                database.rename(tmp_path / "moved.db")
            failures = await asyncio.gather(*committing, return_exceptions=True)
            assert {type(failure) for failure in failures} == {StoreUnavailable}
            assert len({id(failure) for failure in failures}) == 20
            (tmp_path / "moved.db").rename(database)
            await store.commit(Unit.of(Put(device("d"))))
            await store.check()

    run(test)


def test_a_read_that_fails_is_unavailable_and_leaves_the_store_usable(tmp_path: Path) -> None:
    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database) as store:
            with closing(sqlite3.connect(database)) as other:
                other.execute("ALTER TABLE hub_device RENAME TO elsewhere")
            keys: list[Any] = [key_of(device("d"))] * 2
            with pytest.raises(StoreUnavailable) as caught:
                await store.fetch(keys)
            assert "hub_device" in caught.value.reason
            assert "hub_device" not in str(caught.value)
            with pytest.raises(StoreUnavailable):
                await store.page(HubDeviceRow, ("h",), None, 1)
            with closing(sqlite3.connect(database)) as other:
                other.execute("ALTER TABLE elsewhere RENAME TO hub_device")
            assert await store.fetch(keys) == [None, None]

    run(test)


def test_an_engine_error_in_one_unit_never_touches_its_neighbours(tmp_path: Path) -> None:
    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database) as store:
            with closing(sqlite3.connect(database)) as other:
                other.execute("DROP TABLE hub_twin")
            twin = HubTwinRow(hub_id="h", device_id="d", etag="e", document=b"")
            outcomes = await asyncio.gather(
                store.commit(Unit.of(Put(device("a")))),
                store.commit(Unit.of(Put(twin))),
                store.commit(Unit.of(Put(device("b")), Put(twin))),
                store.commit(Unit.of(Put(device("c")))),
                return_exceptions=True,
            )
            assert [type(outcome) for outcome in outcomes] == [
                type(None),
                StoreUnavailable,
                StoreUnavailable,
                type(None),
            ]
            assert [row.device_id for row in await store.page(HubDeviceRow, ("h",), None, 9)] == ["a", "c"]

    run(test)


def test_two_event_loops_get_their_own_answers(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    asyncio.run(store.commit(Unit.of(Put(device("one")))))

    async def again() -> None:
        with pytest.raises(ExpectationFailed):
            await store.commit(Unit.of(Put(device("one"), ABSENT)))
        await store.close()

    asyncio.run(again())


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: folder / "missing" / "store.db", "does not exist"),
        (lambda folder: _file_with(folder / "store.db", b"not a database" * 99), "file is not a database"),
        (lambda folder: _folder(folder / "store.db"), "unable to open"),
    ],
)
def test_a_file_that_cannot_be_opened_is_explained(tmp_path: Path, prepare: Callable[[Path], Path], said: str) -> None:
    database = prepare(tmp_path)
    with pytest.raises(CannotOpenStore, match=said) as caught:
        open_store(database)
    assert str(database.parent) in str(caught.value)


def _file_with(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def _folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_what_the_engine_takes_back_whole_is_acknowledged_to_none(tmp_path: Path) -> None:
    """A file that may not grow makes SQLite undo the whole transaction in the middle of a batch."""

    async def test() -> None:
        database = tmp_path / "store.db"
        async with opened(database) as store:
            writer = store._writer._connection
            (pages,) = writer.execute("PRAGMA page_count").fetchone()
            writer.execute(f"PRAGMA max_page_count = {pages + 10}")
            large = msgspec.structs.replace(device("large"), document=b"x" * 1_000_000)
            rows = [device("a"), device("b"), large, device("c"), device("d")]
            with turn_taken(database):  # they wait for one another
                committing = [asyncio.ensure_future(store.commit(Unit.of(Put(row)))) for row in rows]
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*committing, return_exceptions=True)
            stored = await store.fetch([key_of(row) for row in rows])
            assert [outcome is None for outcome in outcomes] == [row is not None for row in stored]
            assert isinstance(outcomes[2], StoreUnavailable)
            assert "full" in outcomes[2].reason
            await store.commit(Unit.of(Put(device("e"))))

    run(test)


def test_searches_leave_the_loop_to_others_after_each_stretch(tmp_path: Path) -> None:
    """However many search at once: between two stretches, whoever else is ready comes first."""

    async def test() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.commit(Unit(tuple(Put(enrollment(f"{number:03}")) for number in range(100))))
            search = Search(kind=EnrollmentRow, service_id=SERVICE, condition=Compare(Column("iot_edge"), "=", 1))
            order: list[str] = []

            async def go_through() -> None:
                behind = None
                while True:
                    behind = (await store.search(search, behind, 5, 10)).behind
                    order.append("search")
                    if behind is None:
                        return

            async def others() -> None:
                while len(order) < 60 or "search" in order[-9:]:
                    order.append("other")
                    await asyncio.sleep(0)

            await asyncio.gather(go_through(), go_through(), go_through(), others())
            assert order.count("search") == 30
            assert "search,search" not in ",".join(order)

    run(test)
