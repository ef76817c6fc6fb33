"""Owns the neighbour: an nginx that answers every request with the same bytes, over the same certificate.
It must not know what it is compared with.

One worker, no access log, TLS 1.3, no tickets, no session cache. It stores nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bench.processes import answers, end, family

FIRST_PORT = 8400
_START_SECONDS = 10.0
_PROCESSES = 2
_HEAD = """
daemon off;
master_process on;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    default_type application/json;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    ssl_session_tickets off;
    ssl_session_cache off;
    keepalive_requests 1000000000;
"""
_SERVER = """
    server {{
        listen {address}:{port} ssl;
        keepalive_timeout {keep_alive};
        ssl_verify_client {verify};
        location / {{ return 200 '{body}'; }}
    }}
"""


class Site(NamedTuple):
    """One port: how long its answer's body is, whether it asks for a client certificate, keeps connections."""

    body_bytes: int
    client_certificate: bool
    keep_alive: bool


class NginxMissing(RuntimeError):
    """Debian: apt-get install nginx-light."""


def program() -> str:
    """Raises NginxMissing."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise NginxMissing("nginx is not installed; on Debian: apt-get install nginx-light")
    return found


def version() -> str:
    """`nginx/1.22.1, OpenSSL 3.0.22 25 Aug 2026`: the version at run time, where it says one."""
    text = subprocess.run([program(), "-V"], capture_output=True, text=True, check=True).stderr
    name = text.partition("nginx version: ")[2].splitlines()[0]
    openssl = next((line for line in text.splitlines() if line.startswith("built with ")), "built with an unknown TLS")
    _, _, running = openssl.partition("(running with ")
    return f"{name}, {running.rstrip(')') or openssl.removeprefix('built with ')}"


class Nginx:
    """Serves each site on a port of its own, `FIRST_PORT` and up; a context manager that leaves nothing running."""

    def __init__(self, directory: Path, address: str, certificate: Path, key: Path, sites: tuple[Site, ...]) -> None:
        self._address = address
        self._sites = sites
        self._configuration = directory / "nginx.conf"
        self._log = directory / "nginx-error.log"
        text = _HEAD.format(directory=directory, certificate=certificate, key=key)
        text += "".join(self._server(port, site) for port, site in enumerate(sites, FIRST_PORT))
        self._configuration.write_text(text + "}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def _server(self, port: int, site: Site) -> str:
        return _SERVER.format(
            address=self._address,
            port=port,
            keep_alive="600s" if site.keep_alive else "0",
            # A chain to an unknown CA is let in, as idscope does; it is still verified, which cannot be turned off.
            verify="optional_no_ca" if site.client_certificate else "off",
            body="x" * site.body_bytes,
        )

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [program(), "-c", str(self._configuration), "-e", str(self._log)], stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_SECONDS
        last = FIRST_PORT + len(self._sites) - 1
        # The master listens before it forks its worker.
        while not (answers(self._address, last) and len(family(self._process.pid)) == _PROCESSES):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RuntimeError(f"nginx did not start: {self._log.read_text() if self._log.exists() else ''}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def port(self, site: Site) -> int:
        return FIRST_PORT + self._sites.index(site)

    def _end(self) -> None:
        if self._process is not None:
            end(self._process)
