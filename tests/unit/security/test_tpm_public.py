"""Reading the public keys of TPMs: real ones, kinds that are not supported, and bytes that are none."""

from __future__ import annotations

import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tpm_samples import ENDORSEMENT_KEY, SAMPLE, STORAGE_ROOT_KEY, changed

from idscope.security.tpm_public import TpmKeyRefused, read_key, same_key

EK = base64.b64decode(ENDORSEMENT_KEY)


def refusal(text: str) -> str:
    with pytest.raises(TpmKeyRefused) as refused:
        read_key(text)
    return str(refused.value)


@pytest.mark.parametrize(("text", "size"), [(ENDORSEMENT_KEY, SAMPLE["eklen"]), (STORAGE_ROOT_KEY, SAMPLE["srklen"])])
def test_keys_of_a_real_tpm(text: str, size: int) -> None:
    key = read_key(text)

    structure = base64.b64decode(text)
    assert len(structure) == size
    assert (key.structure, key.text) == (structure, text)
    assert key.modulus.to_bytes(256, "big") == structure[-256:]
    assert key.rsa.key_size == 2048
    # Part 1, 16: nameAlg, then its digest of the public area
    assert key.name == b"\x00\x0b" + hashlib.sha256(structure[2:]).digest()


# What stands where in the sample's endorsement key (TPM 2.0 part 2, 12.2.4), behind two bytes of size.
@pytest.mark.parametrize(
    ("at", "replacement", "words"),
    [
        (2, "0023", "is an ECC key"),
        (2, "0008", "is a keyed hash"),
        (2, "0025", "is a symmetric key"),
        (2, "7777", "is of the unknown type 0x7777"),
        (4, "000c", "is named by the algorithm 0x000c"),
        (4, "0004", "is named by the algorithm 0x0004"),
        (6, "00050072", "is not a restricted decryption key"),
        (6, "000600b2", "is not a restricted decryption key"),
        (6, "000700b2", "is not a restricted decryption key"),
        (44, "0006010000430010", "whose symmetric algorithm is another"),
        (44, "0006008000420010", "whose symmetric algorithm is another"),
        (44, "0026008000430010", "whose symmetric algorithm is another"),
        (50, "0017", "with a scheme of its own"),
        (52, "0400", "is an RSA key of 1024 bits"),
        (52, "0c00", "is an RSA key of 3072 bits"),
        (54, "00000003", "with an exponent of its own"),
        (58, "00ff", "is not a TPM2B_PUBLIC structure."),
        (58, "0101", "is not a TPM2B_PUBLIC structure."),
        (58, "ffff", "is not a TPM2B_PUBLIC structure."),
        (10, "ffff", "is not a TPM2B_PUBLIC structure."),
        (60, "00", "has a modulus that is none"),
        (60, "7f", "has a modulus that is none"),
        (315, "00", "has a modulus that is none"),
    ],
)
def test_kinds_that_are_not_supported(at: int, replacement: str, words: str) -> None:
    assert words in refusal(changed(at, bytes.fromhex(replacement)))


@pytest.mark.parametrize(
    "structure",
    [
        b"",
        b"\x00",
        b"\x00\x00",
        EK[:-1],
        EK + b"\x00",
        (len(EK) - 1).to_bytes(2, "big") + EK[2:] + b"\x00",  # a byte behind the key, within the size
        (10).to_bytes(2, "big") + EK[2:12],
        (2).to_bytes(2, "big") + EK[2:4],
        b"\x7f\xff" + bytes(0x7FFF),
    ],
)
def test_what_is_no_structure(structure: bytes) -> None:
    assert refusal(base64.b64encode(structure).decode()) == "is not a TPM2B_PUBLIC structure."


@pytest.mark.parametrize("text", ["no Base64", "AToA*", ENDORSEMENT_KEY[:-1], ENDORSEMENT_KEY + "\n", "ä" * 400])
def test_what_is_no_base64(text: str) -> None:
    assert refusal(text) == "is not Base64."


def test_what_is_too_long_is_not_even_decoded() -> None:
    assert refusal("A" * 100_000) == "is not a TPM2B_PUBLIC structure."


@given(st.binary(max_size=1200))
def test_any_bytes_are_refused_in_words(structure: bytes) -> None:
    assert refusal(base64.b64encode(structure).decode()).startswith(("is ", "has "))


@given(st.integers(0, len(EK) - 1), st.binary(min_size=1, max_size=8))
def test_a_changed_key_is_another_one_or_refused(at: int, replacement: bytes) -> None:
    text = changed(at, replacement)
    with contextlib.suppress(TpmKeyRefused):
        assert read_key(text).text == text


def test_a_refusal_holds_nothing_of_the_key() -> None:
    assert ENDORSEMENT_KEY[100:120] not in refusal(changed(2, b"\x00\x23"))


def test_keys_are_compared_by_their_bytes() -> None:
    assert same_key(ENDORSEMENT_KEY, ENDORSEMENT_KEY)
    assert not same_key(ENDORSEMENT_KEY, STORAGE_ROOT_KEY)
    assert not same_key("", "")
