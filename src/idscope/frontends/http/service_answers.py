"""Owns what the answers of the service API share. It must not know any one resource."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from idscope.errors import InternalError
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.operations import Request
from idscope.model.document import encode_revealing

PAGING_REQUEST_HEADERS: Final = ("x-ms-max-item-count", "x-ms-continuation")
PAGING_RESPONSE_HEADERS: Final = ("x-ms-continuation", "x-ms-item-type")
_NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")


def service_id_of(request: Request) -> str:
    """The service that the router selected, by Host or by the path."""
    if request.service is None:
        raise InternalError(reason="the router selects a service for every row of the service API")
    return request.service.service_id


def service_answer(document: Any) -> Answer:
    return Answer(200, encode_revealing(document))


def page_answer(documents: Sequence[Any], item_type: str, continuation: str | None) -> Answer:
    """A bare array; the last page has no continuation (observed)."""
    headers = [(b"x-ms-item-type", item_type.encode()), _NO_SNIFF]
    if continuation is not None:
        headers.append((b"x-ms-continuation", continuation.encode()))
    return Answer(200, encode_revealing(documents), tuple(headers))
