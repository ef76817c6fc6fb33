"""Owns what must be read to judge a claim, and what was read. It must not know how a store reads it."""

from __future__ import annotations

import msgspec

from idscope.attestation.authorities import NO_AUTHORITIES, Authorities, X509Group
from idscope.attestation.claim import Claim
from idscope.attestation.rules import AttestationRules
from idscope.attestation.tpm_nonces import TpmNonces
from idscope.attestation.verdict import Authenticated, Proof
from idscope.model.enrollment import EnrollmentGroup, IndividualEnrollment
from idscope.model.registration_id import registration_key
from idscope.secret import Secret


class LookupKeys(msgspec.Struct, frozen=True):
    """What one batched read needs; raises nothing more once made."""

    registration_key: str


class GroupCandidate(msgspec.Struct, frozen=True):
    """An enrollment group that may decide by its keys, which are opened, primary first."""

    group_key: str
    group: EnrollmentGroup
    etag: str
    keys: tuple[Secret, ...]


class Candidates(msgspec.Struct, frozen=True):
    """What stands in the store under the keys: the individual enrollment with its keys opened, or None.

    `keys` are the enrollment's symmetric keys, primary first; empty for other mechanisms. `groups` are the groups to
    be asked by a token where there is no individual enrollment, in the order in which they are asked; `authorities`
    lead a chain to its group. Both are also there where the individual enrollment is disabled. `nonces` are those of
    TPMs over HTTPS, `storage_root_key` is the one that the device's TPM showed last, if that is known (Base64).
    `revision` is the service's, of all this.
    """

    service_id: str
    enrollment: IndividualEnrollment | None
    enrollment_etag: str = ""
    keys: tuple[Secret, ...] = ()
    groups: tuple[GroupCandidate, ...] = ()
    authorities: Authorities = NO_AUTHORITIES
    rules: AttestationRules = AttestationRules()
    nonces: TpmNonces | None = None
    storage_root_key: str | None = None
    revision: int = 0

    def let_in(self, claim: Claim, enrollment: IndividualEnrollment, proof: Proof, now: int) -> Authenticated:
        """The verdict on a device that proved itself by its individual enrollment."""
        return self._let_in(claim, enrollment.registration_id, self.enrollment_etag, None, proof, now)

    def let_in_by_group(self, claim: Claim, group: GroupCandidate | X509Group, proof: Proof, now: int) -> Authenticated:
        """The verdict on a device that proved itself by an enrollment group."""
        return self._let_in(claim, group.group.enrollment_group_id, group.etag, group.group_key, proof, now)

    def _let_in(
        self, claim: Claim, enrollment_id: str, etag: str, group_key: str | None, proof: Proof, now: int
    ) -> Authenticated:
        return Authenticated(
            service_id=self.service_id,
            registration_key=claim.registration_id.lower(),
            enrollment_id=enrollment_id,
            enrollment_etag=etag,
            group_key=group_key,
            proof=proof,
            claim=claim,
            at=now,
            revision=self.revision,
        )


def lookup_keys(claim: Claim) -> LookupKeys:
    """Raises InvalidRegistrationId where the claimed id is not of the published form."""
    return LookupKeys(registration_key(claim.registration_id))
