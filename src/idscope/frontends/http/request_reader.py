"""Owns the reading of requests from one connection's bytes: httptools' parser, with limits on what a client may send.
It must not know a socket, nor time, nor who answers."""

from __future__ import annotations

from typing import Final, NoReturn, Protocol

import httptools

from idscope.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    IdscopeError,
    InvalidArgument,
    NotImplementedByServer,
    TargetTooLong,
)
from idscope.frontends.http.incoming import Headers, IncomingRequest, Peer
from idscope.frontends.http.limits import HttpLimits

_TELLING: Final = frozenset((b"host", b"expect", b"content-length", b"transfer-encoding"))


class Enough(Exception):
    """Raised by who takes requests: no further one is read."""


class Taker(Protocol):
    """Who takes what is read."""

    def head_begun(self) -> None:
        """The first byte of a request. Raises Enough."""
        ...

    def head_read(self, request: IncomingRequest, *, keep_alive: bool, awaits_continue: bool, upgrades: bool) -> bool:
        """A whole head; its body follows. Whether another protocol takes the connection over, where it `upgrades`."""
        ...

    def body_read(self, data: bytes) -> None: ...

    def request_read(self) -> None:
        """The request is whole."""
        ...


class RequestReader:
    """`feed` it what comes; `refusal` is why it reads no more, None where the taker had enough."""

    def __init__(self, taker: Taker, peer: Peer, limits: HttpLimits) -> None:
        self.refusal: IdscopeError | None = None
        self._taker = taker
        self._peer = peer
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        # What follows a request that closes the connection is not read; it is no error of that request.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._in_head = False
        self._handed_over = False
        self._input = 0  # bytes since the head or the body began; counted by whole pieces
        self._requests = 0
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: Headers = []
        self._header_bytes = self._body_bytes = 0
        self._hosts = 0
        self._has_body = self._is_chunked = self._awaits_continue = False

    def feed(self, data: bytes) -> bytes | None:
        """What is left for the protocol that took over, None where HTTP goes on. Raises Enough, with `refusal` set
        where the client is to hear it."""
        requests = self._requests
        try:
            rest = self._parse(data)
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, Enough):
                raise Enough from None
            raise
        except httptools.HttpParserError:
            self._stop(InvalidArgument("The request is not valid HTTP/1.1."))
        if rest is None and self._requests == requests:
            self._count_input(len(data))
        return rest

    def _parse(self, data: bytes) -> bytes | None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._handed_over:
                    return data
                # Nothing is upgraded here: that was an ordinary request, and what follows it is the next one.
            else:
                break
        return None

    def _count_input(self, size: int) -> None:
        """Bounds what the parser keeps to itself: a header or trailer without end, chunks of one byte."""
        self._input += size
        limits = self._limits
        allowed = limits.target_bytes + limits.header_bytes
        if self._in_head:
            if self._input > allowed:
                self._stop(HeadersTooLarge())
        elif self._input > allowed + limits.body_bytes:
            self._stop(BodyTooLarge())

    def _stop(self, refusal: IdscopeError) -> NoReturn:
        self.refusal = refusal
        raise Enough

    # What the parser calls

    def on_message_begin(self) -> None:
        self._taker.head_begun()
        self._begin()
        self._in_head = True
        self._input = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.target_bytes:
            self._stop(TargetTooLong())

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > self._limits.header_bytes or len(self._headers) >= self._limits.header_count:
            self._stop(HeadersTooLarge())
        if not self._in_head:
            return  # a trailer: nobody asked for one
        name = name.lower()
        value = value.rstrip(b" \t")
        self._headers.append((name, value))
        if name in _TELLING:
            self._heed(name, value)

    def _heed(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self._awaits_continue = value.lower() == b"100-continue"
        elif name == b"content-length":
            self._has_body = value != b"0"
            if int(value) > self._limits.body_bytes:
                self._stop(BodyTooLarge())
        else:
            self._has_body = self._is_chunked = True
            if value.lower() != b"chunked":
                self._stop(NotImplementedByServer("The only transfer coding known here is chunked."))

    def on_headers_complete(self) -> None:
        version = self._parser.get_http_version()
        upgrades = self._parser.should_upgrade()
        self._check_head(version, upgrades=upgrades)
        request = self._request(version)
        self._in_head = False
        self._input = 0
        self._handed_over = self._taker.head_read(
            request,
            keep_alive=version == "1.1" and self._parser.should_keep_alive(),
            awaits_continue=self._awaits_continue,
            upgrades=upgrades,
        )

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._stop(BodyTooLarge())
        self._taker.body_read(body)

    def on_message_complete(self) -> None:
        self._requests += 1
        self._input = 0
        if not self._handed_over:
            self._taker.request_read()

    # The head

    def _check_head(self, version: str, *, upgrades: bool) -> None:
        if version not in ("1.1", "1.0"):
            self._stop(InvalidArgument("Only HTTP/1.1 and HTTP/1.0 are spoken here."))
        if self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            self._stop(InvalidArgument("A request has one Host header."))
        if version == "1.0" and self._is_chunked:
            self._stop(InvalidArgument("HTTP/1.0 knows no transfer coding."))
        if self._has_body and upgrades:
            # The parser takes what follows for the other protocol, so the body could not be told from a request.
            self._stop(NotImplementedByServer("A request with a body cannot ask for an upgrade."))

    def _request(self, version: str) -> IncomingRequest:
        try:
            target = httptools.parse_url(self._url)
        except httptools.HttpParserInvalidURLError:
            self._stop(InvalidArgument("The request target is not valid."))
        if target.schema:
            self._take_authority(target)
        return IncomingRequest(
            self._parser.get_method().decode("ascii"),
            target.path or b"/",  # none in https://host
            target.query or b"",
            self._headers,
            self._peer,
            http_version=version,
        )

    def _take_authority(self, target: httptools.parser.url_parser.URL) -> None:
        """Of an absolute-form target the authority counts, not the Host header (RFC 9112, 3.2.2)."""
        host = b"[" + target.host + b"]" if b":" in target.host else target.host
        authority = b"%b:%d" % (host, target.port) if target.port else host
        self._headers[:] = [(name, authority if name == b"host" else value) for name, value in self._headers]
