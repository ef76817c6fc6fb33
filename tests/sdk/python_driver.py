"""Owns one process that holds Microsoft's unmodified Python SDKs and does with them what the tests ask.

One JSON line in (id, operation, arguments), one JSON line out (id and result or error); it must not know what a test
expects, and runs in the SDKs' own environment, without idscope.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from azure.core.exceptions import HttpResponseError
from msrest.exceptions import HttpOperationError

Document = dict[str, Any]

AT_ONCE = 16

_output = threading.Lock()


def _operation(name: str) -> Any:
    """`device.register` is the function `register` of python_sdks.device; an SDK is loaded when first asked for."""
    module, function = name.split(".")
    return getattr(importlib.import_module(f"python_sdks.{module}"), function)


def _causes(error: BaseException | None) -> Any:
    """The error and what the SDK says it came from, in whichever way it says so."""
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__


def _described(error: Exception) -> Document:
    description: Document = {
        "name": type(error).__name__,
        "message": " <- ".join(str(cause) for cause in _causes(error)),
        "status": None,
        "body": None,
    }
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if isinstance(cause, HttpResponseError) and response is not None:
            description |= {"status": response.status_code, "body": response.text()}
        elif isinstance(cause, HttpOperationError) and response is not None:
            description |= {"status": response.status_code, "body": response.text}
    return description


def _answer(line: str) -> None:
    request = json.loads(line)
    answer: Document = {"id": request["id"]}
    try:
        answer["result"] = _operation(request["operation"])(**request["arguments"])
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what the test wants to see
        answer["error"] = _described(error)
    with _output:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    pool = ThreadPoolExecutor(AT_ONCE)
    for line in sys.stdin:
        pool.submit(_answer, line)
    # A client that was refused stays connected, with threads that nobody ends.
    os._exit(0)


if __name__ == "__main__":
    main()
