"""Owns the one table of who decides about a claim. It must not know how any mechanism is proved.

An individual enrollment with the presented registration id always decides, whatever its mechanism; groups are asked
only where there is none (D:concepts-x509-attestation, D:how-to-revoke-device-access-portal).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from idscope.attestation import symmetric_key
from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates
from idscope.attestation.verdict import Refused, Verdict
from idscope.errors import EnrollmentNotFound, InvalidCertificate, ProvisioningError, Unauthorized
from idscope.model.attestation import AttestationType
from idscope.model.enrollment import IndividualEnrollment

Judge = Callable[[Claim, IndividualEnrollment, Candidates, int], Verdict]

# Mechanisms that are enrolled but not in this table admit nobody.
INDIVIDUAL: Final[Mapping[AttestationType, Judge]] = {
    "symmetricKey": symmetric_key.judge_individual,
}


def judge(claim: Claim, candidates: Candidates, now: int) -> Verdict:
    """The verdict on a claim, given what stands in the store at `now` (microseconds since the epoch)."""
    enrollment = candidates.enrollment
    if enrollment is None:
        return _judge_without_individual(claim, candidates, now)
    mechanism = enrollment.attestation.type
    decide = INDIVIDUAL.get(mechanism)
    if decide is None:
        reason = f"the individual enrollment attests by {mechanism}, which admits no device in this version"
        return Refused(_generic_refusal(claim, reason), enrollment.registration_id)
    return decide(claim, enrollment, candidates, now)


def _judge_without_individual(claim: Claim, candidates: Candidates, now: int) -> Verdict:
    if claim.sas is not None:
        return symmetric_key.judge_groups(claim, candidates, now)
    reason = f"no individual enrollment has the registration id {claim.registration_id!r}"
    if not claim.chain and claim.tpm is not None:
        return Refused(EnrollmentNotFound(reason=reason))  # a TPM with an unknown id is told so (observed)
    return Refused(_generic_refusal(claim, reason))


def _generic_refusal(claim: Claim, reason: str) -> ProvisioningError:
    """The ordinary 401, in the words for what was presented."""
    if claim.sas is None and claim.chain:
        return InvalidCertificate(reason=reason)
    return Unauthorized(reason=reason)
