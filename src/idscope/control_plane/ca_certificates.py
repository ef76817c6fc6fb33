"""Owns the use cases over a service's CA certificates: upload, list, get, delete, and the proof of possession.
It must not know HTTP, nor whom a verified certificate lets in.

Any certificate that can be read is taken: whether it may be a CA, and whether its key and signature are strong enough,
is judged when a device presents a chain. The published limit of 25 certificates is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.clock import Clock, next_time
from idscope.errors import (
    ControlPlanePreconditionFailed,
    ControlPlaneResourceNotFound,
    InvalidArgument,
    InvalidCaCertificate,
    ProofOfPossessionFailed,
)
from idscope.model.ca_certificate import CertificateContent
from idscope.model.document import given
from idscope.model.etag import ABSENT, Expectation, Matches, new_etag
from idscope.records import CaCertificateRecord, ca_certificate_key, ca_certificate_row, read_ca_certificate
from idscope.security.certificates import read_certificate
from idscope.security.proof_of_possession import check_proof, new_verification_code
from idscope.storage import CaCertificateRow, Delete, ExpectationFailed, Key, Put, Store, Unit

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
_PAGE: Final = 500


class CaCertificates:
    """The CA certificates of all services of this server; every method names the service by its id.

    `expect` None means that the caller said nothing. All raise ControlPlaneResourceNotFound for an absent name and
    ControlPlanePreconditionFailed for another etag, where nothing else is said.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def list(self, service_id: str) -> list[CaCertificateRecord]:
        """All of them, by name."""
        records: list[CaCertificateRecord] = []
        after: tuple[str, ...] | None = None
        while True:
            rows = await self._store.page(CaCertificateRow, (service_id,), after, _PAGE)
            records += map(read_ca_certificate, rows)
            if len(rows) < _PAGE:
                return records
            after = (rows[-1].name,)

    async def get(self, service_id: str, name: str, expect: Expectation | None = None) -> CaCertificateRecord:
        stored = await self._stored(service_id, name)
        if stored is None:
            raise _not_found(name)
        _check(stored, expect)
        return stored

    async def put(
        self, service_id: str, name: str, content: CertificateContent, expect: Expectation | None
    ) -> CaCertificateRecord:
        """Create or update. An update needs an expectation; on what is absent any is passed over (both published).

        Where `content` does not say `is_verified`, the same certificate stays as verified as it was. Raises
        InvalidCaCertificate.
        """
        if not _NAME.match(name):
            raise InvalidCaCertificate(
                "The name of a certificate is 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '-'."
            )
        certificate = given(content.certificate)
        if not certificate:
            raise InvalidCaCertificate("The member 'certificate' is missing.")
        der = _read(certificate).public_bytes(Encoding.DER)
        while True:
            stored = await self._stored(service_id, name)
            if stored is not None and expect is None:
                raise ControlPlanePreconditionFailed(
                    "Invalid ETag supplied. The certificate exists; to update it, name its ETag in If-Match."
                )
            _check(stored, expect)
            record = self._uploaded(name, der, stored)
            is_verified = given(content.is_verified)
            if is_verified is not None:
                record = _replace(record, is_verified=is_verified)
            if await self._kept(service_id, record, stored):
                return record

    async def delete(self, service_id: str, name: str, expect: Expectation | None) -> bool:
        """Whether there was anything to delete; references to it are left alone, and admit nobody any more."""
        while True:
            stored = await self._stored(service_id, name)
            if stored is None:
                return False
            _check(stored, expect)
            delete = Delete(Key(CaCertificateRow, (service_id, stored.key)), Matches(stored.etag))
            try:
                await self._store.commit(Unit.of(delete))
            except ExpectationFailed:
                continue
            return True

    async def generate_verification_code(
        self, service_id: str, name: str, expect: Expectation | None
    ) -> CaCertificateRecord:
        """A new code in the place of the last one."""
        return await self._change(
            service_id, name, expect, lambda stored: _replace(stored, verification_code=new_verification_code())
        )

    async def verify(self, service_id: str, name: str, proof: str, expect: Expectation | None) -> CaCertificateRecord:
        """Believe that the caller holds the key, if the proof shows it; a code proves once.

        Raises ProofOfPossessionFailed, InvalidCaCertificate.
        """
        certificate = _read(proof)

        def verified(stored: CaCertificateRecord) -> CaCertificateRecord:
            if stored.verification_code is None:
                raise ProofOfPossessionFailed("Proof-Of-Possession failed. Generate a verification code first.")
            authority = x509.load_der_x509_certificate(stored.certificate)
            check_proof(authority, certificate, stored.verification_code)
            return _replace(stored, verification_code=None, is_verified=True)

        return await self._change(service_id, name, expect, verified)

    async def _change(
        self,
        service_id: str,
        name: str,
        expect: Expectation | None,
        change: Callable[[CaCertificateRecord], CaCertificateRecord],
    ) -> CaCertificateRecord:
        while True:
            stored = await self.get(service_id, name, expect)
            record = self._dated(change(stored), stored)
            if await self._kept(service_id, record, stored):
                return record

    def _uploaded(self, name: str, der: bytes, stored: CaCertificateRecord | None) -> CaCertificateRecord:
        """Another certificate begins anew, with neither code nor verification; the first spelling of the name stays."""
        same = stored if stored is not None and stored.certificate == der else None
        record = CaCertificateRecord(
            name=name if stored is None else stored.name,
            certificate=der,
            is_verified=same is not None and same.is_verified,
            verification_code=None if same is None else same.verification_code,
            etag="",
            created=0,
            updated=0,
        )
        return self._dated(record, stored)

    def _dated(self, record: CaCertificateRecord, stored: CaCertificateRecord | None) -> CaCertificateRecord:
        now = next_time(self._clock.now(), None if stored is None else stored.updated)
        return _replace(record, etag=new_etag(now), created=now if stored is None else stored.created, updated=now)

    async def _stored(self, service_id: str, name: str) -> CaCertificateRecord | None:
        (row,) = await self._store.fetch((Key(CaCertificateRow, (service_id, ca_certificate_key(name))),))
        return None if row is None else read_ca_certificate(row)

    async def _kept(self, service_id: str, record: CaCertificateRecord, stored: CaCertificateRecord | None) -> bool:
        """False where somebody else wrote it since it was read: look again."""
        expect = ABSENT if stored is None else Matches(stored.etag)
        try:
            await self._store.commit(Unit.of(Put(ca_certificate_row(service_id, record), expect)))
        except ExpectationFailed:
            return False
        return True


_replace: Final = msgspec.structs.replace


def _check(stored: CaCertificateRecord | None, expect: Expectation | None) -> None:
    if isinstance(expect, Matches) and stored is not None and stored.etag != expect.etag:
        raise ControlPlanePreconditionFailed


def _read(certificate: str) -> x509.Certificate:
    try:
        return read_certificate(certificate, "certificate")
    except InvalidArgument as problem:
        raise InvalidCaCertificate(problem.message) from None


def _not_found(name: str) -> ControlPlaneResourceNotFound:
    return ControlPlaneResourceNotFound(f"The certificate '{name[:64]}' was not found.")
