"""Owns a connection on which a test sends any bytes, right or wrong, and reads back whole answers.
It must not make a request look better than it was given."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from types import TracebackType
from typing import Self

from idscope.testing.application import Response
from idscope.testing.server import Ready

SECONDS = 10.0


class RawClient:
    """A TLS connection that is made again where the server closed it; an answer that does not come fails the test."""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._context = ssl.create_default_context(cafile=str(ready.ca_file))
        self._socket: ssl.SSLSocket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def connect(self) -> ssl.SSLSocket:
        """The open connection, or a new one."""
        if self._socket is None:
            address = (self._ready.host_name, self._ready.https_port)
            raw = socket.create_connection(address, timeout=SECONDS)
            self._socket = self._context.wrap_socket(raw, server_hostname=self._ready.host_name)
        return self._socket

    def exchange(self, content: bytes, *, method: str = "GET") -> Response:
        """The answer to these bytes, read as an answer to `method`."""
        connection = self.connect()
        with contextlib.suppress(OSError):  # refused before all of it was sent: the answer says why
            connection.sendall(content)
        answer = http.client.HTTPResponse(connection, method=method)
        try:
            answer.begin()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            response = Response(answer.status, headers, answer.read())
        except BaseException:
            self.close()
            raise
        finally:
            closes = answer.will_close is not False
            answer.close()
        if closes:
            self.close()
        return response
