"""Owns the one table of who decides about a claim. It must not know how any mechanism is proved.

| the registration id has                     | presented | who decides                                             |
|---------------------------------------------|-----------|---------------------------------------------------------|
| an individual enrollment                    | anything  | it alone, by its own mechanism, enabled or not          |
| ... that is disabled, and the proof is not  | a token   | it, and says `disabled`, to a device that the token     |
|     of it                                   |           | would let in by a group                                 |
|                                             | a chain   | the same, for a device that the chain would let in      |
| none                                        | a token   | the first symmetric-key group that derives its key      |
|                                             | a chain   | the X.509 group nearest to the leaf, enabled or not     |
|                                             | a TPM     | nobody: 404201; over AMQP once it has proved itself     |

What an individual enrollment refuses is refused, whatever a group would say. A deleted group falls through to the one
above it in the chain, a disabled one stops there (D:concepts-x509-attestation, D:how-to-revoke-device-access-portal).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from idscope.attestation import symmetric_key, tpm, x509
from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates
from idscope.attestation.verdict import Authenticated, Refused, Verdict
from idscope.errors import InvalidCertificate, ProvisioningError, Unauthorized
from idscope.model.attestation import AttestationType
from idscope.model.document import given
from idscope.model.enrollment import IndividualEnrollment
from idscope.refusal import Cause, Reason

Judge = Callable[[Claim, IndividualEnrollment, Candidates, int], Verdict]

# Mechanisms that are enrolled but not in this table admit nobody.
INDIVIDUAL: Final[Mapping[AttestationType, Judge]] = {
    "symmetricKey": symmetric_key.judge_individual,
    "tpm": tpm.judge_individual,
    "x509": x509.judge_individual,
}


def judge(claim: Claim, candidates: Candidates, now: int) -> Verdict:
    """The verdict on a claim, given what stands in the store at `now` (microseconds since the epoch)."""
    enrollment = candidates.enrollment
    if enrollment is None:
        return _judge_without_individual(claim, candidates, now)
    verdict = _judge_individual(claim, enrollment, candidates, now)
    if isinstance(verdict, Refused) and given(enrollment.provisioning_status) == "disabled":
        return _judge_blocked(claim, enrollment, candidates, now) or verdict
    return verdict


def _judge_individual(claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates, now: int) -> Verdict:
    mechanism = enrollment.attestation.type
    decide = INDIVIDUAL.get(mechanism)
    if decide is None:
        text = f"the individual enrollment attests by {mechanism}, which admits no device in this version"
        reason = Reason(Cause.MECHANISM_ADMITS_NOBODY, text)
        return Refused(_generic_refusal(claim, reason), enrollment.registration_id)
    return decide(claim, enrollment, candidates, now)


def _judge_blocked(
    claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates, now: int
) -> Authenticated | None:
    """A device of a group that a disabled individual enrollment blocks is told so, and no one else: its credential is
    good, it is the enrollment that says `disabled`."""
    verdict = _judge_without_individual(claim, candidates, now)
    if not isinstance(verdict, Authenticated):
        return None
    return msgspec.structs.replace(
        verdict, enrollment_id=enrollment.registration_id, enrollment_etag=candidates.enrollment_etag
    )


def _judge_without_individual(claim: Claim, candidates: Candidates, now: int) -> Verdict:
    if claim.nonce is not None:
        return tpm.judge_unknown(claim, now)
    if claim.sas is not None:
        return symmetric_key.judge_groups(claim, candidates, now)
    if claim.chain:
        return x509.judge_groups(claim, candidates, now)
    if claim.tpm is not None:
        return tpm.not_enrolled(claim)
    text = (
        f"no individual enrollment has the registration id {claim.registration_id!r}, and neither a token nor a "
        "certificate was sent"
    )
    return Refused(Unauthorized(reason=Reason(Cause.NO_CREDENTIAL, text)))


def _generic_refusal(claim: Claim, reason: Reason) -> ProvisioningError:
    """The ordinary 401, in the words for what was presented."""
    if claim.sas is None and claim.chain:
        return InvalidCertificate(reason=reason)
    return Unauthorized(reason=reason)
