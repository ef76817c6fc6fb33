"""Owns the use cases over enrollments of one kind: create or update, get, delete, list. It must not know HTTP, nor
how a device proves itself, nor in what the kinds differ (that is the table in kinds.py)."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from idscope.clock import Clock, next_time
from idscope.enrollments.attestation import completed
from idscope.enrollments.checks import check_enrollment
from idscope.enrollments.kinds import Kind
from idscope.enrollments.query import Page, find_page, parse_query
from idscope.errors import InvalidArgument, PreconditionFailed
from idscope.model.document import UNSET
from idscope.model.enrollment import EnrollmentGroup, IndividualEnrollment
from idscope.model.etag import ABSENT, PRESENT, Absent, Expectation, Matches, new_etag
from idscope.model.registration_id import registration_key
from idscope.records import EnrollmentRecord, RegistrationRecord, read_registration
from idscope.security.sealing import Sealer
from idscope.storage import (
    CertificateThumbprintRow,
    Delete,
    ExpectationFailed,
    Key,
    Put,
    RegistrationRow,
    Store,
    Unit,
    Write,
)

E = TypeVar("E", IndividualEnrollment, EnrollmentGroup)


class Enrollments(Generic[E]):
    """The enrollments of one kind, of all services of this server; every method names the service by its id."""

    def __init__(self, kind: Kind[E], store: Store, sealer: Sealer, clock: Clock) -> None:
        self.kind: Kind[E] = kind
        self._store = store
        self._sealer = sealer
        self._clock = clock

    async def get(self, service_id: str, enrollment_id: str) -> EnrollmentRecord[E]:
        """Raises EnrollmentNotFound, EnrollmentGroupNotFound."""
        stored = await self._stored(service_id, registration_key(enrollment_id))
        if stored is None:
            raise self.kind.not_found
        return stored

    async def get_with_registration(
        self, service_id: str, enrollment_id: str
    ) -> tuple[EnrollmentRecord[E], RegistrationRecord | None]:
        """The enrollment and the registration of the same id, as of one instant. Raises as `get` does."""
        key = (service_id, registration_key(enrollment_id))
        enrollment, registration = await self._store.fetch((Key(self.kind.row, key), Key(RegistrationRow, key)))
        if enrollment is None:
            raise self.kind.not_found
        return (
            self.kind.read(enrollment, self._sealer),
            None if registration is None else read_registration(registration),
        )

    async def put(
        self, service_id: str, asked: E, expect: Expectation | None, *, path_id: str | None = None
    ) -> EnrollmentRecord[E]:
        """Create or update. `expect` None means that nothing may be there yet.

        Raises InvalidArgument and its kin, EnrollmentExists, EnrollmentGroupExists, PreconditionFailed.
        """
        key = check_enrollment(self.kind, asked, path_id)
        expect = ABSENT if expect is None else expect
        while True:
            stored = await self._stored(service_id, key)
            self._check_expectation(stored, expect)
            record = self._record(key, asked, stored)
            try:
                await self._store.commit(self._put_unit(service_id, record, stored))
            except ExpectationFailed as failed:
                if failed.index == 0:
                    continue  # somebody else wrote it between our read and our write: look again, and say so
                raise InvalidArgument("The certificate is in use by another enrollment.") from None
            return record

    async def delete(self, service_id: str, enrollment_id: str, expect: Expectation | None) -> None:
        """Remove the enrollment with what goes with it. Raises as `get` does, and PreconditionFailed."""
        key = registration_key(enrollment_id)
        expect = PRESENT if expect is None else expect
        while True:
            stored = await self._stored(service_id, key)
            if stored is None:
                raise self.kind.not_found
            self._check_expectation(stored, expect)
            try:
                await self._store.commit(self._delete_unit(service_id, stored))
            except ExpectationFailed:
                continue
            return

    async def query(
        self, service_id: str, query: str, continuation: str | None, size: int
    ) -> Page[EnrollmentRecord[E]]:
        """A page of up to `size` enrollments, the first one without a continuation. Raises InvalidArgument."""
        collection = self.kind.collection
        search = collection.search(service_id, parse_query(query, collection))
        page = await find_page(self._store, search, continuation, size)
        return Page([self.kind.read(row, self._sealer) for row in page.records], page.continuation)

    async def _stored(self, service_id: str, key: str) -> EnrollmentRecord[E] | None:
        (row,) = await self._store.fetch((Key(self.kind.row, (service_id, key)),))
        return None if row is None else self.kind.read(row, self._sealer)

    def _check_expectation(self, stored: EnrollmentRecord[E] | None, expect: Expectation) -> None:
        if isinstance(expect, Absent) and stored is not None:
            raise self.kind.exists
        if isinstance(expect, Matches) and (stored is None or stored.etag != expect.etag):
            raise PreconditionFailed
        if expect == PRESENT and stored is None:
            raise PreconditionFailed("Precondition failed: there is no such enrollment.")

    def _record(self, key: str, asked: E, stored: EnrollmentRecord[E] | None) -> EnrollmentRecord[E]:
        """What is asked, whole: absent members are dropped, the first spelling of the id stays."""
        now = next_time(self._clock.now(), None if stored is None else stored.updated)
        spelling = self.kind.id_of(asked if stored is None else stored.enrollment)
        enrollment = msgspec.structs.replace(
            asked,
            **{self.kind.id_member: spelling},
            attestation=completed(asked.attestation, None if stored is None else stored.enrollment.attestation),
            provisioning_status="enabled" if asked.provisioning_status is UNSET else asked.provisioning_status,
            etag=UNSET,
            created_date_time_utc=UNSET,
            last_updated_date_time_utc=UNSET,
        )
        if isinstance(enrollment, IndividualEnrollment):
            enrollment = msgspec.structs.replace(enrollment, registration_state=UNSET)
        return EnrollmentRecord(enrollment, key, new_etag(now), now if stored is None else stored.created, now)

    def _put_unit(self, service_id: str, record: EnrollmentRecord[E], stored: EnrollmentRecord[E] | None) -> Unit:
        """The row first, so that index 0 is its expectation; then the thumbprints that come and go."""
        before = frozenset[str]() if stored is None else self.kind.thumbprints(stored.enrollment.attestation)
        after = self.kind.thumbprints(record.enrollment.attestation)
        row = self.kind.write(service_id, record, self._sealer)
        writes: list[Write] = [Put(row, ABSENT if stored is None else Matches(stored.etag))]
        writes += [Delete(Key(CertificateThumbprintRow, (service_id, gone))) for gone in sorted(before - after)]
        owner = f"{self.kind.owner}/{record.key}"
        writes += [
            Put(CertificateThumbprintRow(service_id=service_id, thumbprint=new, owner=owner), ABSENT)
            for new in sorted(after - before)
        ]
        return Unit(tuple(writes))

    def _delete_unit(self, service_id: str, stored: EnrollmentRecord[E]) -> Unit:
        key = (service_id, stored.key)
        writes: list[Write] = [Delete(Key(self.kind.row, key), Matches(stored.etag))]
        writes += [Delete(Key(row, key)) for row in self.kind.goes_with_it]
        thumbprints = sorted(self.kind.thumbprints(stored.enrollment.attestation))
        writes += [Delete(Key(CertificateThumbprintRow, (service_id, thumbprint))) for thumbprint in thumbprints]
        return Unit(tuple(writes))
