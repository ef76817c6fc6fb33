"""No unit is acknowledged before the disk says that it has it; a full disk is said, and got over."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest
from gate import FsyncGate, FullDisk, synchronous_off
from store_child import Committer
from store_recovery import whole_units


def acknowledges_while_the_gate_is_closed(folder: Path, environment: dict[str, str]) -> bool:
    """Commit behind a closed gate; then open it, and everything must be acknowledged after all."""
    gate = FsyncGate(folder)
    with Committer(folder / "store.db", environment=gate.environment | environment) as child:
        assert child.ask("before") == "before ok"
        gate.close()
        arrived = len(gate.arrivals())
        names = [f"behind-{number}" for number in range(5)]
        for name in names:
            child.send(name)
        answers: list[str] = []
        try:
            if not environment:
                gate.wait_for_arrival("-wal", after=arrived)
            answers.append(child.answer(seconds=20.0 if environment else 0.5))
        except queue.Empty:
            early = False
        else:
            early = True
        gate.open()
        answers += [child.answer() for _ in names[len(answers) :]]
        assert sorted(answers) == [f"{name} ok" for name in names]
    return early


def test_nothing_is_acknowledged_before_it_is_durable(tmp_path: Path) -> None:
    assert not acknowledges_while_the_gate_is_closed(tmp_path, {})


def test_the_durability_test_notices_a_store_that_is_not_durable(tmp_path: Path) -> None:
    assert acknowledges_while_the_gate_is_closed(tmp_path, synchronous_off())


def test_a_full_disk_is_said_and_got_over(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    disk = FullDisk(tmp_path, data)
    with Committer(data / "store.db", environment=disk.environment) as child:
        assert child.ask("a") == "a ok"
        for _ in range(2):
            disk.fill()
            assert "disk is full" in child.ask("refused")
            assert "disk is full" in child.ask("check")
            disk.free()
            assert child.ask("b") == "b ok"
            assert child.ask("check") == "check ok"
    assert whole_units(data / "store.db") == {"a", "b"}


@pytest.mark.parametrize("remove", [Path.unlink, lambda file: file.rename(file.with_name("moved"))])
def test_a_file_that_is_gone_takes_no_writes(tmp_path: Path, remove: object) -> None:
    database = tmp_path / "store.db"
    with Committer(database) as child:
        assert child.ask("a") == "a ok"
        assert callable(remove)
        remove(database)
        assert child.ask("b") != "b ok"
        assert child.ask("check") != "check ok"
