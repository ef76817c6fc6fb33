"""Finding a row: case, slashes, escapes, missing ids, wrong methods, and that no two APIs claim one path. It must not
know what a row does."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idscope.errors import InvalidArgument, MethodNotAllowed, RouteNotFound
from idscope.frontends.http.control_plane_api import CONTROL_PLANE_OPERATIONS
from idscope.frontends.http.device_api import DEVICE_OPERATIONS
from idscope.frontends.http.hub_api import HUB_OPERATIONS
from idscope.frontends.http.operations import Api, Operation
from idscope.frontends.http.routes import Match, Routes
from idscope.frontends.http.service_api import NAMED_SERVICE_OPERATIONS, SERVICE_OPERATIONS
from idscope.testing.application import ID_SCOPE, Application, Response

TABLES: dict[Api, tuple[Operation, ...]] = {
    Api.DEVICE: DEVICE_OPERATIONS,
    Api.SERVICE: SERVICE_OPERATIONS,
    Api.HUB: HUB_OPERATIONS,
    Api.CONTROL_PLANE: CONTROL_PLANE_OPERATIONS,
    Api.NAMED_SERVICE: NAMED_SERVICE_OPERATIONS,
}
ALL = tuple(row for rows in TABLES.values() for row in rows)
ROUTES = Routes(ALL)
METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY")
id_scopes = st.text("0123456789ABCDEFabcdef", min_size=8, max_size=8).map(lambda text: f"0ne{text}")
words = sorted({part for row in ALL for part in row.path.split("/")[1:] if not part.startswith("{")})
segments = st.one_of(st.sampled_from(words), st.text("abcXYZ0189-._:%~!$", min_size=1, max_size=12))


def concrete(row: Operation, values: dict[str, str]) -> str:
    path = row.path
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def names(row: Operation) -> list[str]:
    return [part.strip("{}") for part in row.path.split("/") if part.startswith("{")]


def outcome(routes: Routes, method: str, path: str) -> str | Operation:
    try:
        return routes.find(method, path).operation
    except (RouteNotFound, MethodNotAllowed, InvalidArgument) as error:
        return type(error).__name__


def found(method: str, path: str) -> Match:
    return ROUTES.find(method, path)


@st.composite
def served(draw: st.DrawFn) -> tuple[str, str]:
    """Method and path of a row."""
    row = draw(st.sampled_from(ALL))
    return row.method, concrete(row, {name: draw(id_scopes if name == "idScope" else segments) for name in names(row)})


paths = st.tuples(st.one_of(id_scopes, st.sampled_from(words)), st.lists(segments, max_size=6)).map(
    lambda drawn: "/" + "/".join([drawn[0], *drawn[1]])
)


@given(served() | st.tuples(st.sampled_from(METHODS), paths))
def test_no_path_belongs_to_two_apis(asked: tuple[str, str]) -> None:
    """The first segment decides: a fixed word, or an id scope, which is none of the fixed words."""
    method, path = asked
    claiming = {
        api
        for api, rows in TABLES.items()
        if outcome(Routes(rows), method, path) != "RouteNotFound" and (api is not Api.DEVICE or path.startswith("/0ne"))
    }
    assert len(claiming) <= 1
    together = outcome(ROUTES, method, path)
    if isinstance(together, Operation):
        assert claiming == {together.api}
        assert ROUTES.api_of(path) is together.api


def test_no_fixed_first_word_looks_like_an_id_scope_and_two_apis_share_none() -> None:
    firsts = {api: {row.path.split("/")[1].lower() for row in rows} for api, rows in TABLES.items()}
    assert firsts.pop(Api.DEVICE) == {"{idscope}"}
    assert not set.intersection(*firsts.values())
    assert not any(first.startswith(("0ne", "{")) for words_ in firsts.values() for first in words_)
    clash = Operation(
        operation_id="x",
        api=Api.HUB,
        method="GET",
        path="/enrollments",
        handler=ALL[0].handler,
        responses={},
        summary="",
    )
    with pytest.raises(ValueError, match="share"):
        Routes((*ALL, clash))


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.operation_id)
def test_fixed_segments_in_any_case_with_and_without_a_trailing_slash(row: Operation) -> None:
    values = {name: f"Id-{index}" for index, name in enumerate(names(row))}
    template = "/".join(part if part.startswith("{") else part.swapcase() for part in row.path.split("/"))
    for path in (row.path, template, row.path + "/", template + "/"):
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", value)  # noqa: PLW2901
        match = found(row.method, path)
        assert match.operation is row
        assert match.path == values  # ids keep their case


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.operation_id)
def test_a_known_path_with_another_method_says_which_are_allowed(row: Operation) -> None:
    path = concrete(row, dict.fromkeys(names(row), "x"))
    # `/enrollments/query` is also an enrollment of that name, for the methods that an enrollment has.
    allowed = {method for method in METHODS if isinstance(outcome(ROUTES, method, path), Operation)}
    assert row.method in allowed
    for method in set(METHODS) - allowed:
        with pytest.raises(MethodNotAllowed) as refused:
            found(method, path)
        assert refused.value.allowed == tuple(sorted(allowed))
        assert refused.value.status == 405


# One slash at the end is ignored, so that a list without its id is the list.
# quirk: Node's hub SDK lists devices with `GET /devices/?…`.
LISTS = {
    ("GET", "/devices/"),
    (
        "GET",
        "/subscriptions/x/resourceGroups/x/providers/Microsoft.Devices/provisioningServices/x/certificates/",
    ),
}


@pytest.mark.parametrize("row", [row for row in ALL if names(row)], ids=lambda row: row.operation_id)
def test_a_missing_id_is_405(row: Operation) -> None:
    for missing in names(row):
        path = concrete(row, {**dict.fromkeys(names(row), "x"), missing: ""})
        if (row.method, path) in LISTS:
            assert isinstance(outcome(ROUTES, row.method, path), Operation), path
        else:
            assert outcome(ROUTES, row.method, path) == "MethodNotAllowed", path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/enrollments"),
        ("PUT", "/enrollments/"),
        ("GET", "/enrollments"),
        ("DELETE", "/enrollments/"),
        ("POST", "/enrollments//attestationmechanism"),
        ("PUT", f"/{ID_SCOPE}/registrations//register"),
        ("PUT", "//registrations/x/register"),
        ("POST", f"/{ID_SCOPE}/registrations"),
        ("POST", f"/{ID_SCOPE}/registrations/"),
        ("GET", f"/{ID_SCOPE}/registrations/x/operations"),
        ("GET", f"/{ID_SCOPE}/registrations/x/operations/"),
        ("GET", "/twins"),
        ("GET", "/twins/"),
    ],
)
def test_an_id_that_is_left_out_at_the_end_or_between_is_405(method: str, path: str) -> None:
    assert outcome(ROUTES, method, path) == "MethodNotAllowed"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "//",
        "/nothing",
        "/enrollments/x/y",
        "/enrollments/x/attestationmechanism/y",
        "/openapi/device/x.json",
        "*",
        f"/{ID_SCOPE}",
        f"/{ID_SCOPE}/x",
        f"/{ID_SCOPE}/registrations/x/y",
        f"/{ID_SCOPE}/registrations/x/register/y",
        "/healthz",
        "/admin/status",
    ],
)
def test_what_no_row_has_is_404(path: str) -> None:
    assert outcome(ROUTES, "GET", path) == "RouteNotFound"


@pytest.mark.parametrize(
    ("segment", "decoded"),
    [
        ("a%3Ab", "a:b"),
        ("a%3ab", "a:b"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("%25", "%"),
        ("a%C3%A9", "aé"),
        ("a+b", "a+b"),
        ("a%", "a%"),
        ("a%zz", "a%zz"),
        ("%2e%2e", ".."),
        ("a%00", "a\x00"),
    ],
)
def test_ids_are_percent_decoded_once(segment: str, decoded: str) -> None:
    assert found("GET", f"/enrollments/{segment}").path == {"id": decoded}


@given(st.text(min_size=1, max_size=30))
def test_whatever_is_escaped_comes_out_as_it_was(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    path = f"/{ID_SCOPE}/registrations/{quote(text, safe='')}/register"
    assert found("PUT", path).path == {"idScope": ID_SCOPE, "registrationId": text}


@pytest.mark.parametrize("segment", ["%ff", "a%c3", "%ed%a0%80", "%c0%af"])
def test_bad_utf8_in_an_id_is_an_invalid_argument(segment: str) -> None:
    assert outcome(ROUTES, "GET", f"/enrollments/{segment}") == "InvalidArgument"


@given(st.text(st.characters(codec="latin-1"), max_size=60), st.sampled_from(METHODS))
def test_whatever_is_asked_for_is_found_or_refused(path: str, method: str) -> None:
    outcome(ROUTES, method, f"/{path}")


def ask(method: str, target: str, body: Any = None, **headers: str) -> Response:
    async def run() -> Response:
        async with Application() as app:
            await app.enroll("x")
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await app.request(method, target, body, named, authorization=app.service_token())

    return asyncio.run(run())


VERSION = "api-version=2021-10-01"


def test_a_wrong_method_is_answered_with_allow_and_the_catalogues_json() -> None:
    answer = ask("PATCH", f"/enrollments/x?{VERSION}")
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, PUT")
    assert answer.json()["errorCode"] == int(answer.headers["x-ms-error-code"]) == 405000
    missing = ask("PUT", f"/enrollments/?{VERSION}")
    assert (missing.status, missing.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ENROLLMENTS/X", 200),
        ("GET", "/enrollments/x/", 200),
        ("GET", "/enrollments/%78", 200),
        ("POST", "/Enrollments/x/AttestationMechanism", 200),
        ("GET", "/enrollments/a%2Fb", 400),
        ("GET", "/enrollments/a%2578", 400),
        ("GET", "/enrollments/%ff", 400),
        ("GET", "/nothing", 404),
    ],
)
def test_paths_as_clients_write_them(method: str, path: str, status: int) -> None:
    answer = ask(method, f"{path}?{VERSION}")
    assert answer.status == status
    assert answer.json()


def test_the_api_version_is_found_in_any_case_and_place() -> None:
    for query in (
        VERSION,
        "API-Version=2021-10-01",
        f"x=1&{VERSION}",
        f"{VERSION}&{VERSION}",
        "api-version=2021%2D10-01",
    ):
        assert ask("GET", f"/enrollments/x?{query}").status == 200


@pytest.mark.parametrize("query", [VERSION + "&a=%ff", "&".join(f"a{n}=1" for n in range(40)) + f"&{VERSION}"])
def test_a_query_that_cannot_be_read_is_400(query: str) -> None:
    answer = ask("GET", f"/enrollments/x?{query}")
    assert (answer.status, answer.json()["errorCode"]) == (400, 400004)


def test_lenient_requests() -> None:
    assert ask("GET", f"/enrollments/x?{VERSION}", b"{}").status == 200  # Node sends a body with its GET
    assert ask("GET", f"/enrollments/x?{VERSION}", b"no json", content_type="text/plain").status == 200
    assert ask("POST", f"/enrollments/x/attestationmechanism?{VERSION}").status == 200
    query = {"query": "SELECT *"}
    for headers in (
        {"content_encoding": "utf-8"},
        {"content_type": "application/json"},
        {"content_type": "APPLICATION/JSON;charset=UTF-8"},
        {"content_type": ""},
    ):
        assert ask("POST", f"/enrollments/query?{VERSION}", query, **headers).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_another_content_type_is_415_where_a_body_must_be_read(kind: str) -> None:
    answer = ask("POST", f"/enrollments/query?{VERSION}", {"query": "SELECT *"}, content_type=kind)
    assert (answer.status, answer.json()["errorCode"]) == (415, 415000)


def test_an_error_on_a_hubs_path_is_told_in_a_hubs_words() -> None:
    for method, path in (("PATCH", "/devices/x"), ("GET", "/twins"), ("GET", "/devices/x/y/z")):
        answer = ask(method, f"{path}?{VERSION}")
        assert set(answer.json()) == {"Message", "ExceptionMessage"}
        assert answer.headers["iothub-errorcode"]
        assert "x-ms-error-code" not in answer.headers
