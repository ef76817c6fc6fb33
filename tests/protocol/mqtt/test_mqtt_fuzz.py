"""A short, fixed run of the fuzzer; long ones with other seeds belong to `make fuzz`."""

from __future__ import annotations

from fuzz_mqtt import fuzz


def test_mutated_captures_raise_nothing_and_keep_within_the_limits() -> None:
    failed = fuzz(seed=3, count=3000)
    assert 500 < failed < 3000, "the mutations reach both the errors and what lies behind them"
