"""Owns a second provisioning service on a stopped server, which only one that is written into its store can be today.
It must not know what is done with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from idscope.app.bootstrap import OWNER_POLICY, SERVICE_RIGHTS
from idscope.app.data_directory import DataDirectory
from idscope.clock import SystemClock
from idscope.directory import AccessPolicy
from idscope.directory.documents import ServiceDocument, policy_row, service_owner, service_row
from idscope.model.etag import ABSENT
from idscope.security.keys import new_symmetric_key
from idscope.settings import Settings
from idscope.storage import Put, Unit
from idscope.storage.sql import open_store


def add_service(data: Path, id_scope: str, host_name: str) -> str:
    """The connection string of its owner."""
    policy = AccessPolicy(OWNER_POLICY, SERVICE_RIGHTS, new_symmetric_key(), new_symmetric_key())
    asyncio.run(_write(data, id_scope, host_name, policy))
    return f"HostName={host_name};SharedAccessKeyName={policy.name};SharedAccessKey={policy.primary_key.reveal()}"


async def _write(data: Path, id_scope: str, host_name: str, policy: AccessPolicy) -> None:
    directory, now = DataDirectory(data), SystemClock().now()
    sealer = directory.load_sealer(Settings())
    document = ServiceDocument(name="second", host_names=(host_name,), created=now)
    rows = (
        service_row(id_scope, document, now),
        policy_row(id_scope, service_owner(id_scope), policy, sealer, now),
    )
    store = open_store(directory.database)
    try:
        await store.commit(Unit.of(*(Put(row, ABSENT) for row in rows)))
    finally:
        await store.close()
