"""Owns what an operator is told of a registration id or a trackingId: the attempts, what to do about each, and what
stands now. It must not judge again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from idscope.directory import Directory, ProvisioningService
from idscope.errors import RouteNotFound
from idscope.events import Attempt
from idscope.model.document import decode
from idscope.records import GroupRecord, IndividualRecord, RegistrationRecord
from idscope.registration.attempts import attempt_key
from idscope.registration.context import ContextReader
from idscope.storage import AttemptRow, Store

LARGEST_PAGE: Final = 100

Place = tuple[int, str]
"""Where a page ends: time and id of its last attempt."""


class Standing(msgspec.Struct, frozen=True):
    """What there is of a registration id now. `under_way`: it is being registered. `groups` may let it in."""

    enrollment: IndividualRecord | None
    registration: RegistrationRecord | None
    under_way: bool
    groups: tuple[GroupRecord, ...]


class Explanation(msgspec.Struct, frozen=True):
    """`attempts` newest first; `next_page` is None on the last page."""

    service: ProvisioningService
    attempts: tuple[Attempt, ...]
    next_page: Place | None
    standing: Standing


class Explanations:
    """Reads attempts, whether their id matched something or not."""

    def __init__(self, store: Store, contexts: ContextReader, directory: Directory) -> None:
        self._store = store
        self._contexts = contexts
        self._directory = directory

    async def of_registration(
        self, registration_id: str, service_name: str | None, before: Place | None, limit: int
    ) -> Explanation:
        """Raises RouteNotFound where no service has that name, StoreUnavailable, CannotOpen."""
        service = self._service(service_name)
        key = attempt_key(registration_id)
        limit = min(max(1, limit), LARGEST_PAGE)
        found = [
            row
            for service_id in (service.service_id, "")  # "": it named an id scope of nobody
            for row in await self._newest((service_id, key), before, limit + 1)
        ]
        found.sort(key=lambda row: (row.at, row.attempt_id), reverse=True)
        shown = found[:limit]
        next_page = (shown[-1].at, shown[-1].attempt_id) if len(found) > limit else None
        return Explanation(service, tuple(map(_read, shown)), next_page, await self._standing(service.service_id, key))

    async def of_attempt(self, attempt_id: str) -> tuple[Attempt, ...]:
        """The attempts under a trackingId: one, or none. Raises StoreUnavailable."""
        rows = await self._store.page(AttemptRow, (attempt_id.lower(),), None, 2, order=AttemptRow.BY_ATTEMPT_ID)
        return tuple(map(_read, rows))

    def service_name(self, service_id: str) -> str | None:
        service = self._directory.snapshot.service_by_id_scope(service_id)
        return None if service is None else service.name

    async def _newest(self, prefix: tuple[str, str], before: Place | None, limit: int) -> list[AttemptRow]:
        order = AttemptRow.BY_REGISTRATION
        return await self._store.page(AttemptRow, prefix, before, limit, order=order, backwards=True)

    async def _standing(self, service_id: str, key: str) -> Standing:
        context = await self._contexts.read(service_id, key, all_groups=True)
        groups = () if context.groups is None else tuple(context.groups.records.values())
        return Standing(context.enrollment, context.registration, context.operation is not None, groups)

    def _service(self, name: str | None) -> ProvisioningService:
        snapshot = self._directory.snapshot
        service = snapshot.services[0] if not name else snapshot.service_by_name(name)
        if service is None:
            raise RouteNotFound(f"There is no provisioning service {name!r} on this server.")
        return service


def _read(row: AttemptRow) -> Attempt:
    return decode(row.document, Attempt)
