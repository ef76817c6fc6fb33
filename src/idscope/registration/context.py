"""Owns the one batched read behind every verb: enrollment, registration, operation, and the service as of then.
It must not judge what it reads."""

from __future__ import annotations

import msgspec

from idscope.attestation import Candidates
from idscope.directory import Directory, ProvisioningService
from idscope.errors import IdScopeNotFound
from idscope.records import (
    EnrollmentRecord,
    RegistrationRecord,
    read_enrollment,
    read_registration,
    symmetric_keys,
)
from idscope.security.sealing import Sealer
from idscope.storage import EnrollmentRow, Key, OperationRow, ProvisioningServiceRow, RegistrationRow, Store


class Context(msgspec.Struct, frozen=True):
    """What stood in the store at one instant."""

    service: ProvisioningService
    enrollment: EnrollmentRecord | None
    registration: RegistrationRecord | None
    operation: OperationRow | None

    def candidates(self) -> Candidates:
        """The part of it from which a claim is judged."""
        record = self.enrollment
        if record is None:
            return Candidates(self.service.service_id, None)
        keys = symmetric_keys(record.enrollment)
        return Candidates(self.service.service_id, record.enrollment, record.etag, keys)


class ContextReader:
    """Reads contexts; the service in them is never older than what was read beside it."""

    def __init__(self, store: Store, sealer: Sealer, directory: Directory) -> None:
        self._store = store
        self._sealer = sealer
        self._directory = directory

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
        await self._directory.as_of(service_id, 0 if service is None else service.revision)
        return Context(
            self.service(service_id),
            None if enrollment is None else read_enrollment(enrollment, self._sealer),
            None if registration is None else read_registration(registration),
            operation,
        )
