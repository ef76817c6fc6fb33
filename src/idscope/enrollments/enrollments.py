"""Owns the use cases over one individual enrollment, and listing them. It must not know HTTP, nor how a device
proves itself."""

from __future__ import annotations

import msgspec

from idscope.clock import Clock, next_time
from idscope.enrollments.attestation import completed, thumbprints
from idscope.enrollments.checks import check_enrollment
from idscope.enrollments.query import Page, check_query, write_continuation
from idscope.errors import EnrollmentExists, EnrollmentNotFound, InvalidArgument, PreconditionFailed
from idscope.model.document import UNSET
from idscope.model.enrollment import IndividualEnrollment
from idscope.model.etag import ABSENT, PRESENT, Absent, Expectation, Matches, new_etag
from idscope.model.registration_id import registration_key
from idscope.records import (
    EnrollmentRecord,
    RegistrationRecord,
    enrollment_row,
    read_enrollment,
    read_registration,
)
from idscope.security.sealing import Sealer
from idscope.storage import (
    CertificateThumbprintRow,
    Delete,
    EnrollmentRow,
    ExpectationFailed,
    Key,
    OperationRow,
    Put,
    RegistrationRow,
    Store,
    Unit,
    Write,
)


class Enrollments:
    """Individual enrollments of all services of this server; every method names the service by its id."""

    def __init__(self, store: Store, sealer: Sealer, clock: Clock) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock

    async def get(self, service_id: str, registration_id: str) -> tuple[EnrollmentRecord, RegistrationRecord | None]:
        """The enrollment and its registration. Raises EnrollmentNotFound."""
        key = (service_id, registration_key(registration_id))
        enrollment, registration = await self._store.fetch((Key(EnrollmentRow, key), Key(RegistrationRow, key)))
        if enrollment is None:
            raise EnrollmentNotFound
        return (
            read_enrollment(enrollment, self._sealer),
            None if registration is None else read_registration(registration),
        )

    async def put(
        self, service_id: str, asked: IndividualEnrollment, expect: Expectation | None, *, path_id: str | None = None
    ) -> EnrollmentRecord:
        """Create or update. `expect` None means that nothing may be there yet.

        Raises InvalidArgument and its kin, EnrollmentExists, PreconditionFailed.
        """
        key = check_enrollment(asked, path_id)
        expect = ABSENT if expect is None else expect
        while True:
            stored = await self._stored(service_id, key)
            _check_expectation(stored, expect)
            record = self._record(key, asked, stored)
            try:
                await self._store.commit(self._put_unit(service_id, record, stored))
            except ExpectationFailed as failed:
                if failed.index == 0:
                    continue  # somebody else wrote it between our read and our write: look again, and say so
                raise InvalidArgument("The certificate is in use by another enrollment.") from None
            return record

    async def delete(self, service_id: str, registration_id: str, expect: Expectation | None) -> None:
        """Remove the enrollment and its registration record. Raises EnrollmentNotFound, PreconditionFailed."""
        key = registration_key(registration_id)
        expect = PRESENT if expect is None else expect
        while True:
            stored = await self._stored(service_id, key)
            if stored is None:
                raise EnrollmentNotFound
            _check_expectation(stored, expect)
            row_key = (service_id, key)
            writes: list[Write] = [
                Delete(Key(EnrollmentRow, row_key), Matches(stored.etag)),
                Delete(Key(RegistrationRow, row_key)),
                Delete(Key(OperationRow, row_key)),
            ]
            writes += [
                Delete(Key(CertificateThumbprintRow, (service_id, thumbprint)))
                for thumbprint in sorted(thumbprints(stored.enrollment.attestation))
            ]
            try:
                await self._store.commit(Unit(tuple(writes)))
            except ExpectationFailed:
                continue
            return

    async def query(self, service_id: str, query: str, after: str | None, size: int) -> Page:
        """A page of up to `size` enrollments behind the registration key `after`. Raises InvalidArgument."""
        check_query(query)
        rows = await self._store.page(EnrollmentRow, (service_id,), None if after is None else (after,), size + 1)
        records = [read_enrollment(row, self._sealer) for row in rows[:size]]
        more = len(rows) > size
        return Page(records, write_continuation(records[-1].registration_key) if more else None)

    async def _stored(self, service_id: str, key: str) -> EnrollmentRecord | None:
        (row,) = await self._store.fetch((Key(EnrollmentRow, (service_id, key)),))
        return None if row is None else read_enrollment(row, self._sealer)

    def _record(self, key: str, asked: IndividualEnrollment, stored: EnrollmentRecord | None) -> EnrollmentRecord:
        """What is asked, whole: absent members are dropped, the first spelling of the id stays."""
        now = next_time(self._clock.now(), None if stored is None else stored.updated)
        before = None if stored is None else stored.enrollment
        enrollment = msgspec.structs.replace(
            asked,
            registration_id=asked.registration_id if before is None else before.registration_id,
            attestation=completed(asked.attestation, None if before is None else before.attestation),
            provisioning_status="enabled" if asked.provisioning_status is UNSET else asked.provisioning_status,
            registration_state=UNSET,
            etag=UNSET,
            created_date_time_utc=UNSET,
            last_updated_date_time_utc=UNSET,
        )
        return EnrollmentRecord(enrollment, key, new_etag(now), now if stored is None else stored.created, now)

    def _put_unit(self, service_id: str, record: EnrollmentRecord, stored: EnrollmentRecord | None) -> Unit:
        """The row first, so that index 0 is its expectation; then the thumbprints that come and go."""
        before = frozenset[str]() if stored is None else thumbprints(stored.enrollment.attestation)
        after = thumbprints(record.enrollment.attestation)
        expect = ABSENT if stored is None else Matches(stored.etag)
        writes: list[Write] = [Put(enrollment_row(service_id, record, self._sealer), expect)]
        writes += [Delete(Key(CertificateThumbprintRow, (service_id, gone))) for gone in sorted(before - after)]
        writes += [
            Put(
                CertificateThumbprintRow(
                    service_id=service_id, thumbprint=new, owner=f"enrollment/{record.registration_key}"
                ),
                ABSENT,
            )
            for new in sorted(after - before)
        ]
        return Unit(tuple(writes))


def _check_expectation(stored: EnrollmentRecord | None, expect: Expectation) -> None:
    if isinstance(expect, Absent) and stored is not None:
        raise EnrollmentExists
    if isinstance(expect, Matches) and (stored is None or stored.etag != expect.etag):
        raise PreconditionFailed
    if expect == PRESENT and stored is None:
        raise PreconditionFailed("Precondition failed: there is no such enrollment.")
