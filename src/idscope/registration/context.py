"""Owns the one batched read behind every verb: enrollment, registration, operation, and the service as of then.
It must not judge what it reads."""

from __future__ import annotations

import hashlib
from typing import Final, TypeVar

import msgspec

from idscope.attestation import (
    NO_AUTHORITIES,
    AttestationRules,
    Authorities,
    CaCertificate,
    Candidates,
    GroupCandidate,
    TpmNonces,
    known_authorities,
)
from idscope.directory import Directory, ProvisioningService
from idscope.errors import IdScopeNotFound
from idscope.model.document import given
from idscope.records import (
    GroupRecord,
    IndividualRecord,
    RegistrationRecord,
    read_ca_certificate,
    read_enrollment,
    read_group,
    read_registration,
    symmetric_keys,
)
from idscope.registration.root_keys import ChallengedRootKeys
from idscope.security.sealing import Sealer
from idscope.storage import (
    CaCertificateRow,
    EnrollmentGroupRow,
    EnrollmentRow,
    Key,
    OperationRow,
    ProvisioningServiceRow,
    RegistrationRow,
    Row,
    Store,
    key_of,
)

_PAGE: Final = 500

R = TypeVar("R", bound=Row)


class Groups(msgspec.Struct, frozen=True):
    """The enrollment groups of one service at one revision, by key, those that attest by symmetric key, and what
    leads a certificate chain to the others."""

    revision: int
    records: dict[str, GroupRecord]
    symmetric: tuple[GroupCandidate, ...]
    authorities: Authorities


class Context(msgspec.Struct, frozen=True):
    """What stood in the store at one instant; `groups` are there only where they may matter (see `_needs_groups`)."""

    service: ProvisioningService
    enrollment: IndividualRecord | None
    registration: RegistrationRecord | None
    operation: OperationRow | None
    groups: Groups | None
    rules: AttestationRules
    nonces: TpmNonces
    challenged_root_key: str | None

    def candidates(self) -> Candidates:
        """The part of it from which a claim is judged: the group of an existing registration is asked first."""
        record = self.enrollment
        groups = () if self.groups is None else self.groups.symmetric
        last = None if self.registration is None else self.registration.group_id
        if last is not None:
            groups = tuple(sorted(groups, key=lambda candidate: candidate.group_key != last.lower()))
        return Candidates(
            self.service.service_id,
            None if record is None else record.enrollment,
            "" if record is None else record.etag,
            () if record is None else symmetric_keys(record.enrollment),
            groups,
            NO_AUTHORITIES if self.groups is None else self.groups.authorities,
            self.rules,
            self.nonces,
            self.challenged_root_key or self._registered_root_key(),
            self.service.revision,
        )

    def _registered_root_key(self) -> str | None:
        tpm = None if self.registration is None else self.registration.tpm
        return None if tpm is None else tpm.storage_root_key

    def deciding(self, group_key: str | None) -> IndividualRecord | GroupRecord | None:
        """The enrollment that decides about a device now: its individual one, else the group that it entered by."""
        if self.enrollment is not None or group_key is None or self.groups is None:
            return self.enrollment
        return self.groups.records.get(group_key)


class ContextReader:
    """Reads contexts; the service and the groups in them are never older than what was read beside them."""

    def __init__(
        self, store: Store, sealer: Sealer, directory: Directory, rules: AttestationRules, nonces: TpmNonces
    ) -> None:
        self.root_keys = ChallengedRootKeys()
        self._rules = rules
        self._nonces = nonces
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

    async def read(self, service_id: str, registration_key: str, *, all_groups: bool = False) -> Context:
        """`all_groups`: also where none of them may matter. Raises StoreUnavailable, CannotOpen, IdScopeNotFound."""
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
        individual = None if enrollment is None else read_enrollment(enrollment, self._sealer)
        return Context(
            self.service(service_id),
            individual,
            None if registration is None else read_registration(registration),
            operation,
            await self._groups_as_of(service_id, revision) if all_groups or _needs_groups(individual) else None,
            self._rules,
            self._nonces,
            self.root_keys.last(key),
        )

    async def _groups_as_of(self, service_id: str, revision: int) -> Groups:
        known = self._groups.get(service_id)
        if known is None or known.revision < revision:
            known = self._groups[service_id] = await self._read_groups(service_id, revision)
        return known

    async def _read_groups(self, service_id: str, revision: int) -> Groups:
        rows = await self._read_all(EnrollmentGroupRow, service_id)
        records = {row.group_key: read_group(row, self._sealer) for row in rows}
        symmetric = tuple(
            GroupCandidate(key, record.enrollment, record.etag, symmetric_keys(record.enrollment))
            for key, record in records.items()
            if record.enrollment.attestation.type == "symmetricKey"
        )
        uploaded = [_ca_certificate(row) for row in await self._read_all(CaCertificateRow, service_id)]
        groups = ((key, record.enrollment, record.etag) for key, record in records.items())
        return Groups(revision, records, symmetric, known_authorities(uploaded, groups))

    async def _read_all(self, kind: type[R], service_id: str) -> list[R]:
        rows: list[R] = []
        after: tuple[str | int, ...] | None = None
        while True:
            page = await self._store.page(kind, (service_id,), after, _PAGE)
            rows += page
            if len(page) < _PAGE:
                return rows
            after = key_of(page[-1]).values[1:]


def _needs_groups(enrollment: IndividualRecord | None) -> bool:
    """A certificate may have been issued below one that is known; a disabled enrollment tells the devices that it
    blocks, and those enter by groups."""
    if enrollment is None or enrollment.enrollment.attestation.type == "x509":
        return True
    return given(enrollment.enrollment.provisioning_status) == "disabled"


def _ca_certificate(row: CaCertificateRow) -> CaCertificate:
    record = read_ca_certificate(row)
    thumbprint = hashlib.sha256(record.certificate).hexdigest().upper()
    return CaCertificate(record.name, record.certificate, thumbprint, record.is_verified)
