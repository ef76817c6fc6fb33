"""Symmetric keys against Microsoft's published sample of a derived device key, and RFC 4231."""

from __future__ import annotations

import base64

import pytest

from idscope.errors import InvalidArgument
from idscope.secret import Secret
from idscope.security.keys import check_symmetric_key, derive_device_key, key_bytes, new_symmetric_key


def test_a_derived_key_is_the_hmac_of_rfc_4231_test_case_2_over_an_id():
    """RFC 4231, 4.3: key "Jefe" is shorter than a key may be, but the derivation itself is plain HMAC-SHA256."""
    derived = derive_device_key(Secret(base64.b64encode(b"Jefe").decode()), "what do ya want for nothing?")
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert base64.b64decode(derived.reveal()).hex() == expected


def test_the_derived_key_of_the_published_sample():
    """The sample of D:how-to-legacy-device-symm-key: group key, registration id, derived key."""
    group_key = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw=="
    derived = derive_device_key(Secret(group_key), "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6")
    assert derived.reveal() == "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="


@pytest.mark.parametrize("length", [16, 32, 36, 64])
def test_a_key_of_the_published_length(length):
    key = Secret(base64.b64encode(b"k" * length).decode())
    assert check_symmetric_key(key, "primaryKey") is key


@pytest.mark.parametrize("text", ["", "k", "AAAA", "A" * 21, "====", base64.b64encode(b"k" * 15).decode(), "é" * 24])
def test_what_is_no_key_is_refused_without_showing_it(text):
    with pytest.raises(InvalidArgument, match="primaryKey must be Base64 of 16 to 64 bytes") as refused:
        check_symmetric_key(Secret(text), "primaryKey")
    assert len(text) < 3 or text not in str(refused.value)


def test_a_key_of_65_bytes_is_too_long():
    with pytest.raises(InvalidArgument):
        check_symmetric_key(Secret(base64.b64encode(b"k" * 65).decode()), "primaryKey")


def test_new_keys_differ_and_have_88_characters():
    first, second = new_symmetric_key(), new_symmetric_key()
    assert first != second
    assert len(first.reveal()) == 88
    assert len(key_bytes(first)) == 64
