"""Owns how log lines look and where they go: one stream, for people or as JSON, with no secret in them.
It must not know who logs what."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO, TypeAlias

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from idscope.secret import STARS

Format: TypeAlias = Literal["auto", "human", "json"]

# Credentials as they stand in tokens, connection strings, headers and documents. `Secret` prints stars by itself; this
# is the second belt, for what a library or an exception quotes.
_CREDENTIALS: Final = (
    re.compile(r"(SharedAccessSignature[\s=]+)[^\s\"']+", re.IGNORECASE),
    re.compile(r"(\bsig=|SharedAccessKey=|\bBearer\s+)[^\s;&\"',]+", re.IGNORECASE),
    re.compile(r"([\"'](?:primary|secondary)_?key\\?[\"']\s*:\s*\\?[\"'])[^\"'\\]+", re.IGNORECASE),
)
_DEEPEST: Final = 6


def configure_logging(log_format: Format, level: str, worker: int | None = None, stream: TextIO | None = None) -> None:
    """Send structlog's and every library's lines to the stream (standard error); a forked worker calls it again."""
    stream = stream or sys.stderr
    human = log_format == "human" or (log_format == "auto" and stream.isatty())
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _worker_number(worker),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *before],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                mask_credentials,
                *_renderer(stream, human=human),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    _route_libraries()
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def mask_credentials(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Stars in the place of every credential in every text of the line."""
    return {name: masked(value) for name, value in event.items()}


def masked(value: Any, depth: int = 0) -> Any:
    """The value as it may be logged; what is no plain value is written out first."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {str(name): masked(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [masked(each, depth + 1) for each in value]
    text = str(value)
    for credential in _CREDENTIALS:
        text = credential.sub(rf"\g<1>{STARS}", text)
    return text


def _renderer(stream: TextIO, *, human: bool) -> tuple[Processor, ...]:
    if human:
        # the plain traceback: a prettier one would show local variables, secrets among them
        plain = structlog.dev.plain_traceback
        return (structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain),)
    return (structlog.processors.JSONRenderer(),)


def _worker_number(worker: int | None) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if worker is not None:
            event["worker"] = worker
        return event

    return add


def _route_libraries() -> None:
    """Loggers that a library gave handlers of its own write through ours instead."""
    logging.captureWarnings(True)
    for name in ("asyncio", "py.warnings"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
