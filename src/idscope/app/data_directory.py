"""Owns the data directory: where each file stands, who may read it, and the two secrets that the first start makes.
It must not know what the database or the certificates hold."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from idscope.durable_file import PRIVATE, create_file
from idscope.secret import Secret
from idscope.security.sealing import KEY_BYTES, Sealer
from idscope.settings import Settings

_MODE: Final = 0o700
_OTHERS: Final = 0o077
_DATABASE: Final = "idscope.db"
_SEALING_KEY: Final = "sealing.key"
_ADMIN_TOKEN: Final = "admin.token"  # noqa: S105 - the name of its file
_OURS: Final = frozenset({_DATABASE, _SEALING_KEY, _ADMIN_TOKEN, "ca.pem", "idscope.toml"})


class DataDirectoryUnusable(Exception):
    """The server cannot start on this directory; the text says why and what to do, and holds no secret."""


class DataDirectory:
    """One directory of one server; `prepare` comes first."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def database(self) -> Path:
        return self.path / _DATABASE

    @property
    def sealing_key_file(self) -> Path:
        """One Base64 key a line: the first one seals, all of them open."""
        return self.path / _SEALING_KEY

    @property
    def admin_token_file(self) -> Path:
        return self.path / _ADMIN_TOKEN

    @property
    def control(self) -> Path:
        """The directory of the sockets by which the command line and other workers reach a running server."""
        return self.path / "control"

    @property
    def description(self) -> Path:
        """What a running server tells the commands on its own machine, there as long as it runs."""
        return self.control / "server.json"

    def prepare(self) -> None:
        """Make the directory, or check the one that is there; raises DataDirectoryUnusable."""
        try:
            self.path.mkdir(mode=_MODE, parents=True, exist_ok=True)
            self._check(self.path.stat())
            self.control.mkdir(mode=_MODE, exist_ok=True)
        except FileExistsError:
            raise DataDirectoryUnusable(f"{self.path} is not a directory") from None
        except OSError as error:
            raise self._unusable(error) from None

    def admin_token(self) -> Secret:
        """The token of the operator listener, made once; raises DataDirectoryUnusable."""
        token = self._read(self.admin_token_file)
        if token is None:
            create_file(self.admin_token_file, f"{secrets.token_urlsafe(32)}\n".encode(), PRIVATE)
            token = self._read(self.admin_token_file)
        if not token:
            raise DataDirectoryUnusable(
                f"{self.admin_token_file} is empty; remove it, and the next start makes a token"
            )
        return Secret(token)

    def load_sealer(self, settings: Settings) -> Sealer:
        """Seals with the environment's key where there is one, otherwise with the file's, made by the first start.

        Keys of the file always open, so that a key can be replaced. Raises DataDirectoryUnusable.
        """
        if settings.sealing_key:
            given = base64.b64decode(settings.sealing_key.reveal())
            return Sealer(given, *self._sealing_keys())
        keys = self._sealing_keys() or self._make_sealing_key()
        return Sealer(*keys)

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISDIR(found.st_mode):
            raise DataDirectoryUnusable(f"{self.path} is not a directory")
        if found.st_uid != os.geteuid():
            raise DataDirectoryUnusable(
                f"{self.path} belongs to user {found.st_uid}, but the server runs as {os.geteuid()}: "
                "run it as that user, or choose another data directory"
            )
        if found.st_mode & _OTHERS:
            self._close_to_others()
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise DataDirectoryUnusable(f"{self.path} is not writable for the server")

    def _close_to_others(self) -> None:
        """Only an empty directory or one of ours: a home directory given by mistake must not be shut."""
        names = {entry.name for entry in self.path.iterdir()}
        if names and not names & _OURS:
            raise DataDirectoryUnusable(
                f"{self.path} is open to other users and holds other things; choose an empty or new directory, "
                f"or close it: chmod 700 {self.path}"
            )
        self.path.chmod(_MODE)

    def _make_sealing_key(self) -> tuple[bytes, ...]:
        if self.database.exists():
            raise DataDirectoryUnusable(
                f"{self.sealing_key_file} is missing, and without it the secrets in the database cannot be read: "
                "restore it, or set IDSCOPE_SEALING_KEY"
            )
        create_file(self.sealing_key_file, base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n", PRIVATE)
        return self._sealing_keys()

    def _sealing_keys(self) -> tuple[bytes, ...]:
        text = self._read(self.sealing_key_file)
        if text is None:
            return ()
        keys = tuple(self._decoded(line) for line in text.split())
        if not keys:
            raise DataDirectoryUnusable(f"{self.sealing_key_file} is empty; restore it from a backup")
        return keys

    def _decoded(self, line: str) -> bytes:
        try:
            key = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise DataDirectoryUnusable(
                f"{self.sealing_key_file} holds no key (Base64 of {KEY_BYTES} bytes a line); restore it from a backup"
            )
        return key

    def _read(self, path: Path) -> str | None:
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise DataDirectoryUnusable(f"{path} is damaged; restore it from a backup") from None
        except OSError as error:
            raise DataDirectoryUnusable(f"{path} cannot be read: {error.strerror}") from None

    def _unusable(self, error: OSError) -> DataDirectoryUnusable:
        return DataDirectoryUnusable(
            f"{error.filename or self.path} cannot be made: {error.strerror}; choose another data directory"
        )
