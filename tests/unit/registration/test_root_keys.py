"""What a worker remembers between a challenge and its answer: the latest, and not without bound."""

from __future__ import annotations

from idscope.registration.root_keys import ChallengedRootKeys

KEY = ("service", "device")


def test_the_latest_storage_root_key_wins():
    keys = ChallengedRootKeys()
    assert keys.last(KEY) is None
    keys.remember(KEY, "one")
    keys.remember(KEY, "two")
    assert keys.last(KEY) == "two"
    assert keys.last(("other service", "device")) is None


def test_the_one_that_was_challenged_longest_ago_is_forgotten_first():
    keys = ChallengedRootKeys(capacity=2)
    keys.remember(("service", "first"), "1")
    keys.remember(("service", "second"), "2")
    keys.remember(("service", "first"), "1")
    keys.remember(("service", "third"), "3")
    assert [keys.last(("service", name)) for name in ("first", "second", "third")] == ["1", None, "3"]
