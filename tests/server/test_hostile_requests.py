"""Every endpoint of the real server against requests that mean it harm: a documented error in the words of its API,
soon, and nothing changed in the store."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path

from hostile import ENDPOINTS, KEY, KIBIBYTE, VERSIONS, WITH_ID, Attacker, Endpoint
from raw_client import RawClient

from idscope.app.front_ends import PUBLIC_OPERATIONS
from idscope.frontends.http.operations import Api
from idscope.testing.application import sas_token
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import enrollment

ENROLLMENT = enrollment("d", KEY)

ILLEGAL_IDS = (
    "d" * 129,
    "d" * 2000,
    "%20",
    "a%20b",
    "a%2Fb",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%00",
    "d%00",
    "%ff",
    "%c0%ae",
    "%ed%a0%80",
    "%F0%9F%92%A3",
    "%",
    "%zz",
    "%2",
    "d%25",
    "d%0d%0aX-Injected:%20yes",
    "'%20OR%20'1'='1",
    "{id}",
    "<script>",
    "%E2%80%AEd",
    "%EF%BC%A4",
    "-d",
)


def test_every_endpoint_of_devices_and_services_is_here() -> None:
    def shape(method: str, path: str) -> str:
        return f"{method} {re.sub(r'4[.]00[.]00|{.*?}', '*', path)}"

    public = {shape(one.method, one.path) for one in PUBLIC_OPERATIONS if one.api in {Api.DEVICE, Api.SERVICE}}
    assert public == {shape(one.method, one.path) for one in ENDPOINTS if one.api != "hub"}


def test_illegal_ids(attacker: Attacker) -> None:
    """400, or 404 where it is looked for and not there; 401 of the device API, whose token names another id."""
    for endpoint in WITH_ID:
        for device_id in ILLEGAL_IDS:
            target = f"{attacker.path(endpoint, device_id)}?api-version={VERSIONS[endpoint.api]}"
            attacker.refused(device_id[:60], endpoint, attacker.request(endpoint, target=target), [400, 401, 404, 405])


def test_other_ids_than_the_one_that_is_meant(attacker: Attacker) -> None:
    """Dots are not walked, and nothing is decoded twice: none of these is `d`."""
    for endpoint in WITH_ID:
        for device_id in (
            "x/../d",
            "./d",
            "d/.",
            "d/..",
            "..",
            ".",
            "x/%2e%2e/d",
            "%2564",
            "d;x",
            "d%3Fx",
            "/d",
            "d//",
        ):
            target = f"{attacker.path(endpoint, device_id)}?api-version={VERSIONS[endpoint.api]}"
            content = attacker.request(endpoint, target=target)
            attacker.refused(device_id, endpoint, content, [400, 401, 404, 405])


BAD_VERSIONS = ("", "?", "2021", "2021-10", "2021-13-45", "2021-10-01-beta", "2021-10-01%00", "%ff", "../", "9" * 3000)


def test_bad_api_versions(attacker: Attacker) -> None:
    for endpoint in ENDPOINTS:
        path = attacker.path(endpoint)
        targets = [path, f"{path}?", f"{path}?api-version", f"{path}?api_version=2021-10-01", f"{path}?&&&=&"]
        targets += [f"{path}?api-version={version}" for version in BAD_VERSIONS]
        targets.append(f"{path}?{'&'.join(f'a{number}=b' for number in range(100))}&api-version=2021-10-01")
        targets += [f"{path}?api-version=1999-01-01"] if endpoint.api == "service" else []
        for target in targets:
            attacker.refused(target[-60:], endpoint, attacker.request(endpoint, target=target), [400])


def test_the_tokens_of_another_api(attacker: Attacker) -> None:
    for endpoint in ENDPOINTS:
        for api in VERSIONS:
            if api != endpoint.api:
                content = attacker.request(endpoint, authorization=attacker.token(api))
                attacker.refused(f"token of {api}", endpoint, content, [401])


def test_bad_credentials(attacker: Attacker) -> None:
    soon = int(time.time()) + 3600
    for endpoint in ENDPOINTS:
        good = attacker.token(endpoint.api)
        resource = good.partition("sr=")[2].partition("&")[0]
        signature = good.partition("sig=")[2].partition("&")[0]
        name = "&skn=" + good.partition("&skn=")[2]
        kept = sas_token("elsewhere", KEY, soon, "registration")
        credentials: list[str | bytes] = [
            "SharedAccessSignature",
            "SharedAccessSignature ",
            "SharedAccessSignature sr=&sig=&se=",
            "Bearer x",
            "Basic ZDpk",
            "Negotiate",
            kept,
            good.replace("SharedAccessSignature", "SharedAccessSignature2"),
            good.replace(signature, ""),
            good.replace(signature, "%00"),
            good.replace(signature, "AAAA"),
            good.replace(signature, signature[:-6]),
            good.replace(signature, "%ff%fe"),
            good.replace(signature, "\xe9"),
            good.replace(resource, ""),
            good.replace(resource, "%"),
            good.replace(resource, "%00"),
            *(
                f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}{name}"
                for expiry in ("", "0", "-1", "never", "1e99", "9" * 5000, "\xb2", f"{soon}.5", f"0x{soon:x}")
            ),
            f"{good}&se=0",
            good + "&" + "a=b&" * 500,
            b"\xff\xfe" * 100,
        ]
        if endpoint.api != "device":  # a device's key has one name for all, which is not looked at
            credentials += [good.replace(name, ""), good.replace(name, "&skn=nobody"), good.replace(name, "&skn=%00")]
        for number, credential in enumerate(credentials):
            content = attacker.request(endpoint, authorization=credential)
            attacker.refused(f"credential {number}", endpoint, content, [401])
        attacker.refused("none", endpoint, attacker.request(endpoint, authorization=""), [401])


def test_other_methods(attacker: Attacker) -> None:
    methods = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
    for endpoint in ENDPOINTS:
        known = {other.method for other in ENDPOINTS if other.path == endpoint.path}
        # A fixed word where another row has an id: GET /devices/query asks for a device of that name.
        queries = ("/devices/query", "/enrollments/query", "/enrollmentGroups/query")
        elsewhere = {query: {"GET", "PUT", "DELETE"} for query in queries}
        for method in set(methods) - known - elsewhere.get(endpoint.path, set()):
            content = attacker.request(endpoint, method=method, body=b"")
            attacker.refused(method, endpoint, content, [405], method=method)


def test_what_is_no_method_of_http(attacker: Attacker) -> None:
    endpoint = Endpoint("service", "GET", "/enrollments/{id}")
    for method in ("FROB", "get", "GET\x00", "G" * 5000, "\xe9"):
        attacker.refused(method[:20], endpoint, attacker.request(endpoint, method=method), [400])
    connect = attacker.request(endpoint, method="CONNECT", target="example.com:443")
    attacker.refused("CONNECT", endpoint, connect, [400, 404, 405], method="GET")


def test_targets(attacker: Attacker) -> None:
    get = Endpoint("service", "GET", "/enrollments/{id}")
    version = "api-version=2021-10-01"
    host = attacker.ready.host_name
    for target in (
        "*",
        "/",
        "//",
        "/enrollments//",
        f"//{host}/enrollments/d?{version}",
        f"/../enrollments/d?{version}",
        f"/%65nrollments/d?{version}",
        f"/enrollments%2Fd?{version}",
        f"/x/enrollments/d?{version}",
        f"/{attacker.ready.id_scope}/enrollments/d?{version}",
        f"/enrollments/d/{'x/' * 1000}?{version}",
        f"ftp:///enrollments/d?{version}",
        f"https://?{version}",
        f"https://{host}:99999/enrollments/d?{version}",
        "enrollments/d",
        f"/enrollments/\x01?{version}",
        f"/enrollments/\xe9?{version}",
        f"/{'a' * 9000}",
        f"/enrollments/d?{'a' * 9000}",
    ):
        attacker.refused(target[:60], get, attacker.request(get, target=target), [400, 404, 405, 414])


def test_an_absolute_target_means_what_it_names(attacker: Attacker) -> None:
    for endpoint in (Endpoint("service", "GET", "/enrollments/{id}"), Endpoint("hub", "GET", "/devices/{id}")):
        for origin in (f"https://{attacker.ready.host_name}", f"HTTPS://{attacker.ready.host_name}:443"):
            target = f"{origin}{attacker.path(endpoint)}?api-version={VERSIONS[endpoint.api]}"
            attacker.refused(origin, endpoint, attacker.request(endpoint, target=target), [200])


def test_header_floods(attacker: Attacker) -> None:
    endpoint = Endpoint("service", "GET", "/enrollments/{id}")
    floods = {
        "many": [(f"X-{number}", "x") for number in range(2000)],
        "one large": [("X", "x" * 100_000)],
        "one large name": [("X" * 100_000, "x")],
        "large credential": [("Authorization", "SharedAccessSignature " + "x" * 60_000)],
        "cookies": [("Cookie", "a=" + "b" * 4000)] * 20,
    }
    for label, headers in floods.items():
        attacker.refused(label, endpoint, attacker.request(endpoint, headers=headers), [400, 431])


def test_odd_headers(attacker: Attacker) -> None:
    """None of them makes a write go through that must not, or a read fail inside the server."""
    put = Endpoint("service", "PUT", "/enrollments/{id}", ENROLLMENT)
    hub_put = Endpoint("hub", "PUT", "/devices/{id}", {"deviceId": "d"})
    for etag in ('""', '"', 'W/"x"', "x" * 9000, "\xe9", '"x","y"', "%00", "null", "0"):
        for endpoint in (put, hub_put):
            attacker.refused(
                f"If-Match {etag[:20]}",
                endpoint,
                attacker.request(endpoint, headers=[("If-Match", etag)]),
                [400, 409, 412],
            )
    queries = (
        Endpoint("service", "POST", "/enrollments/query", {"query": "SELECT * FROM enrollments"}),
        Endpoint("hub", "POST", "/devices/query", {"query": "SELECT * FROM devices"}),
    )
    for endpoint in queries:
        for token in ("x", "AAAA", "/////w==", "\xe9", "=", base64.b64encode(b"\x00").decode(), "A" * 9000):
            content = attacker.request(endpoint, headers=[("x-ms-continuation", token)])
            attacker.refused(f"continuation {token[:20]}", endpoint, content, [200, 400])
        for size in ("0", "-1", "abc", "1e3", "9" * 5000, "\xb2", "1.5", " ", "+1", "1_0"):
            content = attacker.request(endpoint, headers=[("x-ms-max-item-count", size)])
            attacker.refused(f"page of {size[:20]}", endpoint, content, [200, 400])
    devices = Endpoint("hub", "GET", "/devices")
    for top in ("0", "-1", "abc", "9" * 5000, "%D9%A3", "%C2%B2", "1e3", ""):
        target = f"/devices?top={top}&api-version=2021-04-12"
        attacker.refused(f"top {top[:20]}", devices, attacker.request(devices, target=target), [200, 400])


def test_hosts(attacker: Attacker) -> None:
    """A name that nobody has means the default service; none at all, or two, is no HTTP."""
    endpoint = Endpoint("service", "GET", "/enrollments/{id}")
    for host in ("x" * 9000, "[", "]:", ":", "\xe9", "a b", "a:b:c", "[::1", "%00", "'"):
        attacker.refused(
            f"Host {host[:20]}", endpoint, attacker.request(endpoint, headers=[("Host", host)]), [200, 400]
        )
    two = attacker.request(endpoint, headers=[("Host", "a"), ("Host", "b")])
    attacker.refused("two Hosts", endpoint, two, [400])
    attacker.refused("no Host", endpoint, attacker.request(endpoint).replace(b"Host: ", b"X-Host: "), [400])


def test_upgrades_and_codings(attacker: Attacker) -> None:
    get = Endpoint("service", "GET", "/enrollments/{id}")
    put = Endpoint("service", "PUT", "/enrollments/{id}", ENROLLMENT)
    upgrades = {
        "h2c": [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
        "unknown": [("Connection", "Upgrade"), ("Upgrade", "x" * 1000)],
        "websocket": [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
    }
    for label, headers in upgrades.items():
        attacker.refused(label, get, attacker.request(get, headers=headers), [200, 400, 404, 426])
        attacker.refused(label, put, attacker.request(put, headers=headers), [400, 409, 501])
    for coding in ("gzip", "chunked, gzip", "identity", "chunked\x0b", "x"):
        content = attacker.request(put, headers=[("Transfer-Encoding", coding)])
        attacker.refused(f"coding {coding!r}", put, content, [400, 501])
    smuggled = attacker.request(put, headers=[("Transfer-Encoding", "chunked"), ("Content-Length", "4")])
    attacker.refused("both lengths", put, smuggled, [400])
    attacker.refused(
        "two lengths", put, attacker.request(put, headers=[("Content-Length", "1"), ("Content-Length", "2")]), [400]
    )
    for length in ("-1", "1e3", "0x10", "", "\xb2", "1 1", "9" * 100):
        content = attacker.request(put, headers=[("Content-Length", length)])
        attacker.refused(f"length {length[:20]!r}", put, content, [400, 413])


def test_memory_stays_bounded(attacked: ServerProcess, attacker: Attacker) -> None:
    """Of what is sent, no more is kept than the limits of the requests that are under way."""
    endpoint = Endpoint("service", "PUT", "/enrollments/{id}", ENROLLMENT)
    largest = attacker.request(endpoint, body=b" " * endpoint.limit)
    too_large = attacker.request(endpoint, body=b" " * (endpoint.limit + 1))
    headers = attacker.request(endpoint, headers=[(f"X-{number}", "x" * 100) for number in range(1000)])
    deep = attacker.request(endpoint, body=b"[" * 60_000)
    for content in (largest, too_large, headers, deep):
        attacker.refused("warm-up", endpoint, content, [400, 413, 431])
    before = resident(attacked)
    for _ in range(40):
        for content in (largest, too_large, headers, deep):
            attacker.refused("flood", endpoint, content, [400, 413, 431])
    unfinished = [RawClient(attacked.ready) for _ in range(100)]
    for each in unfinished:
        each.connect().sendall(attacker.request(endpoint, authorization="x", body=b" " * 100_000)[:-1])
    attacker.refused("beside them", endpoint, deep, [400])
    grown = resident(attacked) - before
    for each in unfinished:
        each.close()
    assert grown < 40 * KIBIBYTE, f"{grown} KiB"


def resident(server: ServerProcess) -> int:
    """KiB."""
    (line,) = [
        line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if line.startswith("VmRSS:")
    ]
    return int(line.split()[1])
