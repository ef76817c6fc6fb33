"""Owns the use cases over registration records, as the service API sees them. It must not make or change one."""

from __future__ import annotations

from idscope.enrollments.query import REGISTRATIONS, Page, find_page, parse_query
from idscope.errors import EnrollmentGroupNotFound, PreconditionFailed, RegistrationNotFound
from idscope.model.etag import Expectation, Matches
from idscope.model.registration_id import registration_key
from idscope.records import RegistrationRecord, read_registration
from idscope.storage import (
    And,
    Column,
    Compare,
    Delete,
    EnrollmentGroupRow,
    ExpectationFailed,
    Key,
    OperationRow,
    RegistrationRow,
    Search,
    Store,
    Unit,
)


class RegistrationStates:
    """The registration records of all services of this server."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, service_id: str, registration_id: str) -> RegistrationRecord:
        """Raises RegistrationNotFound."""
        key = (service_id, registration_key(registration_id))
        (row,) = await self._store.fetch((Key(RegistrationRow, key),))
        if row is None:
            raise RegistrationNotFound
        return read_registration(row)

    async def delete(self, service_id: str, registration_id: str, expect: Expectation | None) -> None:
        """Forget the record and what is under way; the device stays at its hub.

        Raises RegistrationNotFound, PreconditionFailed.
        """
        key = (service_id, registration_key(registration_id))
        while True:
            stored = await self.get(service_id, registration_id)
            if isinstance(expect, Matches) and stored.etag != expect.etag:
                raise PreconditionFailed
            deletes = (Delete(Key(RegistrationRow, key), Matches(stored.etag)), Delete(Key(OperationRow, key)))
            try:
                await self._store.commit(Unit(deletes))
            except ExpectationFailed:
                continue  # the device registered meanwhile
            return

    async def of_group(
        self, service_id: str, enrollment_group_id: str, query: str, continuation: str | None, size: int
    ) -> Page[RegistrationRecord]:
        """A page of up to `size` records of one group; those of a deleted group stay listed.

        Raises InvalidArgument, and EnrollmentGroupNotFound where there is neither the group nor a record of it.
        """
        key = registration_key(enrollment_group_id)
        asked = parse_query(query, REGISTRATIONS)
        of_group = Compare(Column("enrollment_group_key"), "=", key)
        condition = of_group if asked is None else And((of_group, asked))
        search = Search(kind=RegistrationRow, service_id=service_id, condition=condition)
        page = await find_page(self._store, search, continuation, size)
        if not page.records and continuation is None:
            await self._require_group(service_id, key)
        return Page([read_registration(row) for row in page.records], page.continuation)

    async def _require_group(self, service_id: str, key: str) -> None:
        (group,) = await self._store.fetch((Key(EnrollmentGroupRow, (service_id, key)),))
        if group is not None:
            return
        order = RegistrationRow.BY_GROUP
        if not await self._store.page(RegistrationRow, (service_id, key), None, 1, order=order):
            raise EnrollmentGroupNotFound
