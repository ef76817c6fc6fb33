"""Owns one worker's server: started and stopped in order. It must not know what is served.

Started bottom up: store, directory, use cases, front ends, listeners; stopped top down, so that what was accepted is
finished and nothing new comes in.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from idscope.app.front_ends import FrontEnds, Place
from idscope.app.ground import Ground
from idscope.app.use_cases import UseCases
from idscope.certificate_authority import AuthorityUnusable, OperatorFilesUnusable
from idscope.directory import Directory
from idscope.frontends.listener import Listener, ListenerLimits, bind_sockets
from idscope.frontends.tls_context import UnusableCertificateFile
from idscope.settings import Settings
from idscope.storage import Store

_log = structlog.get_logger(__name__)

_CERTIFICATE_CHECK_SECONDS: Final = 600.0


class Server:
    """One worker's server over an open store, which it closes when it stops."""

    def __init__(self, ground: Ground, store: Store) -> None:
        self._ground = ground
        self._store = store
        self._directory = Directory(store, ground.sealer, ground.endpoints.own_names)
        self._use_cases: UseCases | None = None
        self._front_ends: FrontEnds | None = None
        self._listeners: list[Listener] = []
        self._chores: list[asyncio.Task[None]] = []

    async def start(self, *, share_ports: bool) -> None:
        """Raises StoreUnavailable, CannotOpen, CannotListen."""
        await self._directory.load()
        self._use_cases = use_cases = await UseCases.build(self._ground, self._store, self._directory)
        await use_cases.delivery.start()
        self._front_ends = FrontEnds(self._ground, self._store, self._directory, use_cases)
        for place in self._front_ends.places():
            await self._listen(place, share_ports=share_ports)
        loop = asyncio.get_running_loop()
        self._chores = [
            loop.create_task(use_cases.workflow.recover_forever()),
            loop.create_task(use_cases.delivery.tend_forever()),
            loop.create_task(self._keep_certificate_fresh()),
        ]

    async def stop(self, seconds: float) -> None:
        """Accept no more, finish what was accepted, within so many seconds; then close the store."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(listener.drain(seconds) for listener in self._listeners))
        if self._front_ends is not None:
            await self._front_ends.hub.close()
        if self._use_cases is not None:
            await self._use_cases.close(max(0.0, end - asyncio.get_running_loop().time()))
        await self._store.close()

    async def _listen(self, place: Place, *, share_ports: bool) -> None:
        context = None if place.plain else self._ground.certificate.context()
        listener = Listener(place.factory, context=context, limits=_listener_limits(self._ground.settings))
        self._listeners.append(listener)
        await listener.start(bind_sockets(place.address, place.port, reuse_port=share_ports))

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


def _listener_limits(settings: Settings) -> ListenerLimits:
    return ListenerLimits(
        connections=settings.max_connections,
        handshakes=settings.max_concurrent_handshakes,
        handshake_seconds=settings.handshake_seconds,
    )
