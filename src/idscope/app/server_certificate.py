"""Owns which certificate the server shows, and that a running server takes up a renewed one.
It must not know how certificates are made or checked."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable

import structlog
from OpenSSL import SSL

from idscope.app.data_directory import DataDirectory
from idscope.app.endpoints import Endpoints
from idscope.certificate_authority import ServerFiles, check_operator_files, prepare_server_files, server_names
from idscope.clock import SystemClock
from idscope.frontends.tls_context import tls_context
from idscope.settings import Settings

_log = structlog.get_logger(__name__)


class ServerCertificate:
    """The operator's own certificate, or one from the own CA, renewed when it is due.

    Certificates are for real clients, so they go by the real clock, also where a test shifts the server's.
    """

    def __init__(
        self, settings: Settings, directory: DataDirectory, endpoints: Endpoints, hub_names: Iterable[str]
    ) -> None:
        self._settings = settings
        self._directory = directory
        names = (*endpoints.own_names, *endpoints.addresses, *hub_names)
        self._names = server_names(socket.gethostname(), names)
        self._shown = b""

    def files(self) -> ServerFiles:
        """Present and good for use. Raises OperatorFilesUnusable, AuthorityUnusable."""
        settings, now = self._settings, SystemClock().now()
        files = prepare_server_files(self._directory.path, self._names, settings.server_key_kind, now)
        if files.issued:
            _log.info("a server certificate was issued", reason=files.issued, names=list(self._names))
        if settings.certificate_file is None or settings.key_file is None:
            return files
        check_operator_files(settings.certificate_file, settings.key_file, now)
        own = settings.certificate_file.absolute()
        return ServerFiles(own, settings.key_file.absolute(), own)

    def context(self) -> SSL.Context:
        """For new connections. Raises as `files` does."""
        files = self.files()
        self._shown = _digest(files)
        return tls_context(files.certificate, files.key)

    def renewed_context(self) -> SSL.Context | None:
        """A context where the files are others than those of the last one, None where they are not."""
        return None if _digest(self.files()) == self._shown else self.context()


def _digest(files: ServerFiles) -> bytes:
    return hashlib.sha256(files.certificate.read_bytes() + files.key.read_bytes()).digest()
