"""The files of the own CA, whatever state they are found in, and the operator's own."""

from __future__ import annotations

import multiprocessing
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from idscope.certificate_authority import (
    AuthorityUnusable,
    OperatorFilesUnusable,
    ServerFiles,
    check_operator_files,
    prepare_server_files,
)
from idscope.clock import from_datetime

START = datetime(2030, 1, 2, tzinfo=UTC)
NOW = from_datetime(START)
LATER = from_datetime(START + timedelta(days=300))
NAMES = ("127.0.0.1", "localhost")
FILES = ("ca.pem", "ca.key", "server.pem", "server.key")


def prepare(directory: Path, names: tuple[str, ...] = NAMES, now: int = NOW) -> ServerFiles:
    return prepare_server_files(directory, names, "ecdsa", now)


def contents(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in FILES}


def assert_consistent(directory: Path) -> None:
    ca, leaf = (x509.load_pem_x509_certificate((directory / name).read_bytes()) for name in ("ca.pem", "server.pem"))
    leaf.verify_directly_issued_by(ca)
    for certificate, name in ((ca, "ca.key"), (leaf, "server.key")):
        key = load_pem_private_key((directory / name).read_bytes(), password=None)
        assert key.public_key() == certificate.public_key()


def test_a_first_start_makes_all_four_with_their_modes(tmp_path: Path) -> None:
    files = prepare(tmp_path)
    assert files.issued == "there was none"
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in FILES}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o644, "server.key": 0o600}
    assert_consistent(tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    before = contents(tmp_path)
    assert prepare(tmp_path).issued == ""
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": (*NAMES, "dps.example.com")}, "the names changed"),
        ({"now": LATER}, "it is near its end"),
    ],
)
def test_a_renewal_keeps_the_ca(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    prepare(tmp_path)
    before = contents(tmp_path)
    assert prepare(tmp_path, **change).issued == reason
    after = contents(tmp_path)
    assert (after["ca.pem"], after["ca.key"]) == (before["ca.pem"], before["ca.key"])
    assert after["server.pem"] != before["server.pem"]
    assert_consistent(tmp_path)


@pytest.mark.parametrize("lost", ["ca.pem", "server.pem", "server.key"])
def test_a_start_that_ended_between_two_files_is_mended(tmp_path: Path, lost: str) -> None:
    prepare(tmp_path)
    (tmp_path / lost).unlink()
    prepare(tmp_path)
    assert_consistent(tmp_path)


def test_a_server_key_of_another_certificate_is_mended(tmp_path: Path) -> None:
    prepare(tmp_path)
    old = (tmp_path / "server.key").read_bytes()
    prepare(tmp_path, names=("127.0.0.1",))
    (tmp_path / "server.key").write_bytes(old)
    assert prepare(tmp_path, names=("127.0.0.1",)).issued == "its key was another one"
    assert_consistent(tmp_path)


@pytest.mark.parametrize("name", ["server.pem", "server.key"])
def test_a_damaged_server_file_is_mended(tmp_path: Path, name: str) -> None:
    prepare(tmp_path)
    (tmp_path / name).write_text("-----BEGIN NOTHING-----\n")
    assert prepare(tmp_path).issued == "its files were damaged"
    assert_consistent(tmp_path)


def test_a_lost_ca_key_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(AuthorityUnusable, match=r"restore it, or move ca\.pem away"):
        prepare(tmp_path)
    assert not (tmp_path / "ca.key").exists()


@pytest.mark.parametrize(
    ("name", "words"), [("ca.pem", "ca.pem holds no certificate"), ("ca.key", "ca.key holds no private key")]
)
def test_a_damaged_ca_is_told(tmp_path: Path, name: str, words: str) -> None:
    prepare(tmp_path)
    (tmp_path / name).write_text("nothing")
    with pytest.raises(AuthorityUnusable, match=words):
        prepare(tmp_path)


def test_a_ca_key_of_another_ca_is_told(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepare(tmp_path / name)
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())
    with pytest.raises(AuthorityUnusable, match="is not the key of"):
        prepare(tmp_path / "one")


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    starters = [context.Process(target=prepare, args=(tmp_path,)) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(30)
        assert starter.exitcode == 0
    assert_consistent(tmp_path)
    assert prepare(tmp_path).issued == ""


def test_the_operators_own_files_are_used_untouched(tmp_path: Path) -> None:
    prepare(tmp_path)
    before = contents(tmp_path)
    leaf = check_operator_files(tmp_path / "server.pem", tmp_path / "server.key", NOW)
    assert leaf.subject.rfc4514_string() == "CN=127.0.0.1"
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("certificate", "key", "now", "words"),
    [
        ("absent", "server.key", NOW, "absent cannot be read: No such file"),
        ("server.pem", "absent", NOW, "absent cannot be read: No such file"),
        ("server.key", "server.key", NOW, "server.key holds no certificate in PEM"),
        ("server.pem", "server.pem", NOW, "server.pem holds no unencrypted ECDSA or RSA private key"),
        ("server.pem", "ca.key", NOW, "ca.key is not the key of the first certificate in"),
        ("server.pem", "server.key", from_datetime(START + timedelta(days=400)), "has expired"),
    ],
)
def test_the_operators_own_files_are_checked(tmp_path: Path, certificate: str, key: str, now: int, words: str) -> None:
    prepare(tmp_path)
    with pytest.raises(OperatorFilesUnusable, match=words):
        check_operator_files(tmp_path / certificate, tmp_path / key, now)
