"""The activation blob: against published vectors, the recorded sample, and a second implementation that undoes it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from tpm_samples import SAMPLE, VECTORS

from idscope.security.tpm_activation import activation_blob, credential, derive_by_counter, kdfa
from idscope.security.tpm_public import read_key
from idscope.testing.software_tpm import ActivationFailed, SoftwareTpm

KEY = bytes(range(32))
PARTS = ("id object", "seed", "duplicate", "duplicate's seed", "public area", "note")
SAMPLE_BLOB = base64.b64decode(SAMPLE["blob"])


@pytest.fixture(scope="module")
def tpm() -> SoftwareTpm:
    return SoftwareTpm()


@pytest.fixture(scope="module")
def other() -> SoftwareTpm:
    return SoftwareTpm()


def blob_for(endorsement: SoftwareTpm, storage_root: SoftwareTpm, note: str = "note") -> bytes:
    endorsement_key = read_key(endorsement.endorsement_key)
    return activation_blob(endorsement_key, read_key(storage_root.storage_root_key), KEY, note)


def cut(blob: bytes) -> list[bytes]:
    parts = []
    while blob:
        end = 2 + int.from_bytes(blob[:2], "big")
        assert len(blob) >= end
        parts.append(blob[:end])
        blob = blob[end:]
    return parts


@pytest.mark.parametrize("vector", VECTORS["counter_mode"], ids=lambda vector: f"count-{vector['count']}")
def test_counter_mode_as_published_by_nist(vector: dict[str, Any]) -> None:
    derived = derive_by_counter(bytes.fromhex(vector["key"]), bytes.fromhex(vector["fixed"]), vector["bits"])
    assert derived.hex() == vector["derived"]


@pytest.mark.parametrize("vector", VECTORS["kdfa"], ids=lambda vector: str(vector["bits"]))
def test_kdfa_as_published(vector: dict[str, Any]) -> None:
    context = bytes.fromhex(vector["context"])
    assert kdfa(bytes.fromhex(vector["key"]), vector["label"], context, vector["bits"]).hex() == vector["derived"]


@pytest.mark.parametrize("vector", VECTORS["credential"])
def test_a_credential_as_published(vector: dict[str, Any]) -> None:
    made = credential(*(bytes.fromhex(vector[name]) for name in ("name", "secret", "seed")))
    assert made.hex() == vector["id_object"]


def test_the_layout_is_that_of_the_sample(tpm: SoftwareTpm) -> None:
    ours, sample = cut(blob_for(tpm, tpm, "")), cut(SAMPLE_BLOB)
    assert [len(part) for part in ours] == [len(part) for part in sample] == list(SAMPLE["parts"].values())
    assert len(b"".join(ours)) == SAMPLE["len"]
    # Whatever is not encrypted is the same: sizes, type, algorithms, attributes, scheme.
    plain = [slice(4), slice(2), slice(4), slice(2), slice(-32)]
    assert [one[part] for one, part in zip(ours, plain, strict=False)] == [
        one[part] for one, part in zip(sample, plain, strict=False)
    ]


def test_the_tpm_holds_the_key_afterwards(tpm: SoftwareTpm) -> None:
    assert tpm.activate(blob_for(tpm, tpm, "0ne00ABCDEF/registrations")) == "0ne00ABCDEF/registrations"
    assert tpm.key == KEY


def test_two_blobs_for_one_key_have_nothing_in_common(tpm: SoftwareTpm) -> None:
    one, other = cut(blob_for(tpm, tpm)), cut(blob_for(tpm, tpm))
    for name, first, second in zip(PARTS, one, other, strict=True):
        assert hashlib.sha256(first).digest() != hashlib.sha256(second).digest(), name


def test_a_blob_for_another_endorsement_key(tpm: SoftwareTpm, other: SoftwareTpm) -> None:
    with pytest.raises(ActivationFailed):
        tpm.activate(blob_for(other, tpm))


def test_a_blob_for_another_storage_root_key(tpm: SoftwareTpm, other: SoftwareTpm) -> None:
    """Whoever shows his own storage root key with another's endorsement key has no TPM that releases the credential."""
    with pytest.raises(ActivationFailed):
        tpm.activate(blob_for(tpm, other))
    with pytest.raises(ActivationFailed):
        other.activate(blob_for(tpm, other))


@pytest.mark.parametrize("part", range(5), ids=PARTS[:5])
def test_a_changed_part_is_noticed(tpm: SoftwareTpm, part: int) -> None:
    parts = cut(blob_for(tpm, tpm))
    parts[part] = parts[part][:-1] + bytes((parts[part][-1] ^ 1,))
    with pytest.raises(ActivationFailed):
        tpm.activate(b"".join(parts))


def test_a_long_note_is_cut_to_what_c_holds(tpm: SoftwareTpm) -> None:
    blob = blob_for(tpm, tpm, "n" * 300)
    assert len(cut(blob)[5]) == 66  # TPM2B_DATA: two bytes of size, a TPMT_HA of SHA-512
    assert tpm.activate(blob) == "n" * 64
