"""A short, fixed run of the fuzzing of the AMQP front end. It must not know what is mutated."""

from __future__ import annotations

import asyncio

import pytest
from fuzz_amqp import fuzz


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_sent_breaks_a_promise(seed: int) -> None:
    asyncio.run(fuzz(seed, 250))
