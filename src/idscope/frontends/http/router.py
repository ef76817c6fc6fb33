"""Owns the way of a request through the table: find the row, check the version, authorize, decode, call, answer.
It must not know what any row does; it is the one place where an error becomes an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog

from idscope.access import Caller, admit_service_caller, authenticate_admin
from idscope.clock import Clock
from idscope.directory import Directory, EmbeddedHub, ProvisioningService, Snapshot
from idscope.errors import (
    HubArgumentInvalid,
    HubUnauthorized,
    IdscopeError,
    InternalError,
    InvalidArgument,
    MalformedJson,
    RouteNotFound,
    Unauthorized,
    UnsupportedMediaType,
)
from idscope.frontends.http.answers import Answer, Wording, completed, error_answer, new_tracking_id
from idscope.frontends.http.incoming import ClientDisconnected, IncomingRequest
from idscope.frontends.http.operations import SERVICE_NAME, Api, Operation, Request
from idscope.frontends.http.routes import Match, Routes
from idscope.model.api_version import (
    CONTROL_PLANE_PUBLISHED,
    CURRENT,
    ApiVersion,
    check_published,
    parse_api_version,
)
from idscope.model.document import decode
from idscope.secret import Secret

_log = structlog.get_logger(__name__)

_WORDINGS: Final = {Api.HUB: Wording.HUB, Api.CONTROL_PLANE: Wording.CONTROL_PLANE}
_MAX_QUERY_FIELDS: Final = 32
_KNOWN_QUERIES: Final = 64  # clients of one kind send the same one again and again
_SECONDS_BETWEEN_WARNINGS: Final = 1.0


class Router:
    """The app of a front end, over some rows of the table.

    `use_cases` is what the handlers of each API get as their first argument.
    """

    def __init__(
        self,
        operations: tuple[Operation, ...],
        use_cases: Mapping[Api, Any],
        *,
        directory: Directory,
        clock: Clock,
        admin_token: Secret,
        strict_api_versions: bool = False,
    ) -> None:
        self._routes = Routes(operations)
        self._use_cases = use_cases
        self._directory = directory
        self._clock = clock
        self._admin_token = admin_token
        self._strict = strict_api_versions
        self._warn_after = clock.monotonic()

    async def __call__(self, incoming: IncomingRequest) -> Answer:
        """The whole answer. Raises ClientDisconnected where nobody waits for it."""
        tracking_id = new_tracking_id()
        path = incoming.raw_path.decode("latin-1")  # as it was sent, undecoded: each parameter is decoded by itself
        try:
            answer = await self._answer(incoming, path, tracking_id)
        except ClientDisconnected:
            raise
        except IdscopeError as error:
            self._note(error, tracking_id)
            answer = self._error_answer(error, path, tracking_id)
        except Exception:  # noqa: BLE001 - the one catch-all: nobody is left without an answer
            _log.exception("a request failed inside the server", tracking_id=tracking_id)
            answer = self._error_answer(InternalError(), path, tracking_id)
        return completed(answer, tracking_id)

    async def _answer(self, incoming: IncomingRequest, path: str, tracking_id: str) -> Answer:
        match = self._routes.find(incoming.method, path)
        operation = match.operation
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in incoming.headers}
        query = _query(incoming.query_string)
        version = self._api_version(operation.api, query.get("api-version"))
        host = _bare_host(headers.get("host", ""))
        service, hub, caller = self._authorize(match, host, headers.get("authorization"), path)
        body = await incoming.body(operation.body_limit)
        request = Request(
            operation=operation,
            path=match.path,
            query=query,
            headers=headers,
            api_version=version,
            tracking_id=tracking_id,
            host=host,
            peer=incoming.peer.address,
            body=_decoded(operation, body, headers.get("content-type")),
            chain=incoming.peer.chain,
            caller=caller,
            service=service,
            hub=hub,
        )
        return await operation.handler(self._use_cases[operation.api], request)

    def _api_version(self, api: Api, text: str | None) -> ApiVersion:
        if api is Api.OPERATOR:
            return CURRENT
        version = parse_api_version(text)
        if api in {Api.SERVICE, Api.NAMED_SERVICE} or (api is Api.DEVICE and self._strict):
            check_published(version)
        if api is Api.CONTROL_PLANE:
            check_published(version, CONTROL_PLANE_PUBLISHED)
        return version

    def _authorize(
        self, match: Match, host: str, authorization: str | None, path: str
    ) -> tuple[ProvisioningService | None, EmbeddedHub | None, Caller | None]:
        """Ask `access` once. Raises Unauthorized, RouteNotFound, HubUnauthorized, HubArgumentInvalid."""
        operation, snapshot, now = match.operation, self._directory.snapshot, self._clock.now()
        right = operation.right
        if operation.api is Api.SERVICE:
            service = snapshot.service_by_host(host)
            names = service.host_names
            return (
                service,
                None,
                admit_service_caller(authorization, service.policies, names, path, now, right, Unauthorized),
            )
        if operation.api is Api.HUB:
            hub = snapshot.hub_by_host(host)
            if hub is None:
                raise HubArgumentInvalid("This server has no embedded hub.")
            names = hub.host_names
            return (
                None,
                hub,
                admit_service_caller(authorization, hub.policies, names, path, now, right, HubUnauthorized),
            )
        if operation.api is Api.NAMED_SERVICE:
            caller = authenticate_admin(authorization, self._admin_token)
            return _service_named(snapshot, match.path[SERVICE_NAME]), None, caller
        if right is not None:
            return None, None, authenticate_admin(authorization, self._admin_token)
        return None, None, None

    def _note(self, error: IdscopeError, tracking_id: str) -> None:
        """What is the server's own trouble is for the operator; at most once a second, for a full disk fills a log."""
        now = self._clock.monotonic()
        tell = _log.debug
        if error.status >= 500 and now >= self._warn_after:
            self._warn_after = now + _SECONDS_BETWEEN_WARNINGS
            tell = _log.warning
        tell("refused", tracking_id=tracking_id, code=error.error_code, reason=error.reason or error.message)

    def _error_answer(self, error: IdscopeError, path: str, tracking_id: str) -> Answer:
        wording = _WORDINGS.get(self._routes.api_of(path), Wording.PROVISIONING)
        return error_answer(error, tracking_id, self._clock.now(), wording=wording)


def _service_named(snapshot: Snapshot, name: str) -> ProvisioningService:
    """Raises RouteNotFound."""
    service = snapshot.service_by_name(name)
    if service is None:
        raise RouteNotFound(snapshot.no_service_named(name))
    return service


@lru_cache(maxsize=_KNOWN_QUERIES)
def _query(query_string: bytes) -> Mapping[str, str]:
    """The first value of each name, not to be changed. Raises InvalidArgument."""
    try:
        pairs = parse_qsl(
            query_string.decode("utf-8"),
            keep_blank_values=True,
            max_num_fields=_MAX_QUERY_FIELDS,
            errors="strict",
        )
    except (UnicodeDecodeError, ValueError):
        raise InvalidArgument("The query string is not valid.") from None
    query: dict[str, str] = {}
    for name, value in pairs:
        query.setdefault(name.lower(), value)
    return query


def _bare_host(host: str) -> str:
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isdigit() else host
    return bare.strip("[]").lower()


def _decoded(operation: Operation, body: bytes, content_type: str | None) -> Any:
    """The document in the body, None where none was sent; the very bytes where the row wants those.

    Raises MalformedJson, InvalidArgument, UnsupportedMediaType.
    """
    if operation.request_type is None:
        return None
    if operation.request_type is bytes:
        return body
    if not body:
        if operation.body_required:
            raise MalformedJson("A request body is required.")
        return None
    if content_type and "json" not in content_type.partition(";")[0].lower():
        raise UnsupportedMediaType
    return decode(body, operation.request_type)
