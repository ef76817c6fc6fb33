"""Secrets are compared in constant time: no other comparison of one stands in the source, and each credential that is
judged goes through `hmac.compare_digest` whole."""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from secret_comparisons import comparisons

import idscope
from idscope.access import authenticate_admin
from idscope.errors import Unauthorized
from idscope.registration.operation_id import OperationIds
from idscope.secret import Secret
from idscope.testing.application import ID_SCOPE, Application, sas_token

SOURCE = Path(idscope.__file__).parent
KEY = base64.b64encode(b"k" * 32).decode()

# What the search must find, and what it must leave alone.
BAD = {
    "revealed": "def f(a, b):\n    return a.reveal() == b",
    "revealed on the right": "def f(a, b):\n    return b != a.reveal()",
    "made of it": "def f(a, b):\n    return base64.b64decode(a.reveal()) == b",
    "through names": "def f(a, b):\n    x = a.reveal()\n    y = x.encode()\n    return b == y",
    "in a list": "def f(a, b):\n    return b in [a.reveal()]",
    "in a loop": "def f(a, b):\n    for x in [one.reveal() for one in a]:\n        if x == b:\n            return True",
    "a mac": "def f(a, b):\n    return hmac.new(a, b, 'sha256').digest() == b",
    "a mac with a name": "def f(a, b):\n    mac = hmac.digest(a, b, 'sha256').hex()\n    return mac == b",
    "a beginning": "def f(a, b):\n    return a.reveal().startswith(b)",
    "as an argument": "def f(a, b):\n    return b.endswith(a.reveal())",
    "a match": "def f(a, b):\n    match a.reveal():\n        case 'x':\n            return True",
    "a walrus": "def f(a, b):\n    if (x := a.reveal()) and x == b:\n        return True",
}
GOOD = {
    "compare_digest": "def f(a, b):\n    return hmac.compare_digest(a.reveal(), b)",
    "both secrets": "def f(a, b):\n    return Secret(b) == a",
    "its length": "def f(a):\n    x = base64.b64decode(a.reveal())\n    return len(x) < 16 or len(x) == 0",
    "something else": "def f(a, b):\n    x = a.reveal()\n    return b == 'x'",
    "the result": "def f(a, b):\n    return compare_digest(a.reveal(), b) == True",
}


@pytest.mark.parametrize("name", BAD)
def test_the_search_finds_a_comparison(name: str) -> None:
    assert comparisons(BAD[name])


@pytest.mark.parametrize("name", GOOD)
def test_the_search_leaves_alone_what_is_none(name: str) -> None:
    assert not comparisons(GOOD[name])


def test_no_secret_is_compared_in_the_source() -> None:
    modules = sorted(path for path in SOURCE.rglob("*.py") if "testing" not in path.parts)
    assert len(modules) > 150
    found = [
        f"{module.relative_to(SOURCE)}:{line}" for module in modules for line in comparisons(module.read_text("utf-8"))
    ]
    assert not found


# The comparisons that are made


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[set[bytes]]:
    """Both sides of each."""
    seen: list[set[bytes]] = []
    real = hmac.compare_digest

    def watched(one: Any, other: Any) -> bool:
        seen.append({side.encode() if isinstance(side, str) else side for side in (one, other)})
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    return seen


def signature(token: str) -> bytes:
    return base64.b64decode(unquote(token.partition("&sig=")[2].partition("&")[0]))


def test_secrets_compare_whole(compared: list[set[bytes]]) -> None:
    assert Secret("one") != Secret("two")
    assert Secret("one") == Secret("one")
    assert Secret("one") != "one"
    assert compared == [{b"one", b"two"}, {b"one"}]


@pytest.mark.parametrize("path", ["service", "hub", "device"])
def test_a_tokens_signature_is_compared_whole(path: str, compared: list[set[bytes]]) -> None:
    """Of one that is almost right, too."""
    wrong = base64.b64encode(secrets.token_bytes(32)).decode()
    make: dict[str, tuple[str, Callable[[int], str]]] = {
        "service": (
            "/enrollments/device?api-version=2021-10-01",
            lambda expiry: sas_token("127.0.0.1", wrong, expiry, "provisioningserviceowner"),
        ),
        "hub": (
            "/devices/device?api-version=2021-04-12",
            lambda expiry: sas_token("127.0.0.1", wrong, expiry, "iothubowner"),
        ),
        "device": (
            f"/{ID_SCOPE}/registrations/device/operations/4.0.0?api-version=2021-06-01",
            lambda expiry: sas_token(f"{ID_SCOPE}/registrations/device", wrong, expiry),
        ),
    }
    target, token_until = make[path]

    async def inside() -> tuple[int, str]:
        async with Application() as app:
            await app.enroll("device")
            token = token_until(app.expiry)
            compared.clear()
            return (await app.request("GET", target, authorization=token)).status, token

    status, token = asyncio.run(inside())
    assert status == 401
    against = [sides - {signature(token)} for sides in compared if signature(token) in sides]
    assert len(against) >= 2  # the primary and the secondary key, and whatever else may explain it
    assert all(len(*sides) == 32 for sides in against)


def test_the_operators_token_is_compared_whole(compared: list[set[bytes]]) -> None:
    with pytest.raises(Unauthorized):
        authenticate_admin("Bearer almost-righT", Secret("almost-right"))
    assert {b"almost-righT", b"almost-right"} in compared


def test_an_operation_id_is_compared_whole(compared: list[set[bytes]]) -> None:
    ids = OperationIds(b"k" * 32)
    guid = ids.new_guid()
    genuine = ids.text(ID_SCOPE, "device", guid).split(".")[1]
    assert ids.guid_of(f"4.{'0' * 16}.{guid}", ID_SCOPE, "device") is None
    assert {b"0" * 16, genuine.encode()} in compared
