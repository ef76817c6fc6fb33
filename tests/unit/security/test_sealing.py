"""Sealed secrets open only where they were sealed, with the key they were sealed with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idscope.security.sealing import CannotOpen, Place, Sealer

KEY, OTHER = bytes(32), bytes(range(32))
HERE = Place("enrollment", "0ne", "device")


def test_what_was_sealed_opens_and_shows_nothing():
    sealed = Sealer(KEY).seal(b"a secret", HERE)
    version, key_id, nonce, ciphertext = sealed.split(":")
    assert version == "v1"
    assert len(key_id) == 8
    assert nonce
    assert ciphertext
    assert "secret" not in sealed
    assert Sealer(KEY).open(sealed, HERE) == b"a secret"


@pytest.mark.parametrize(
    "place",
    [
        Place("enrollment", "0ne", "device2"),
        Place("enrollment", "0ned", "evice"),
        Place("hub_device", "0ne", "device"),
        Place("enrollment", "0ne", "device", column="document"),
    ],
)
def test_it_does_not_open_in_another_place(place):
    with pytest.raises(CannotOpen):
        Sealer(KEY).open(Sealer(KEY).seal(b"x", HERE), place)


def test_it_does_not_open_with_another_key_but_with_an_older_one_that_is_kept():
    sealed = Sealer(KEY).seal(b"x", HERE)
    with pytest.raises(CannotOpen, match="not in the key file"):
        Sealer(OTHER).open(sealed, HERE)
    assert Sealer(OTHER, KEY).open(sealed, HERE) == b"x"


@given(st.text(max_size=60))
def test_any_other_text_does_not_open(text):
    with pytest.raises(CannotOpen):
        Sealer(KEY).open(text, HERE)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_character_does_not_open(index, character):
    sealed = Sealer(KEY).seal(b"a longer secret that fills some characters", HERE)
    index %= len(sealed) - 1  # the last character may carry unused bits
    changed = sealed[:index] + character + sealed[index + 1 :]
    if changed != sealed:
        with pytest.raises(CannotOpen):
            Sealer(KEY).open(changed, HERE)


def test_a_key_has_32_bytes():
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")
