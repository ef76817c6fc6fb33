from __future__ import annotations

import itertools
import re
import resource
import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from listening import Answered, Listening, ends, listening, read_answer, until

from idscope.frontends.http.limits import HttpLimits

LIMITS = HttpLimits(
    first_byte_seconds=0.3,
    head_seconds=0.3,
    body_seconds=0.3,
    keep_alive_seconds=0.3,
    write_seconds=0.5,
    linger_seconds=0.5,
    body_bytes=300_000,
)
HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def patient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("tls"), http=HttpLimits(linger_seconds=0.5)) as server:
        yield server


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("tls"), http=LIMITS) as server:
        yield server


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("plain"), http=LIMITS, tls=False) as server:
        yield server


@pytest.fixture
def patient(patient_server: Listening) -> Iterator[Listening]:
    """The limits of a real server, but for the time that a refused client gets."""
    yield patient_server
    patient_server.forget_clients()


@pytest.fixture
def strict(strict_server: Listening) -> Iterator[Listening]:
    """Everything is over soon."""
    yield strict_server
    strict_server.forget_clients()


@pytest.fixture
def plain(plain_server: Listening) -> Iterator[Listening]:
    """HTTP without TLS."""
    yield plain_server
    plain_server.forget_clients()


def assert_catalogue(answer: Answered, code: int, *, closes: bool = True) -> None:
    """An error as the catalogue has it: body and headers (device-protocols 0.7, decisions 5)."""
    assert answer.status == code // 1000
    assert answer.json["errorCode"] == code
    assert answer.headers["x-ms-error-code"] == str(code)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-ms-request-id"] == answer.json["trackingId"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.json["trackingId"])
    assert answer.json["message"]
    assert answer.json["timestampUtc"].endswith("Z")
    assert "strict-transport-security" in answer.headers
    assert "server" not in answer.headers
    assert "date" in answer.headers
    assert answer.headers.get("connection") == ("close" if closes else None)


def ask(server: Listening, request: bytes) -> Answered:
    """One request on a connection of its own, which the server ends after it."""
    client = server.tls()
    client.sendall(request)
    answer = read_answer(client)
    assert ends(client)
    return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length-and-coding"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", id="coding-and-length"
        ),
        pytest.param(HEAD + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", id="two-lengths"),
        pytest.param(HEAD + b"Content-Length: 4, 4\r\n\r\nabcd", id="list-of-lengths"),
        pytest.param(HEAD + b"Content-Length: +4\r\n\r\nabcd", id="signed-length"),
        pytest.param(HEAD + b"Content-Length: -4\r\n\r\nabcd", id="negative-length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n", id="chunk-size-letters"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n", id="chunk-size-negative"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nab\r\n", id="chunk-size-huge"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabXX0\r\n\r\n", id="chunk-too-long"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n", id="chunk-bare-lf"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", id="two-codings"),
        pytest.param(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="coding-in-1.0"),
        pytest.param(HEAD + b"X: b\r\n c\r\n\r\n", id="folded-header"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="bare-lf"),
        pytest.param(HEAD + b"X: a\nY: b\r\n\r\n", id="bare-lf-header"),
        pytest.param(HEAD + b"X: a\rY: b\r\n\r\n", id="bare-cr-header"),
        pytest.param(HEAD + b"X: a\x00b\r\n\r\n", id="nul-in-value"),
        pytest.param(HEAD + b"X\x00: a\r\n\r\n", id="nul-in-name"),
        pytest.param(HEAD + b"X : a\r\n\r\n", id="space-before-colon"),
        pytest.param(HEAD + b"Host: b\r\n\r\n", id="two-hosts"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no-host"),
        pytest.param(b"GET /\r\n\r\n", id="http-0.9"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", id="http-2.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2-preface"),
        pytest.param(b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", id="unknown-method"),
        pytest.param("GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(), id="target-not-ascii"),
        pytest.param(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", id="connect"),
        pytest.param(b"\x00\x01\x02\x03" * 100, id="garbage"),
    ],
)
def test_what_is_not_http_gets_400_and_the_end(patient: Listening, request_bytes: bytes) -> None:
    seen = len(patient.app.requests)
    assert_catalogue(ask(patient, request_bytes), 400004)
    assert [request.path for request in patient.app.requests[seen:]] in (
        [],
        ["/a"],
    )  # a broken chunk comes after the head


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        pytest.param(b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414000, id="target"),
        pytest.param(b"GET /" + b"a" * 100_000, 414000, id="target-without-end"),
        pytest.param(HEAD + b"X: " + b"a" * 17_000 + b"\r\n\r\n", 431000, id="one-long-header"),
        pytest.param(HEAD + b"X: " + b"a" * 40_000, 431000, id="one-header-without-end"),
        pytest.param(HEAD + b"X" * 40_000, 431000, id="one-name-without-end"),
        pytest.param(HEAD + b"X: aaaaaaaa\r\n" * 100 + b"\r\n", 431000, id="101-headers"),
        pytest.param(HEAD + b"Content-Length: 1048577\r\n\r\n", 413000, id="declared-body"),
        pytest.param(HEAD + b"Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n", 413000, id="expected-body"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501000, id="coding-gzip"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501000, id="coding-gzip-chunked"),
        pytest.param(
            HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 4\r\n\r\nabcd", 501000, id="upgrade"
        ),
    ],
)
def test_what_is_too_large_or_unknown_is_refused_by_its_code(
    patient: Listening, request_bytes: bytes, code: int
) -> None:
    seen = len(patient.app.requests)
    assert_catalogue(ask(patient, request_bytes), code)
    assert len(patient.app.requests) == seen


def test_limits_are_not_met_by_what_they_allow(patient: Listening) -> None:
    client = patient.tls()
    target = b"/" + b"a" * 8191
    client.sendall(
        b"POST " + target + b" HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 98 + b"Content-Length: 1048576\r\n\r\n"
    )
    client.sendall(b"z" * 1_048_576)
    answer = read_answer(client)
    assert (answer.status, len(answer.body)) == (200, 1_048_576)
    client.sendall(HEAD + b"X: " + b"a" * 16_000 + b"\r\n\r\n")
    assert read_answer(client).status == 200


def chunked_forever(piece: bytes) -> Iterator[bytes]:
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield piece


def endless(name: str) -> Iterator[bytes]:
    if name == "chunks":
        return chunked_forever(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
    if name == "tiny-chunks":
        return chunked_forever(b"1\r\na\r\n" * 5000)
    if name == "trailer":
        return iter([HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", *[b"a" * 16_384] * 4096])
    if name == "headers":
        return iter([HEAD, *[b"X: aaaaaaaaaaaaaaaa\r\n" * 800] * 4096])
    if name == "header":
        return iter([HEAD + b"X: ", *[b"a" * 16_384] * 4096])
    return iter([b"GET /", *[b"a" * 16_384] * 4096])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("chunks", 413000),
        ("tiny-chunks", 413000),
        ("trailer", 413000),
        ("headers", 431000),
        ("header", 431000),
        ("target", 414000),
    ],
)
def test_an_endless_stream_is_answered_and_costs_no_memory(patient: Listening, name: str, code: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    send_until_cut(patient.tls(), itertools.islice(endless(name), 4000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB
    attentive = patient.tls()
    attentive.sendall(GET)
    assert read_answer(attentive).status == 200  # and with it what TLS 1.3 sends after its handshake
    for piece in endless(name):
        if select.select([attentive], [], [], 0.002)[0]:
            break
        attentive.sendall(piece)
    assert_catalogue(read_answer(attentive), code)


def send_until_cut(client: socket.socket, pieces: Iterable[bytes], pause: float = 0) -> None:
    """Sends without looking back until the server has enough of it."""
    try:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(pause)
    except (ConnectionError, ssl.SSLError):
        return
    pytest.fail("nobody stops it")


def test_a_large_body_for_an_app_that_does_not_read_waits_in_the_client(patient: Listening) -> None:
    patient.app.release.clear()
    patient.app.entered.clear()
    client = patient.tls()
    client.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    assert patient.app.entered.wait(10)
    client.sendall(b"x" * 500_000)
    request = patient.app.requests[-1]
    patient.until(lambda: request.received > 64 * 1024)
    time.sleep(0.2)  # what would come in by then, if it were taken
    assert request.received < 400_000
    patient.app.release.set()
    client.sendall(b"x" * 500_000)
    assert len(read_answer(client).body) == 1_000_000


@pytest.mark.parametrize("path", [b"/crash", b"/smuggle"])
def test_an_app_that_fails_gets_500(patient: Listening, path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(patient, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_catalogue(answer, 500000)
    assert b"secret" not in answer.body
    assert "x-evil" not in answer.headers
    assert answer.json["trackingId"] in caplog.text


def test_pipelined_requests_are_answered_in_order(patient: Listening) -> None:
    client = patient.tls()
    bodies = [str(number).encode() * 10 for number in range(30)]
    client.sendall(b"".join(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies))
    assert [read_answer(client).body for _ in bodies] == bodies


def test_a_refusal_waits_for_the_answers_before_it(patient: Listening) -> None:
    patient.app.release.clear()
    patient.app.entered.clear()
    client = patient.tls()
    client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + GET + b"NONSENSE\r\n\r\n")
    assert patient.app.entered.wait(10)
    patient.app.release.set()
    assert read_answer(client).status == 200
    assert read_answer(client).status == 200
    assert_catalogue(read_answer(client), 400004)
    assert ends(client)


def test_a_refused_body_is_answered_in_its_turn(patient: Listening) -> None:
    patient.app.release.clear()
    patient.app.entered.clear()
    client = patient.tls()
    client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert patient.app.entered.wait(10)
    seen = len(patient.app.requests)
    patient.app.release.set()
    assert read_answer(client).status == 200
    assert_catalogue(read_answer(client), 400004)
    assert len(patient.app.requests) == seen


def test_a_flood_of_pipelined_requests_is_cut_after_whole_answers(patient: Listening) -> None:
    client = patient.tls()
    client.sendall(b"GET /n HTTP/1.1\r\nHost: a\r\n\r\n" * 500)
    answers = [read_answer(client) for _ in range(33)]
    assert {answer.status for answer in answers} == {200}
    assert answers[-1].headers["connection"] == "close"
    assert ends(client)


def test_nothing_is_read_after_a_request_that_closes(patient: Listening) -> None:
    client = patient.tls()
    seen = len(patient.app.requests)
    client.sendall(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
    assert read_answer(client).headers["connection"] == "close"
    assert ends(client)
    assert len(patient.app.requests) == seen + 1


def test_expect_100_continue(patient: Listening) -> None:
    client = patient.tls()
    client.sendall(HEAD + b"Content-Length: 4\r\nExpect: 100-Continue\r\n\r\n")
    assert read_answer(client).status == 100
    client.sendall(b"abcd")
    assert read_answer(client).body == b"abcd"


def test_an_answer_before_100_continue_ends_the_connection(patient: Listening) -> None:
    client = patient.tls()
    client.sendall(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    answer = read_answer(client)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert ends(client)


def test_an_answer_before_the_body_keeps_the_connection(patient: Listening) -> None:
    client = patient.tls()
    client.sendall(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
    assert read_answer(client).status == 200
    client.sendall(b"abcd" + GET)
    assert read_answer(client).status == 200


def test_an_upgrade_request_is_an_ordinary_one(patient: Listening) -> None:
    client = patient.tls()
    client.sendall(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + GET)
    assert [read_answer(client).status, read_answer(client).status] == [200, 200]
    client.sendall(GET)
    assert read_answer(client).status == 200


def test_head_gets_no_body(patient: Listening) -> None:
    client = patient.tls()
    client.sendall(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert read_answer(client, method="HEAD").status == 200
    assert read_answer(client).status == 200


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query", "host"),
    [
        (b"/a%2Fb/%7e?x=%20#f", "/a/b/~", b"/a%2Fb/%7e", b"x=%20", b"h"),
        (b"https://other:99/a%20b?q", "/a b", b"/a%20b", b"q", b"other:99"),
        (b"https://other", "/", b"/", b"", b"other"),
        (b"https://[::1]:5/x", "/x", b"/x", b"", b"[::1]:5"),
    ],
)
def test_what_the_app_is_told(
    patient: Listening, target: bytes, path: str, raw_path: bytes, query: bytes, host: bytes
) -> None:
    client = patient.tls()
    client.sendall(b"GET " + target + b" HTTP/1.1\r\nHoSt: h \r\nX-A: b\t\r\n\r\n")
    assert read_answer(client).status == 200
    request = patient.app.requests[-1]
    assert (request.path, request.raw_path, request.query_string) == (path, raw_path, query)
    assert request.headers == [(b"host", host), (b"x-a", b"b")]
    assert (request.method, request.http_version) == ("GET", "1.1")
    assert request.peer == (client.getsockname()[0], True, ())


def test_trailers_do_not_become_headers(patient: Listening) -> None:
    client = patient.tls()
    client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;e=f\r\nab\r\n0\r\nHost: evil\r\n\r\n")
    assert read_answer(client).body == b"ab"
    assert (b"host", b"evil") not in patient.app.requests[-1].headers


def test_http_1_0_is_answered_and_closed(patient: Listening) -> None:
    assert ask(patient, b"GET /a HTTP/1.0\r\n\r\n").headers["connection"] == "close"


# Time


def test_no_first_byte_ends_in_silence(strict: Listening) -> None:
    assert ends(strict.tls())


def test_line_feeds_are_no_first_byte(strict: Listening) -> None:
    client = strict.tls()
    send_until_cut(client, [b"\r\n"] * 500, pause=0.02)


def test_an_idle_connection_ends_in_silence(strict: Listening) -> None:
    client = strict.tls()
    client.sendall(GET)
    assert read_answer(client).status == 200
    assert ends(client)


@pytest.mark.parametrize("start", [b"G", b"GET /a HTTP/1.1\r\nHost: a\r\nX: "], ids=["line", "header"])
@pytest.mark.parametrize("kind", ["tls", "plain"])
def test_slow_headers_get_408(strict: Listening, plain: Listening, start: bytes, kind: str) -> None:
    client = strict.tls() if kind == "tls" else plain.tcp()
    client.sendall(start)
    assert_catalogue(read_answer(client), 408000)
    assert ends(client)


def test_headers_that_trickle_get_408(strict: Listening) -> None:
    client = strict.tls()
    client.sendall(b"GET /a HTTP/1.1\r\nHost: a\r\nX: ")
    client.settimeout(0.02)
    answer = None
    for _ in range(500):
        client.sendall(b"a")
        try:
            first = client.recv(
                1,
            )
        except TimeoutError:
            continue
        answer = first
        break
    assert answer == b"H"


@pytest.mark.parametrize("path", [b"/a", b"/unread"])
def test_a_slow_body_gets_408_or_the_end(strict: Listening, path: bytes) -> None:
    client = strict.tls()
    client.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    if path == b"/unread":
        assert read_answer(client).status == 200
    else:
        assert_catalogue(read_answer(client), 408000)
    assert ends(client)


def test_a_slow_app_is_not_the_clients_fault(strict: Listening) -> None:
    strict.app.release.clear()
    strict.app.entered.clear()
    client = strict.tls()
    client.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
    assert strict.app.entered.wait(10)
    time.sleep(0.8)  # more than twice the limit
    strict.app.release.set()
    assert len(read_answer(client).body) == 200_000


@pytest.mark.parametrize("kind", ["tls", "plain"])
def test_a_client_that_does_not_read_is_cut(strict: Listening, plain: Listening, kind: str) -> None:
    server = strict if kind == "tls" else plain
    client = strict.tls() if kind == "tls" else plain.tcp()
    client.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    server.until(lambda: server.listener.connections > 0)
    server.until(lambda: server.listener.connections == 0)


def test_a_client_that_sends_on_after_a_refusal_is_cut(strict: Listening) -> None:
    client = strict.tls()
    send_until_cut(client, [b"NONSENSE\r\n\r\n"] + [b"x" * 16_384] * 10_000)


# Without TLS


def test_plain_http(plain: Listening) -> None:
    client = plain.tcp()
    client.sendall(GET)
    assert read_answer(client).status == 200
    assert plain.app.requests[-1].peer == (client.getsockname()[0], False, ())
    client.sendall(b"NONSENSE\r\n\r\n")
    assert_catalogue(read_answer(client), 400004)
    assert ends(client)


def test_plain_http_answers_a_client_that_ended_its_side(plain: Listening) -> None:
    plain.app.release.clear()
    plain.app.entered.clear()
    client = plain.tcp()
    client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    assert plain.app.entered.wait(10)
    client.shutdown(socket.SHUT_WR)
    plain.app.release.set()
    assert read_answer(client).status == 200
    assert ends(client)


# The end


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("use_uvloop", [True, False])
def test_drain_finishes_what_is_under_way(tmp_path: Path, tls: bool, use_uvloop: bool) -> None:
    with listening(tmp_path, tls=tls, use_uvloop=use_uvloop) as server:
        connect = server.tls if tls else server.tcp
        idle, fresh, busy = connect(), connect(), connect()
        idle.sendall(GET)
        assert read_answer(idle).status == 200
        busy.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.app.entered.wait(10)
        drained = server.drain(10.0)
        assert ends(idle)
        assert ends(fresh)
        assert not drained.done()
        server.app.release.set()
        answer = read_answer(busy)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        drained.result(10)
        with pytest.raises(OSError):
            socket.create_connection((server.address, server.port), timeout=1).recv(1)
        until(lambda: server.listener.connections == 0)


def test_drain_cuts_what_lasts_too_long(tmp_path: Path) -> None:
    with listening(tmp_path) as server:
        client = server.tls()
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.app.entered.wait(10)
        server.drain(0.1).result(10)
        assert ends(client)
