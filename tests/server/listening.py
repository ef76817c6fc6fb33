"""Owns a listener on its own loop in its own thread, with a tiny app, and blocking clients for it. It must not know
what any test expects of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from idscope.clock import SystemClock
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.front_end import HttpFrontEnd
from idscope.frontends.http.incoming import IncomingRequest
from idscope.frontends.http.limits import HttpLimits
from idscope.frontends.listener import Listener, ListenerLimits, bind_sockets
from idscope.frontends.tls_context import tls_context
from idscope.testing.certificates import CertificateMaker

PATIENCE = 15.0


@dataclass
class Answered:
    """An HTTP answer, read to the end of its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class TinyApp:
    """Echoes; `/slow` waits for `release`, `/crash`, `/smuggle` fail, `/unread` asks for no body, `/big` says much."""

    def __init__(self) -> None:
        self.requests: list[IncomingRequest] = []
        self.release = threading.Event()
        self.entered = threading.Event()

    async def __call__(self, request: IncomingRequest) -> Answer:
        self.requests.append(request)
        path = request.path
        if path == "/crash":
            raise RuntimeError("the secret of the app")
        if path == "/slow":
            self.entered.set()
            while not self.release.is_set():
                await asyncio.sleep(0.005)
        body = b"" if path == "/unread" else await request.body(8_000_000)
        if path == "/big":
            body = b"x" * 8_000_000
        length = str(len(body)).encode()
        smuggled = ((b"x-echo", b"a\r\nx-evil: b"),) if path == "/smuggle" else ()
        return Answer(200, body, ((b"content-type", b"text/plain"), (b"content-length", length), *smuggled))


@dataclass
class Listening:
    """A running listener."""

    listener: Listener
    front_end: HttpFrontEnd | None
    app: TinyApp
    port: int
    loop: asyncio.AbstractEventLoop
    address: str = "127.0.0.1"
    clients: list[socket.socket] = field(default_factory=list)

    def call(self, function: Callable[[], Any]) -> Any:
        """The function's result, on the listener's thread."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE)

    def drain(self, seconds: float) -> Any:
        return asyncio.run_coroutine_threadsafe(self.listener.drain(seconds), self.loop)

    def tcp(self) -> socket.socket:
        client = socket.create_connection((self.address, self.port), timeout=PATIENCE)
        self.clients.append(client)
        return client

    def tls(self, context: ssl.SSLContext | None = None, **options: Any) -> ssl.SSLSocket:
        context = context or client_context()
        client = context.wrap_socket(self.tcp(), suppress_ragged_eofs=False, **options)
        self.clients.append(client)
        return client

    def forget_clients(self) -> None:
        """Closes them, and sees to it that nothing of them is left."""
        self.app.release.set()
        while self.clients:
            self.clients.pop().close()
        self.until(lambda: self.listener.connections == 0)

    def until(self, condition: Callable[[], bool]) -> None:
        until(lambda: self.call(condition))


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Polls until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


def client_context(
    identity: tuple[Path, Path] | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """A client that trusts anyone, with an identity of its own or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if identity is not None:
        context.load_cert_chain(*identity)
    return context


@contextlib.contextmanager
def listening(
    directory: Path,
    *,
    limits: ListenerLimits | None = None,
    http: HttpLimits | None = None,
    factory: Callable[[], asyncio.Protocol] | None = None,
    tls: bool = True,
    use_uvloop: bool = True,
) -> Iterator[Listening]:
    """A listener for as long as the block lasts; `factory` in place of HTTP."""
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop() if use_uvloop else asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="listener")
    thread.start()
    app = TinyApp()
    context = tls_context(*CertificateMaker.authority().server("127.0.0.1").write(directory, "server")) if tls else None

    async def start() -> Listening:
        front_end = None if factory else HttpFrontEnd(app, clock=SystemClock(), limits=http)
        make = factory or front_end.protocol_factory  # type: ignore[union-attr]  # there without a factory
        listener = Listener(make, context=context, limits=limits)
        sockets = bind_sockets("127.0.0.1", 0)
        port = sockets[0].getsockname()[1]
        await listener.start(sockets)
        return Listening(listener, front_end, app, port, loop)

    problems: list[dict[str, Any]] = []
    loop.call_soon_threadsafe(loop.set_exception_handler, lambda _, problem: problems.append(problem))
    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE)
        try:
            yield server
        finally:
            app.release.set()
            for client in server.clients:
                client.close()
            server.drain(2.0).result(PATIENCE)
            assert server.listener.connections == 0
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
    assert not problems, problems


def read_answer(client: socket.socket, *, method: str = "GET") -> Answered:
    """One answer, whose length is declared."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, f"the connection ended within the head: {head!r}"
        head += byte
    status_line, *lines = head.decode().split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(headers) == len(lines), f"a header twice: {lines}"
    body = b""
    length = 0 if method == "HEAD" or int(status_line.split()[1]) < 200 else int(headers["content-length"])
    while len(body) < length:
        piece = client.recv(length - len(body))
        assert piece, "the connection ended within the body"
        body += piece
    return Answered(int(status_line.split()[1]), headers, body)


def ends(client: socket.socket) -> bool:
    """Whether the server ended the connection, in whichever way, without another byte."""
    try:
        return client.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True
