"""The grammar of registration ids: a table of what is published, and the whole grammar written a second time."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from idscope.errors import InvalidRegistrationId
from idscope.model.registration_id import check_registration_id, registration_key

LETTERS_AND_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
SPECIAL = "-._:"


def is_published(text: str) -> bool:
    """D:concepts-service: up to 128 characters, special ones not at the start, at the end only a hyphen."""
    return (
        1 <= len(text) <= 128
        and all(character in LETTERS_AND_DIGITS + SPECIAL for character in text)
        and text[0] in LETTERS_AND_DIGITS
        and text[-1] in LETTERS_AND_DIGITS + "-"
    )


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a",
            "0",
            "Z",
            "a-",
            "a" * 128,
            "a" * 127 + "-",
            "1.2_3:4-5",
            "MyDevice-01",
            "aa:bb:cc:dd:ee:ff",
            "a..b",
            "a--",
        ),
        *("kz", "urnfaaodcvbbllnmxj"),  # the published examples'
    ],
)
def test_an_id_of_the_published_form_is_kept_as_it_is_spelled(text: str) -> None:
    assert check_registration_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "-a", ".a", "_a", ":a", "a.", "a_", "a:", "-", "a" * 129),
        *("a b", "a/b", "a%41", "a\n", "\na", "a\x00", "a+b", "a@b", "a\\b", "a,b", "a#b", "a?b", "a*"),
        *("é", "aé", "a\u0660b", "\uff21", "K\u212a", "\u0130a", "a\u200bb"),  # digits and letters that are not ASCII's
    ],
)
def test_every_other_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRegistrationId) as refused:
        check_registration_id(text)
    assert (refused.value.error_code, refused.value.message) == (400004, "Invalid RegistrationId")


ids = st.one_of(st.text(max_size=140), st.text(LETTERS_AND_DIGITS + SPECIAL + "/ é", max_size=135))


@given(ids)
@example("a" * 128)
def test_the_grammar_is_the_published_one(text: str) -> None:
    if is_published(text):
        assert check_registration_id(text) == text
    else:
        with pytest.raises(InvalidRegistrationId):
            check_registration_id(text)


@given(st.text(LETTERS_AND_DIGITS + SPECIAL, min_size=1, max_size=128).filter(is_published))
def test_all_spellings_have_one_key_which_is_an_id_itself(text: str) -> None:
    key = registration_key(text)
    assert key == registration_key(text.upper()) == registration_key(text.lower()) == registration_key(text.swapcase())
    assert check_registration_id(key) == key
    assert registration_key(key) == key
    assert len(key) == len(text)


def test_different_ids_have_different_keys() -> None:
    assert len({registration_key(text) for text in ("a-b", "a.b", "a_b", "a:b", "ab", "a-b-")}) == 6
