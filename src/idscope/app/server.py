"""Owns one worker's server: everything built, wired, started and stopped in order. It must not hold a rule of its own.

Started bottom up: store, directory, hubs, use cases, front ends, listeners; stopped top down, so that what was
accepted is finished and nothing new comes in.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog

from idscope.app.bootstrap import server_key
from idscope.app.endpoints import Endpoints
from idscope.app.server_certificate import ServerCertificate
from idscope.certificate_authority import AuthorityUnusable, OperatorFilesUnusable
from idscope.clock import Clock
from idscope.directory import Directory, LinkedHub
from idscope.embedded_hub import BulkRegistry, Identities, Twins
from idscope.enrollments import GROUP, INDIVIDUAL, Enrollments, RegistrationStates
from idscope.errors import NoHubAvailable
from idscope.frontends.http.device_api import DEVICE_OPERATIONS, DeviceUseCases
from idscope.frontends.http.front_end import HttpFrontEnd, HttpLimits
from idscope.frontends.http.hub_api import HUB_OPERATIONS, HubUseCases
from idscope.frontends.http.operations import Api, Operation
from idscope.frontends.http.operator_api import OPERATOR_OPERATIONS, PLAIN_OPERATIONS, OperatorUseCases
from idscope.frontends.http.router import Router
from idscope.frontends.http.service_api import SERVICE_OPERATIONS, ServiceUseCases
from idscope.frontends.listener import Listener, ListenerLimits, bind_sockets
from idscope.frontends.tls_context import UnusableCertificateFile
from idscope.hubs.connector import HubConnector
from idscope.hubs.embedded import EmbeddedHubConnector
from idscope.registration import AttemptRecorder, OperationIds, RegistrationWorkflow, WorkflowSettings
from idscope.secret import Secret
from idscope.security.sealing import Sealer
from idscope.settings import Settings
from idscope.storage import Store

_log = structlog.get_logger(__name__)

PUBLIC_OPERATIONS: Final[tuple[Operation, ...]] = (*DEVICE_OPERATIONS, *SERVICE_OPERATIONS, *HUB_OPERATIONS)
_AZURE_RETRY_AFTER: Final = 3  # observed
_CERTIFICATE_CHECK_SECONDS: Final = 600.0


class Ground(msgspec.Struct, frozen=True):
    """What a worker stands on, made before it was forked."""

    settings: Settings
    endpoints: Endpoints
    certificate: ServerCertificate
    sealer: Sealer
    admin_token: Secret
    clock: Clock


class Server:
    """One worker's server over an open store, which it closes when it stops."""

    def __init__(self, ground: Ground, store: Store) -> None:
        self._ground = ground
        self._store = store
        self.directory = Directory(store, ground.sealer, ground.endpoints.own_names)
        self._identities = Identities(store, ground.sealer, ground.clock)
        self._workflow: RegistrationWorkflow | None = None
        self._listeners: list[Listener] = []
        self._chores: list[asyncio.Task[None]] = []

    async def start(self, *, share_ports: bool) -> None:
        """Raises StoreUnavailable, CannotOpen, CannotListen."""
        ground = self._ground
        await self.directory.load()
        self._workflow = workflow = await self._build_workflow()
        public = self._router(PUBLIC_OPERATIONS, self._public_use_cases(workflow))
        operator = self._router(OPERATOR_OPERATIONS, {Api.OPERATOR: self._operator_use_cases()})
        endpoints, settings = ground.endpoints, ground.settings
        for address in endpoints.addresses:
            await self._listen(public, address, endpoints.https_port, share_ports=share_ports)
        await self._listen(operator, endpoints.operator_address, endpoints.operator_port, share_ports=share_ports)
        if settings.operator_plain_port:
            plain = self._router(PLAIN_OPERATIONS, {Api.OPERATOR: self._operator_use_cases()})
            await self._listen(
                plain, endpoints.operator_address, settings.operator_plain_port, share_ports=share_ports, plain=True
            )
        loop = asyncio.get_running_loop()
        self._chores = [loop.create_task(workflow.recover_forever()), loop.create_task(self._keep_certificate_fresh())]

    async def stop(self, seconds: float) -> None:
        """Accept no more, finish what was accepted, within so many seconds; then close the store."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(listener.drain(seconds) for listener in self._listeners))
        if self._workflow is not None:
            await self._workflow.close(max(0.0, end - asyncio.get_running_loop().time()))
        await self._store.close()

    async def _keep_certificate_fresh(self) -> None:
        """New connections are shown a certificate that was renewed, by us or by the operator, since the start."""
        while True:
            await asyncio.sleep(_CERTIFICATE_CHECK_SECONDS)
            try:
                context = self._ground.certificate.renewed_context()
            except (AuthorityUnusable, OperatorFilesUnusable, UnusableCertificateFile, OSError) as problem:
                _log.error("the server certificate cannot be renewed", problem=str(problem))
                continue
            for listener in self._listeners:
                if context is not None and listener.context is not None:
                    listener.context = context

    async def _build_workflow(self) -> RegistrationWorkflow:
        ground, settings = self._ground, self._ground.settings
        attempts = AttemptRecorder(
            self._store, kept_per_id=settings.attempts_kept_per_id, kept_unknown=settings.attempts_kept_unknown
        )
        return RegistrationWorkflow(
            store=self._store,
            sealer=ground.sealer,
            directory=self.directory,
            connectors=self._connector,
            clock=ground.clock,
            attempts=attempts,
            operation_ids=OperationIds(await server_key(self._store, ground.sealer)),
            settings=WorkflowSettings(
                assign_wait=settings.assign_wait_seconds,
                azure_timing=settings.azure_timing,
                hub_limit=settings.hub_retry_limit_seconds,
            ),
        )

    def _connector(self, hub: LinkedHub) -> HubConnector:
        """The registry of connectors: one visible place where a hub's kind finds its implementation."""
        if hub.connector == "embedded":
            return EmbeddedHubConnector(hub.hub_id, hub.host_name, self._identities)
        raise NoHubAvailable(f"No connector is called {hub.connector!r}.", lasting=True)

    def _public_use_cases(self, workflow: RegistrationWorkflow) -> dict[Api, object]:
        ground, settings = self._ground, self._ground.settings
        twins = Twins(self._store, ground.clock)
        retry_after = _AZURE_RETRY_AFTER if settings.azure_timing else settings.retry_after_seconds
        return {
            Api.DEVICE: DeviceUseCases(workflow, retry_after),
            Api.SERVICE: self._service_use_cases(),
            Api.HUB: HubUseCases(self._identities, twins, BulkRegistry(self._identities, twins)),
        }

    def _service_use_cases(self) -> ServiceUseCases:
        kept = (self._store, self._ground.sealer, self._ground.clock)
        return ServiceUseCases(
            Enrollments(INDIVIDUAL, *kept), Enrollments(GROUP, *kept), RegistrationStates(self._store)
        )

    def _operator_use_cases(self) -> OperatorUseCases:
        clock = self._ground.clock
        return OperatorUseCases(
            self._store, self.directory, clock, PUBLIC_OPERATIONS + OPERATOR_OPERATIONS, clock.now()
        )

    def _router(self, operations: tuple[Operation, ...], use_cases: dict[Api, object]) -> Router:
        return Router(
            operations,
            use_cases,
            directory=self.directory,
            clock=self._ground.clock,
            admin_token=self._ground.admin_token,
            strict_api_versions=self._ground.settings.strict_api_versions,
        )

    async def _listen(self, app: Router, address: str, port: int, *, share_ports: bool, plain: bool = False) -> None:
        ground = self._ground
        front_end = HttpFrontEnd(app, clock=ground.clock, limits=_http_limits(ground.settings))
        context = None if plain else ground.certificate.context()
        listener = Listener(front_end.protocol_factory, context=context, limits=_listener_limits(ground.settings))
        self._listeners.append(listener)
        await listener.start(bind_sockets(address, port, reuse_port=share_ports))


def _http_limits(settings: Settings) -> HttpLimits:
    return HttpLimits(
        body_bytes=max(operation.body_limit for operation in PUBLIC_OPERATIONS),  # the router knows each row's own
        head_seconds=settings.header_seconds,
        body_seconds=settings.body_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
    )


def _listener_limits(settings: Settings) -> ListenerLimits:
    return ListenerLimits(
        connections=settings.max_connections,
        handshakes=settings.max_concurrent_handshakes,
        handshake_seconds=settings.handshake_seconds,
    )
