"""Owns a listener that answers as an operator's does: over TLS, with the token, or not at all. It must not know what
any command asks."""

from __future__ import annotations

import http.server
import json
import ssl
from email.message import Message
from pathlib import Path
from typing import Any

from idscope.testing.certificates import CertificateMaker

TOKEN = "operator-token"


class Operator(http.server.ThreadingHTTPServer):
    """Answers from a list, and keeps what it was asked: method, target and document; beside them the very bytes of the
    bodies, and the headers, whose names compare without case. An answer is status, document (or
    its bytes) and headers, or the first two."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, Any]] = []
        self.bodies: list[bytes] = []
        self.headers: list[Message] = []
        self.answers: list[tuple[Any, ...]] = []
        authority = CertificateMaker.authority()
        certificate, key = authority.server("127.0.0.1").write(directory, "server")
        self.ca_file, _ = authority.write(directory, "ca")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Operator

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
        self.server.bodies.append(body)
        self.server.headers.append(self.headers)
        status, headers = 401, {}
        document: Any = {"message": "Unauthorized"}
        if self.headers["Authorization"] == f"Bearer {TOKEN}":
            status, document, headers = (*self.server.answers.pop(0), {})[:3]
        said = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(said))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
