"""Log lines: their two forms, libraries routed through, and no credential in any of them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from idscope.app.logging import Format, configure_logging, masked
from idscope.secret import Secret

SIGNATURE = "SharedAccessSignature sr=0ne00AB12CD%2Fregistrations%2Fd&sig=c2VjcmV0%3D&se=1&skn=registration"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_lines_hold_time_level_worker_and_fields() -> None:
    stream = io.StringIO()
    configure_logging("auto", "info", worker=3, stream=stream)
    structlog.get_logger("idscope.some").info("listening", port=443, key=Secret("hidden"))
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "listening",
        "level": "info",
        "logger": "idscope.some",
        "worker": 3,
        "port": 443,
        "key": "***",
    }


def test_a_terminal_gets_lines_for_people() -> None:
    stream = Terminal()
    configure_logging("auto", "info", stream=stream)
    structlog.get_logger("idscope.some").info("listening", port=443)
    assert "listening" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_the_level_holds_for_ours_and_for_libraries() -> None:
    stream = io.StringIO()
    configure_logging("json", "warning", stream=stream)
    structlog.get_logger("idscope.some").info("quiet")
    logging.getLogger("asyncio").info("quiet")
    assert stream.getvalue() == ""


def test_libraries_are_routed_through() -> None:
    logging.getLogger("asyncio").addHandler(logging.StreamHandler(io.StringIO()))
    stream = io.StringIO()
    configure_logging("json", "info", stream=stream)
    logging.getLogger("asyncio").warning("closed %s", "early", extra={"peer": "127.0.0.1"})
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"], line["peer"]) == (
        "closed early",
        "warning",
        "asyncio",
        "127.0.0.1",
    )


@pytest.mark.parametrize("log_format", ["json", "human"])
def test_an_exceptions_text_is_masked_and_its_variables_are_not_shown(log_format: Format) -> None:
    stream = io.StringIO()
    configure_logging(log_format, "info", stream=stream)
    try:
        refuse("".join(reversed("eulav-lacol-a")))
    except ValueError:
        structlog.get_logger("idscope.some").exception("failed")
    written = stream.getvalue()
    assert "ValueError: refused SharedAccessSignature ***" in written
    assert "c2VjcmV0" not in written
    assert "a-local-value" not in written


def refuse(key: str) -> None:
    assert key
    raise ValueError(f"refused {SIGNATURE}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SIGNATURE, "SharedAccessSignature ***"),
        ("?sr=a&sig=c2Vj&se=1", "?sr=a&sig=***&se=1"),
        (
            "HostName=127.0.0.1;SharedAccessKeyName=owner;SharedAccessKey=c2Vj",
            "HostName=127.0.0.1;SharedAccessKeyName=owner;SharedAccessKey=***",
        ),
        ("authorization: Bearer c2Vj", "authorization: Bearer ***"),
        ('{"primaryKey": "c2Vj", "x": 1}', '{"primaryKey": "***", "x": 1}'),
        ("{'secondary_key': 'c2Vj'}", "{'secondary_key': '***'}"),
        ("nothing to hide: design=1", "nothing to hide: design=1"),
        (["sig=c2Vj"], ["sig=***"]),
        ({"deep": {"token": "sig=c2Vj"}}, {"deep": {"token": "sig=***"}}),
        (b"sig=c2Vj;", "b'sig=***;'"),
        (7, 7),
        (None, None),
    ],
)
def test_credentials_are_masked(text: object, shown: object) -> None:
    assert masked(text) == shown
