"""Owns the one batched read behind every verb: enrollment, registration, operation, and the service as of then.
It must not judge what it reads."""

from __future__ import annotations

from typing import Final

import msgspec

from idscope.attestation import Candidates, GroupCandidate
from idscope.directory import Directory, ProvisioningService
from idscope.errors import IdScopeNotFound
from idscope.records import (
    GroupRecord,
    IndividualRecord,
    RegistrationRecord,
    read_enrollment,
    read_group,
    read_registration,
    symmetric_keys,
)
from idscope.security.sealing import Sealer
from idscope.storage import (
    EnrollmentGroupRow,
    EnrollmentRow,
    Key,
    OperationRow,
    ProvisioningServiceRow,
    RegistrationRow,
    Store,
)

_PAGE: Final = 500


class Groups(msgspec.Struct, frozen=True):
    """The enrollment groups of one service at one revision, by key, and those that attest by symmetric key."""

    revision: int
    records: dict[str, GroupRecord]
    symmetric: tuple[GroupCandidate, ...]


class Context(msgspec.Struct, frozen=True):
    """What stood in the store at one instant; `groups` are read only where no individual enrollment decides."""

    service: ProvisioningService
    enrollment: IndividualRecord | None
    registration: RegistrationRecord | None
    operation: OperationRow | None
    groups: Groups | None

    def candidates(self) -> Candidates:
        """The part of it from which a claim is judged: the group of an existing registration is asked first."""
        record = self.enrollment
        if record is not None:
            keys = symmetric_keys(record.enrollment)
            return Candidates(self.service.service_id, record.enrollment, record.etag, keys)
        groups = () if self.groups is None else self.groups.symmetric
        last = None if self.registration is None else self.registration.group_id
        if last is not None:
            groups = tuple(sorted(groups, key=lambda candidate: candidate.group_key != last.lower()))
        return Candidates(self.service.service_id, None, groups=groups)

    def deciding(self, group_key: str | None) -> IndividualRecord | GroupRecord | None:
        """The enrollment that decides about a device now: its individual one, else the group that it entered by."""
        if self.enrollment is not None or group_key is None or self.groups is None:
            return self.enrollment
        return self.groups.records.get(group_key)


class ContextReader:
    """Reads contexts; the service and the groups in them are never older than what was read beside them."""

    def __init__(self, store: Store, sealer: Sealer, directory: Directory) -> None:
        self._store = store
        self._sealer = sealer
        self._directory = directory
        self._groups: dict[str, Groups] = {}

    def service(self, id_scope: str) -> ProvisioningService:
        """Raises IdScopeNotFound."""
        service = self._directory.snapshot.service_by_id_scope(id_scope)
        if service is None:
            raise IdScopeNotFound(reason=f"no provisioning service here has the id scope {id_scope[:100]!r}")
        return service

    async def read(self, service_id: str, registration_key: str) -> Context:
        """Raises StoreUnavailable, CannotOpen, IdScopeNotFound."""
        key = (service_id, registration_key)
        enrollment, registration, operation, service = await self._store.fetch(
            (
                Key(EnrollmentRow, key),
                Key(RegistrationRow, key),
                Key(OperationRow, key),
                Key(ProvisioningServiceRow, (service_id,)),
            )
        )
        revision = 0 if service is None else service.revision
        await self._directory.as_of(service_id, revision)
        return Context(
            self.service(service_id),
            None if enrollment is None else read_enrollment(enrollment, self._sealer),
            None if registration is None else read_registration(registration),
            operation,
            await self._groups_as_of(service_id, revision) if enrollment is None else None,
        )

    async def _groups_as_of(self, service_id: str, revision: int) -> Groups:
        known = self._groups.get(service_id)
        if known is None or known.revision < revision:
            known = self._groups[service_id] = await self._read_groups(service_id, revision)
        return known

    async def _read_groups(self, service_id: str, revision: int) -> Groups:
        records: dict[str, GroupRecord] = {}
        after: tuple[str] | None = None
        while True:
            rows = await self._store.page(EnrollmentGroupRow, (service_id,), after, _PAGE)
            records |= {row.group_key: read_group(row, self._sealer) for row in rows}
            if len(rows) < _PAGE:
                break
            after = (rows[-1].group_key,)
        symmetric = tuple(
            GroupCandidate(key, record.enrollment, record.etag, symmetric_keys(record.enrollment))
            for key, record in records.items()
            if record.enrollment.attestation.type == "symmetricKey"
        )
        return Groups(revision, records, symmetric)
