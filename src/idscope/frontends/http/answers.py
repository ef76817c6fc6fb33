"""Owns what every HTTP answer has, and the one place where an error becomes an answer.
It must not know which operation was asked for."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from idscope.clock import format_time
from idscope.errors import (
    ControlPlaneError,
    HubError,
    IdscopeError,
    MethodNotAllowed,
    TpmChallenged,
    UnsupportedWebSocketVersion,
)
from idscope.model.ca_certificate import ErrorDetails
from idscope.model.document import UNSET, encode
from idscope.model.guid import new_ordered_guid
from idscope.model.registration import ProvisioningServiceErrorDetails, TpmChallengeDetails

CONTENT_TYPE_JSON: Final = (b"content-type", b"application/json; charset=utf-8")
_NO_CONTENT: Final = 204
STRICT_TRANSPORT_SECURITY: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


# RFC 6455, 4.4, and RFC 9110, 15.5.22
_UPGRADE_TO: Final = ((b"sec-websocket-version", b"13"), (b"upgrade", b"websocket"), (b"connection", b"Upgrade"))


class Answer(msgspec.Struct, frozen=True):
    """What goes out: `body` is JSON, or empty; `headers` are those of this answer only."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _HubErrorBody(msgspec.Struct, frozen=True):
    message: str = msgspec.field(name="Message")
    exception_message: str = msgspec.field(name="ExceptionMessage")


class Wording(Enum):
    """Whose form and words an error is told in."""

    PROVISIONING = "provisioning"
    HUB = "hub"
    CONTROL_PLANE = "control plane"


def new_tracking_id() -> str:
    """Ordered, because attempts are found by it: among random ones keeping an attempt would cost 15 µs more, not 2."""
    return new_ordered_guid()


# The hub's code words for what happens before a hub is asked.
_HUB_WORDS: Final = {
    400: "ArgumentInvalid",
    401: "IotHubUnauthorizedAccess",
    404: "ResourceNotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    413: "MessageTooLarge",
    415: "UnsupportedMediaType",
    429: "ThrottlingException",
    503: "ServiceUnavailable",
}


# The control plane's, likewise: names of HTTP status codes as .NET spells them.
_CONTROL_PLANE_WORDS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    503: "ServiceUnavailable",
}


def error_answer(error: IdscopeError, tracking_id: str, now: int, *, wording: Wording = Wording.PROVISIONING) -> Answer:
    """The error in the catalogue's JSON with its code as a header; in another form where another API was meant."""
    if wording is Wording.CONTROL_PLANE or isinstance(error, ControlPlaneError):
        header, body = _control_plane_error(error, tracking_id)
    elif wording is Wording.HUB or isinstance(error, HubError):
        header, body = _hub_error(error, tracking_id, now)
    else:
        header, body = _provisioning_error(error, tracking_id, now)
    headers = [header]
    if isinstance(error, MethodNotAllowed) and error.allowed:
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    elif isinstance(error, UnsupportedWebSocketVersion):
        headers += _UPGRADE_TO
    elif error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    return Answer(error.status, body, tuple(headers))


def error_body(error: IdscopeError, tracking_id: str, now: int) -> bytes:
    """The error in the catalogue's JSON, the same on every wire; never empty, never a null."""
    details = ProvisioningServiceErrorDetails(
        error_code=error.error_code,
        tracking_id=tracking_id,
        message=error.message,
        info=UNSET if error.info is None else dict(error.info),
        timestamp_utc=format_time(now),
    )
    if isinstance(error, TpmChallenged):
        details = TpmChallengeDetails(
            **msgspec.structs.asdict(details), authentication_key=error.authentication_key, key_name=error.key_name
        )
    return encode(details)


def _provisioning_error(error: IdscopeError, tracking_id: str, now: int) -> tuple[tuple[bytes, bytes], bytes]:
    return (b"x-ms-error-code", str(error.error_code).encode()), error_body(error, tracking_id, now)


def _hub_error(error: IdscopeError, tracking_id: str, now: int) -> tuple[tuple[bytes, bytes], bytes]:
    word = error.code_word if isinstance(error, HubError) else _HUB_WORDS.get(error.status, "ServerError")
    body = _HubErrorBody(
        f"ErrorCode:{word};{error.message}",
        f"Tracking ID:{tracking_id.replace('-', '')}-TimeStamp:{_hub_time(now)}",
    )
    return (b"iothub-errorcode", word.encode()), encode(body)


def _control_plane_error(error: IdscopeError, tracking_id: str) -> tuple[tuple[bytes, bytes], bytes]:
    """The correlation identifier stands in the message, as in the real service's: clients show nothing else."""
    named = error.code_word if isinstance(error, ControlPlaneError) else None
    word = named or _CONTROL_PLANE_WORDS.get(error.status, "InternalServerError")
    message = f"{error.message} (correlation identifier: {tracking_id})"
    body = ErrorDetails(code=error.error_code, http_status_code=word, message=message, details="")
    return (b"x-ms-error-code", str(error.error_code).encode()), encode(body)


def _hub_time(now: int) -> str:
    """`07/07/2021 20:45:26`, as hubs write it (observed)."""
    text = format_time(now)
    return f"{text[5:7]}/{text[8:10]}/{text[:4]} {text[11:19]}"


def completed(answer: Answer, tracking_id: str) -> Answer:
    """The answer with the headers that every answer has."""
    headers = (STRICT_TRANSPORT_SECURITY, (b"x-ms-request-id", tracking_id.encode()), *answer.headers)
    if answer.body:
        headers = (*headers, CONTENT_TYPE_JSON)
    if answer.status != _NO_CONTENT:
        headers = (*headers, (b"content-length", str(len(answer.body)).encode()))
    return Answer(answer.status, answer.body, headers)
