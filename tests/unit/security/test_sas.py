"""Shared access signatures in every spelling that real clients use, checked against tokens made here a second time."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idscope.clock import MICROSECONDS
from idscope.secret import Secret
from idscope.security.sas import SasRefused, check_expiry, parse_sas, signed_with

KEY = base64.b64encode(bytes(range(64))).decode()
SECRET = Secret(KEY)
EXPIRY = 1_795_292_554


def signature(resource: str) -> str:
    mac = hmac.new(base64.b64decode(KEY), f"{resource}\n{EXPIRY}".encode(), hashlib.sha256).digest()
    return base64.b64encode(mac).decode()


def upper(text: str) -> str:
    return quote(text, safe="")


def lower(text: str) -> str:
    """C writes its escapes in lower case."""
    return "".join(part if not part.startswith("%") else part.lower() for part in _parts(upper(text)))


def _parts(text: str):
    index = 0
    while index < len(text):
        length = 3 if text[index] == "%" else 1
        yield text[index : index + length]
        index += length


SPELLINGS = {
    # SDK: (sr, escapes of sig, members in order)
    "Python": ("0neX%2Fregistrations%2Fid", upper, "sr={sr}&sig={sig}&se={se}"),
    "Node": ("0neX/registrations/id", upper, "sr={sr}&sig={sig}&skn=registration&se={se}"),
    "C": ("0neX%2fregistrations%2fid", lower, "sr={sr}&sig={sig}&se={se}&skn=registration"),
    "Java": ("0neX/registrations/id", upper, "sr={sr}&sig={sig}&se={se}&skn="),
    "Rust": ("0nex%2fregistrations%2fid", upper, "sr={sr}&sig={sig}&se={se}&skn=registration"),
    "older Python service": ("h.net", lambda text: quote(text, safe="/"), "sr={sr}&sig={sig}&se={se}&skn=owner"),
}


@pytest.mark.parametrize("client", SPELLINGS)
def test_the_spelling_of(client):
    resource, escape, members = SPELLINGS[client]
    text = "SharedAccessSignature " + members.format(sr=resource, sig=escape(signature(resource)), se=EXPIRY)
    token = parse_sas(text)
    assert signed_with(token, SECRET)
    assert token.expiry == EXPIRY
    assert token.resource.lower() in {"0nex/registrations/id", "h.net"}


def test_a_signature_is_over_the_text_as_sent():
    resource = "0neX%2Fregistrations%2Fid"
    text = f"SharedAccessSignature sr=0neX/registrations/id&sig={upper(signature(resource))}&se={EXPIRY}"
    assert not signed_with(parse_sas(text), SECRET)


@pytest.mark.parametrize("key", ["", "AAAA", base64.b64encode(b"x" * 15).decode(), "not Base64!", KEY[:-4]])
def test_another_short_or_empty_key_signs_nothing(key):
    resource = "h"
    mac = hmac.new(b"", f"{resource}\n{EXPIRY}".encode(), hashlib.sha256).digest()
    for sig in (signature(resource), base64.b64encode(mac).decode()):
        token = parse_sas(f"SharedAccessSignature sr={resource}&sig={upper(sig)}&se={EXPIRY}")
        assert not signed_with(token, Secret(key))


@pytest.mark.parametrize(("late", "words"), [(-3600, ""), (0, ""), (300, ""), (301, "5 min 1 s"), (86400, "1 d")])
def test_five_minutes_of_clock_skew(late, words):
    token = parse_sas(f"SharedAccessSignature sr=h&sig=x&se={EXPIRY}")
    now = (EXPIRY + late) * MICROSECONDS
    if not words:
        check_expiry(token, now)
    else:
        with pytest.raises(SasRefused, match=f"expired {words} ago, allowed skew 5 min, server time 2026-11-2"):
            check_expiry(token, now)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SharedAccessSignature",
        "SharedAccessSignature  ",
        "Bearer sr=a&sig=b&se=1",
        "SharedAccessSignature sr=a&sig=b&se=1 extra",
        "SharedAccessSignature sr=a&sig=b",
        "SharedAccessSignature sr=a&se=1",
        "SharedAccessSignature sr=&sig=b&se=1",
        "SharedAccessSignature sr=a&sr=b&sig=c&se=1",
        "SharedAccessSignature sr=a&SR=b&sig=c&se=1",
        "SharedAccessSignature sr=a&sig=b&se=1&skn",
        "SharedAccessSignature sr=a&sig=b&se=-1",
        "SharedAccessSignature sr=a&sig=b&se=1e9",
        "SharedAccessSignature sr=a&sig=b&se=\u0661",
        "SharedAccessSignature sr=a&sig=b&se=9999999999999",
        "SharedAccessSignature sr=a&sig=b&se=1&skn=" + "n" * 257,
        "SharedAccessSignature sr=" + "a" * 5000 + "&sig=b&se=1",
    ],
)
def test_what_is_no_token(text):
    with pytest.raises(SasRefused):
        parse_sas(text)


values = st.text(max_size=20) | st.integers(0, 10**10).map(str)
like_tokens = st.tuples(st.permutations(["sr", "sig", "se", "skn"]), st.lists(values, min_size=3, max_size=4)).map(
    lambda drawn: "SharedAccessSignature " + "&".join(f"{name}={value}" for name, value in zip(*drawn, strict=False))
)


@given(st.text(max_size=200) | like_tokens)
def test_any_text_is_a_token_or_refused_and_never_signed(text):
    try:
        token = parse_sas(text)
    except SasRefused:
        return
    assert not signed_with(token, SECRET)


@given(st.text(max_size=80))
def test_any_signature_is_read_without_failing(text):
    try:
        token = parse_sas(f"SharedAccessSignature sr=a&sig={text}&se=1")
    except SasRefused:
        return
    assert not signed_with(token, SECRET)


def test_a_refusal_and_a_token_show_no_signature():
    token = parse_sas(f"SharedAccessSignature sr=h&sig={upper(signature('h'))}&se={EXPIRY}")
    assert signature("h")[:10] not in repr(token)
