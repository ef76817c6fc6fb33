"""The data directory: who may read it, the secrets of the first start, and clear words for what cannot be used."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from idscope.app.data_directory import DataDirectory, DataDirectoryUnusable
from idscope.secret import Secret
from idscope.security.sealing import CannotOpen, Place, Sealer
from idscope.settings import Settings

PLACE = Place("table", "key")
NO_KEY = Settings()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def settings_with(key: bytes) -> Settings:
    return Settings(sealing_key=Secret(base64.b64encode(key).decode()))


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    made = DataDirectory(tmp_path / "some" / "data")
    made.prepare()
    return made


def test_it_is_made_for_its_owner_alone(directory: DataDirectory) -> None:
    assert mode(directory.path) == 0o700
    assert mode(directory.control) == 0o700
    directory.prepare()


def test_an_empty_one_that_others_may_read_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    DataDirectory(tmp_path).prepare()
    assert mode(tmp_path) == 0o700


def test_ours_that_others_may_read_is_closed(directory: DataDirectory) -> None:
    directory.load_sealer(NO_KEY)
    directory.path.chmod(0o750)
    directory.prepare()
    assert mode(directory.path) == 0o700


def test_an_open_directory_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(DataDirectoryUnusable, match="holds other things"):
        DataDirectory(tmp_path).prepare()
    assert mode(tmp_path) == 0o755


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataDirectoryUnusable, match=r"not a directory|Not a directory"):
            DataDirectory(path).prepare()


def test_another_users_directory_is_refused(directory: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(DataDirectoryUnusable, match=f"belongs to user {mine}"):
        directory.prepare()


def test_the_admin_token_is_made_once_and_private(directory: DataDirectory) -> None:
    token = directory.admin_token()
    assert len(token.reveal()) >= 32
    assert token == directory.admin_token()
    assert mode(directory.admin_token_file) == 0o600
    assert directory.admin_token_file.read_text() == token.reveal() + "\n"


def test_an_empty_admin_token_lets_nobody_in(directory: DataDirectory) -> None:
    directory.admin_token_file.write_text("\n")
    with pytest.raises(DataDirectoryUnusable, match="is empty"):
        directory.admin_token()


def test_the_sealing_key_is_made_once_and_private(directory: DataDirectory) -> None:
    sealed = directory.load_sealer(NO_KEY).seal(b"text", PLACE)
    assert directory.load_sealer(NO_KEY).open(sealed, PLACE) == b"text"
    assert mode(directory.sealing_key_file) == 0o600
    assert len(base64.b64decode(directory.sealing_key_file.read_text())) == 32


def test_the_environments_key_wins_and_the_files_still_opens(directory: DataDirectory) -> None:
    of_file = directory.load_sealer(NO_KEY).seal(b"old", PLACE)
    sealer = directory.load_sealer(settings_with(b"e" * 32))
    assert sealer.open(of_file, PLACE) == b"old"
    assert Sealer(b"e" * 32).open(sealer.seal(b"new", PLACE), PLACE) == b"new"


def test_the_environments_key_makes_no_file(directory: DataDirectory) -> None:
    directory.load_sealer(settings_with(b"e" * 32))
    assert not directory.sealing_key_file.exists()


def test_the_first_of_several_keys_seals(directory: DataDirectory) -> None:
    old, new = b"o" * 32, b"n" * 32
    directory.sealing_key_file.write_bytes(base64.b64encode(new) + b"\n" + base64.b64encode(old) + b"\n")
    sealer = directory.load_sealer(NO_KEY)
    sealed = sealer.seal(b"text", PLACE)
    assert Sealer(new).open(sealed, PLACE) == b"text"
    with pytest.raises(CannotOpen):
        Sealer(old).open(sealed, PLACE)
    assert sealer.open(Sealer(old).seal(b"before", PLACE), PLACE) == b"before"


def test_a_lost_key_beside_a_database_is_refused(directory: DataDirectory) -> None:
    directory.database.touch()
    with pytest.raises(DataDirectoryUnusable, match="restore it, or set IDSCOPE_SEALING_KEY"):
        directory.load_sealer(NO_KEY)
    assert not directory.sealing_key_file.exists()


@pytest.mark.parametrize("content", [b"", b"c2hvcnQ=", b"not base64!", b"\xff\xfe"])
def test_a_wrong_key_file_is_told_without_its_content(directory: DataDirectory, content: bytes) -> None:
    directory.sealing_key_file.write_bytes(content)
    with pytest.raises(DataDirectoryUnusable, match="restore it from a backup") as caught:
        directory.load_sealer(NO_KEY)
    assert "c2hvcnQ" not in str(caught.value)


def test_an_unreadable_key_file_is_told(directory: DataDirectory) -> None:
    directory.sealing_key_file.mkdir()
    with pytest.raises(DataDirectoryUnusable, match="cannot be read: Is a directory"):
        directory.load_sealer(NO_KEY)
