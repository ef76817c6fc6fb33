"""Owns the start and the end of the whole server: ground first, then workers, then what a person is told.
It must not know what a worker serves."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import structlog
import uvloop

from idscope.app.banner import Started, remove_ready_file, tell, write_ready_file
from idscope.app.bootstrap import HUB_OWNER_POLICY, OWNER_POLICY, connection_string, ensure_state
from idscope.app.data_directory import DataDirectory, DataDirectoryUnusable
from idscope.app.endpoints import HTTPS_PORT, Endpoints, advice, choose_endpoints
from idscope.app.ground import Ground
from idscope.app.logging import configure_logging
from idscope.app.server import Server
from idscope.app.server_certificate import ServerCertificate
from idscope.app.supervisor import Worker, run_workers
from idscope.certificate_authority import AuthorityUnusable, OperatorFilesUnusable
from idscope.clock import Clock, SystemClock
from idscope.directory import AccessPolicy, Directory, Snapshot
from idscope.errors import IdscopeError
from idscope.frontends.listener import CannotListen
from idscope.frontends.tls_context import UnusableCertificateFile
from idscope.security.sealing import CannotOpen, Sealer
from idscope.settings import Bootstrap, Origin, Settings
from idscope.storage.sql import CannotOpenStore, open_store

_log = structlog.get_logger("idscope")

_FAILED: Final = 1
_OBJECTS_BETWEEN_COLLECTIONS: Final = 10_000  # a connection makes a few hundred, most of which need no collector
_GRACE_SECONDS: Final = 2.0
"""Beyond the time for what was accepted: for the last bytes of connections that are cut, and for closing the store."""


def run(settings: Settings, bootstrap: Bootstrap, origins: Mapping[str, Origin]) -> int:
    """Serve until told to stop; the exit code. What keeps the server from starting is said in one clear sentence."""
    configure_logging(settings.log_format, settings.log_level)
    if origins["hub_host_names"].source == "default":
        # A hub that nobody named has the server's own name, also where that moves to another address.
        settings = msgspec.structs.replace(settings, hub_host_names=())
    directory = DataDirectory(settings.data_directory)
    clock = SystemClock(settings.test_clock_shift)
    try:
        directory.prepare()
        sealer = directory.load_sealer(settings)
        endpoints = choose_endpoints(settings, origins, socket.gethostname())
        snapshot = uvloop.run(_first_state(directory, settings, bootstrap, sealer, clock, endpoints))
        hub_names = [name for hub in snapshot.hubs for name in hub.host_names]
        certificate = ServerCertificate(settings, directory, endpoints, hub_names)
        certificate.context()  # what cannot be used is said now, not by each worker
        ground = Ground(settings, endpoints, certificate, sealer, directory.admin_token(), clock, directory.control)
    except CannotListen as problem:
        return _cannot_start(advice(problem))
    except CannotOpen as problem:
        return _cannot_start(
            f"the secrets in {directory.database} cannot be read with {_sealing_key_place(settings, directory)} "
            f"({problem}): restore the key that belongs to this data directory"
        )
    except IdscopeError as problem:
        return _cannot_start(problem.reason or problem.message)
    except AuthorityUnusable as problem:
        return _cannot_start(f"in {directory.path}: {problem}")
    except (
        DataDirectoryUnusable,
        OperatorFilesUnusable,
        UnusableCertificateFile,
        CannotOpenStore,
    ) as problem:
        return _cannot_start(str(problem))
    _allow_many_files()
    started = _started(ground, directory, snapshot, certificate.files().ca)

    ready_files = [directory.description, *([] if settings.ready_file is None else [settings.ready_file])]

    def on_ready() -> None:
        for file in ready_files:
            write_ready_file(file, started)
        tell(started, sys.stdout, people=_for_people(settings))

    try:
        return run_workers(
            settings.workers,
            lambda worker: _run_worker(ground, directory, worker),
            drain_seconds=settings.drain_seconds + _GRACE_SECONDS,
            on_ready=on_ready,
        )
    finally:
        for file in ready_files:
            remove_ready_file(file)


def _cannot_start(problem: str) -> int:
    sys.stderr.write(f"idscope cannot start: {problem}\n")
    return _FAILED


def _sealing_key_place(settings: Settings, directory: DataDirectory) -> str:
    return "IDSCOPE_SEALING_KEY" if settings.sealing_key else str(directory.sealing_key_file)


def _for_people(settings: Settings) -> bool:
    return settings.log_format == "human" or (settings.log_format == "auto" and sys.stdout.isatty())


def _allow_many_files() -> None:
    """A connection is a file: take all that the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _first_state(
    directory: DataDirectory,
    settings: Settings,
    bootstrap: Bootstrap,
    sealer: Sealer,
    clock: Clock,
    endpoints: Endpoints,
) -> Snapshot:
    """Migrate the store and make what the first start needs, once, before any worker runs."""
    store = open_store(directory.database)
    try:
        await ensure_state(store, sealer, clock, bootstrap, settings.hub_host_names)
        return await Directory(store, sealer, endpoints.own_names).load()
    finally:
        await store.close()


def _started(ground: Ground, directory: DataDirectory, snapshot: Snapshot, ca_file: Path) -> Started:
    endpoints = ground.endpoints
    service, hub = snapshot.services[0], snapshot.hubs[0]
    port = "" if endpoints.https_port == HTTPS_PORT else f":{endpoints.https_port}"
    return Started(
        id_scope=service.service_id,
        host_name=endpoints.own_names[0],
        https_port=endpoints.https_port,
        mqtt_port=endpoints.mqtt_port,
        amqp_port=endpoints.amqp_port,
        hub_host_name=hub.host_names[0],
        ca_file=ca_file,
        service_connection_string=connection_string(
            endpoints.own_names[0] + port, _shown_policy(service.policies, OWNER_POLICY)
        ),
        hub_connection_string=connection_string(
            hub.host_names[0] + port, _shown_policy(hub.policies, HUB_OWNER_POLICY)
        ),
        operator_url=f"https://{endpoints.operator_address}:{endpoints.operator_port}",
        admin_token=ground.admin_token,
        admin_token_file=directory.admin_token_file,
        data_directory=directory.path,
        notes=endpoints.notes,
    )


def _shown_policy(policies: dict[str, AccessPolicy], name: str) -> AccessPolicy:
    return policies.get(name) or next(iter(policies.values()))


def _run_worker(ground: Ground, directory: DataDirectory, worker: Worker) -> int:
    settings = ground.settings
    if settings.workers > 1:
        configure_logging(settings.log_format, settings.log_level, worker.number)
    try:
        return uvloop.run(_serve(ground, directory, worker))
    except CannotListen as problem:
        return _cannot_start(advice(problem))


async def _serve(ground: Ground, directory: DataDirectory, worker: Worker) -> int:
    """Serve until a signal, then finish what was accepted; a second signal, or a disk that hangs, ends it at once."""
    loop = asyncio.get_running_loop()
    settings = ground.settings
    stop = asyncio.Event()

    def on_signal(which: signal.Signals) -> None:
        if stop.is_set():
            _log.warning("asked a second time: stopping hard", signal=which.name)
            _end_at_once(settings, 128 + which)
        _log.info("stopping", signal=which.name)
        stop.set()

    def give_up() -> None:
        _log.error("what was accepted could not be finished in time")
        _end_at_once(settings, _FAILED)

    for each in worker.stop_signals:
        loop.add_signal_handler(each, on_signal, each)
    server = Server(ground, open_store(directory.database))
    try:
        await server.start(share_ports=settings.workers > 1)
        _spare_the_collector()
        worker.ready()
        await stop.wait()
    finally:
        loop.call_later(settings.drain_seconds + _GRACE_SECONDS, give_up)
        await server.stop(settings.drain_seconds)
    return 0


def _spare_the_collector() -> None:
    """What was built to serve stays: it is not looked through again and again for what a request leaves behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])


def _end_at_once(settings: Settings, code: int) -> NoReturn:
    """Like a crash, which loses nothing acknowledged: a thread that waits for a disk cannot be asked to end."""
    if settings.workers == 1 and settings.ready_file is not None:
        remove_ready_file(settings.ready_file)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
