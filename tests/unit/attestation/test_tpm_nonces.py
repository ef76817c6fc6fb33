"""Nonces over HTTPS: the same at every worker, another one for everything that must not be mixed up."""

from __future__ import annotations

import base64
import itertools

import pytest

from idscope.attestation import TpmNonces, new_nonce
from idscope.clock import MICROSECONDS

KEY = bytes(range(32))
MINUTE = 60 * MICROSECONDS
NOW = 1_700_000_400 * MICROSECONDS  # 22:20:00, where a window begins


def valid(id_scope="0ne00ABCDEF", registration_id="device", endorsement_key=b"ek", now=NOW, key=KEY):
    return TpmNonces(key).valid(id_scope, registration_id, endorsement_key, now)


def test_whatever_differs_makes_another_nonce():
    current = [
        valid()[0],
        valid(id_scope="0ne00ABCDE0")[0],
        valid(registration_id="other")[0],
        valid(endorsement_key=b"other")[0],
        valid(now=NOW + 10 * MINUTE)[0],
        valid(key=bytes(32))[0],
        valid(id_scope="0ne00ABCDEFd", registration_id="evice")[0],
        valid(registration_id="devic", endorsement_key=b"eek")[0],
    ]
    assert all(one != other for one, other in itertools.combinations(current, 2))
    assert all(len(base64.b64decode(one.reveal())) == 32 for one in current)


def test_ids_know_no_case():
    assert valid(id_scope="0NE00abcdef", registration_id="DEVICE") == valid()


def test_a_nonce_is_valid_for_its_window_and_the_next_one():
    nonce = valid()[0]
    assert valid(now=NOW + 10 * MINUTE - 1)[0] == nonce
    assert valid(now=NOW + 10 * MINUTE)[1] == nonce
    assert valid(now=NOW + 20 * MINUTE - 1)[1] == nonce
    assert nonce not in valid(now=NOW + 20 * MINUTE)
    assert nonce not in valid(now=NOW - 1), "not before its time"


def test_a_server_without_a_key_of_its_own_makes_none():
    with pytest.raises(ValueError, match="32 bytes"):
        TpmNonces(b"")


def test_a_connections_nonces_are_random():
    assert len({new_nonce().reveal() for _ in range(100)}) == 100
