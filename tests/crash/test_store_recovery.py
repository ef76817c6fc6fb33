"""kill -9 in the middle of a stream of units loses none that was acknowledged, and halves none.

IDSCOPE_CRASH_ROUNDS makes it long (`make crash`).
"""

from __future__ import annotations

import os
from pathlib import Path

from store_child import Committer
from store_recovery import whole_units

ROUNDS = int(os.environ.get("IDSCOPE_CRASH_ROUNDS", "2"))


def test_every_acknowledged_unit_survives_kill_9(tmp_path: Path) -> None:
    database = tmp_path / "store.db"
    acknowledged: set[str] = set()
    for turn in range(ROUNDS):
        with Committer(database, f"{turn}-") as child:
            acknowledged.update(child.acknowledged(500 + 37 * turn))
            acknowledged.update(child.kill())
        stored = whole_units(database)
        assert acknowledged <= stored
        assert len(stored - acknowledged) <= 16 * (turn + 1)  # what was on its way when the process died


def test_one_process_dies_and_the_other_goes_on(tmp_path: Path) -> None:
    database = tmp_path / "store.db"
    with Committer(database, "survivor-") as survivor:
        acknowledged = set(survivor.acknowledged(1))
        for turn in range(ROUNDS):
            with Committer(database, f"victim-{turn}-") as victim:
                acknowledged.update(victim.acknowledged(200))
                acknowledged.update(victim.kill())
            acknowledged.update(survivor.acknowledged(200))
        acknowledged.update(survivor.kill())
    assert acknowledged <= whole_units(database)
