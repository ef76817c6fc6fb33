"""Owns the comparison with another server: what both read from the same bytes, and how they answer."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from idscope.clock import SystemClock
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.front_end import HttpFrontEnd
from idscope.frontends.http.incoming import Headers, IncomingRequest

TURNS = 200

TOKENS = st.text("abcXYZ09-._~", min_size=1, max_size=12)
SEGMENTS = st.text("abcXYZ09-._~!$&'()*+,;=:@", max_size=8) | st.sampled_from(["%2F", "a%20b", "%C3%A9", "%", "%zz"])
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda segments: "/" + "/".join(segments))
QUERIES = st.none() | st.text("abc=&+%20?/", max_size=10)
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"])
VALUES = st.text('abc 019;=,"/+', max_size=20).map(str.strip)
EXTRA = st.lists(st.tuples(TOKENS.map(lambda name: f"X-{name}"), VALUES), max_size=4)


class Wire(asyncio.Transport):
    """A transport that keeps what is written, for either server."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.9", 40000), "sockname": ("127.0.0.1", 80)}.get(name, default)

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def told(method: str, raw_path: bytes, query: bytes, headers: Headers, version: str, body: bytes) -> bytes:
    """What an app was told, as the body of its answer."""
    named = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
    return json.dumps(
        [method, raw_path.decode("latin-1"), query.decode("latin-1"), named, version, body.hex()]
    ).encode()


async def our_app(request: IncomingRequest) -> Answer:
    body = await request.body(1_000_000)
    said = told(request.method, request.raw_path, request.query_string, request.headers, request.http_version, body)
    return Answer(200, said, ((b"content-length", str(len(said)).encode()),))


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    said = told(
        scope["method"], scope["raw_path"], scope["query_string"], list(scope["headers"]), scope["http_version"], body
    )
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def our_protocol() -> asyncio.Protocol:
    return HttpFrontEnd(our_app, clock=SystemClock()).protocol_factory()


def uvicorn_protocol() -> asyncio.Protocol:
    config = Config(asgi_app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    return HttpToolsProtocol(config, ServerState(), {}, asyncio.get_running_loop())


async def answered(
    protocol: asyncio.Protocol, pieces: list[bytes]
) -> tuple[list[tuple[bytes, dict[bytes, bytes], bytes]], bool]:
    """The answers, and whether the connection was closed."""
    wire = Wire()
    protocol.connection_made(wire)
    for piece in pieces:
        if not wire.closed:
            protocol.data_received(piece)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    closed = wire.closed
    protocol.connection_lost(None)
    return list(split(bytes(wire.written))), closed


def split(stream: bytes) -> Iterator[tuple[bytes, dict[bytes, bytes], bytes]]:
    """Status line, headers and body of each answer; bodies of HEAD are absent."""
    while stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        headers.pop(b"date", None)
        size = 0 if stream.startswith(b"HTTP/1.1 ") else int(headers.get(b"content-length", b"0"))
        body, stream = stream[:size], stream[size:]
        yield status, headers, body


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One well-formed request."""
    path, query = draw(PATHS), draw(QUERIES)
    target = path if query is None else f"{path}?{query}"
    version = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"]))
    headers = [("Host", "a"), *draw(EXTRA)]
    body = draw(st.none() | st.binary(max_size=200))
    if draw(st.integers(0, 9)) == 0:
        headers.append(("Connection", draw(st.sampled_from(["close", "keep-alive", "Close"]))))
    framed = b""
    if body is not None and version == "1.1" and draw(st.booleans()):
        headers.append(("Transfer-Encoding", "chunked"))
        half = len(body) // 2
        parts = [part for part in (body[:half], body[half:]) if part]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    elif body is not None:
        headers.append(("Content-Length", str(len(body))))
        framed = body
    lines = [f"{draw(METHODS)} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + framed


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges) if start < end]


@given(st.lists(requests(), min_size=1, max_size=4).map(b"".join), st.lists(st.integers(0, 4000), max_size=6))
def test_well_formed_requests_are_read_and_answered_as_by_uvicorn(stream: bytes, places: list[int]) -> None:
    async def both() -> None:
        pieces = cut(stream, places)
        assert await answered(our_protocol(), pieces) == await answered(uvicorn_protocol(), pieces)

    asyncio.run(both())


@given(
    st.lists(requests(), min_size=1, max_size=3).map(b"".join),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=3)), min_size=1, max_size=3),
    st.lists(st.integers(0, 4000), max_size=6),
)
def test_whatever_comes_is_answered_in_whole_answers(
    stream: bytes, noise: list[tuple[int, bytes]], places: list[int]
) -> None:
    """Bytes put in anywhere: nothing is raised, and a refusal is the last answer."""
    for place, put_in in noise:
        at = place % (len(stream) + 1)
        stream = stream[:at] + put_in + stream[at:]
    answers, closed = asyncio.run(answered_by_ours(cut(stream, places)))
    refusals = [status for status, _, _ in answers if status != b"HTTP/1.1 200 OK"]
    assert len(refusals) <= 1
    if refusals:
        assert answers[-1][0] == refusals[0]
        assert int(refusals[0].split()[1]) in {400, 413, 414, 431, 501}
        assert closed


async def answered_by_ours(pieces: list[bytes]) -> tuple[list[tuple[bytes, dict[bytes, bytes], bytes]], bool]:
    return await answered(our_protocol(), pieces)
