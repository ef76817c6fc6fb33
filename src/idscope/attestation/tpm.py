"""Owns attestation by TPM 2.0: a token signed with a nonce that only the enrolled TPM could take in.
It must not know how the challenge travels, nor how a key is wrapped.

| presented                           | verdict                                                                 |
|-------------------------------------|-------------------------------------------------------------------------|
| another endorsement key             | refused; the storage root key is never compared                         |
| the endorsement key, and no token   | a challenge; over AMQP also for every other endorsement key             |
| a token                             | authenticated, where the nonce signed it; the keys need not come again  |
| anything over MQTT, or by a password| refused: no client has a TPM there                                      |
"""

from __future__ import annotations

from typing import Final

from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates
from idscope.attestation.symmetric_key import presented_token
from idscope.attestation.verdict import Challenge, Proof, Refused, Verdict
from idscope.errors import EnrollmentNotFound, InvalidArgument, ProvisioningError, Unauthorized
from idscope.events import Wire
from idscope.model.attestation import TpmAttestation
from idscope.model.document import given
from idscope.model.enrollment import IndividualEnrollment
from idscope.refusal import Cause, Reason
from idscope.secret import Secret
from idscope.security.sas import SasRefused, check_expiry, signed_with
from idscope.security.tpm_public import TpmKey, TpmKeyRefused, read_key

_HTTPS: Final[Wire] = "Http"


def judge_individual(claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates, now: int) -> Verdict:
    """A challenge for the enrolled endorsement key, or Authenticated where its nonce signed the token."""
    try:
        enrolled = _enrolled_key(claim, enrollment)
        nonces = _nonces(claim, enrolled, candidates, now)
        root_key = _root_key(claim, enrollment, candidates)
        if claim.sas is None:
            return _challenge(claim, enrolled, root_key, nonces[0], enrollment.registration_id)
        _check_token(claim, nonces, now)
    except ProvisioningError as error:
        return Refused(error, enrollment.registration_id)
    known = None if root_key is None else root_key.text
    proof = Proof("tpm", "primary", endorsement_key=enrolled.text, storage_root_key=known)
    return candidates.let_in(claim, enrollment, proof, now)


def challenge_first(claim: Claim) -> Challenge | Refused | None:
    """The challenge on a connection that has a nonce of its own, whoever asks: what he is told comes after the proof.
    None for every other claim.

    quirk: one client waits for ever where it is refused before it is challenged.
    """
    if claim.nonce is None or claim.sas is not None:
        return None
    try:
        presented = _presented(claim)
        endorsement_key = _read("endorsementKey", presented.endorsement_key)
        root_key = _read("storageRootKey", given(presented.storage_root_key) or "")
    except ProvisioningError as error:
        return Refused(error)
    return Challenge(endorsement_key, root_key, claim.nonce, claim.id_scope, None)


def judge_unknown(claim: Claim, now: int) -> Refused:
    """A TPM is told that nobody enrolled it once it has proved itself on its connection (observed)."""
    try:
        _check_token(claim, () if claim.nonce is None else (claim.nonce,), now)
    except Unauthorized as error:
        return Refused(error)
    return not_enrolled(claim)


def not_enrolled(claim: Claim) -> Refused:
    """What a TPM with an unknown id is told (observed), unlike any other device."""
    text = f"no individual enrollment has the registration id {claim.registration_id!r}"
    return Refused(EnrollmentNotFound(reason=Reason(Cause.NOT_ENROLLED, text)))


def _challenge(
    claim: Claim, endorsement_key: TpmKey, root_key: TpmKey | None, nonce: Secret, enrollment_id: str
) -> Challenge:
    """Raises Unauthorized, InvalidArgument where no keys came along."""
    _presented(claim)
    if root_key is None:
        text = "storageRootKey is missing."
        raise InvalidArgument(text, reason=Reason(Cause.TPM_KEY_UNUSABLE, text))
    return Challenge(endorsement_key, root_key, nonce, claim.id_scope, enrollment_id)


def _presented(claim: Claim) -> TpmAttestation:
    if claim.tpm is None:
        text = "neither a token nor the keys of a TPM were sent, and the enrollment attests by TPM"
        raise Unauthorized(reason=Reason(Cause.NO_CREDENTIAL, text))
    return claim.tpm


def _enrolled_key(claim: Claim, enrollment: IndividualEnrollment) -> TpmKey:
    """Raises Unauthorized where another one was presented or the enrolled one is of no use, InvalidArgument."""
    tpm = given(enrollment.attestation.tpm)
    try:
        enrolled = read_key("" if tpm is None else tpm.endorsement_key)
    except TpmKeyRefused as refusal:
        raise Unauthorized(reason=Reason(Cause.TPM_KEY_UNUSABLE, f"the enrolled endorsementKey {refusal}")) from None
    if claim.tpm is not None and _read("endorsementKey", claim.tpm.endorsement_key) != enrolled:
        raise Unauthorized(reason=Reason(Cause.TPM_KEY_DIFFERS, "the endorsement key is not the enrolled one"))
    return enrolled


def _nonces(claim: Claim, enrolled: TpmKey, candidates: Candidates, now: int) -> tuple[Secret, ...]:
    """That of the connection, or those derived for the time; the first one is for a new challenge."""
    if claim.nonce is not None:
        return (claim.nonce,)
    if claim.wire != _HTTPS or candidates.nonces is None:
        text = f"a TPM cannot prove itself in this way over {claim.wire}"
        raise Unauthorized(reason=Reason(Cause.TPM_NOT_OVER_THIS_WIRE, text))
    return candidates.nonces.valid(claim.id_scope, claim.registration_id, enrolled.structure, now)


def _root_key(claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates) -> TpmKey | None:
    """The one presented, the last one known, the one that the operator enrolled. Raises InvalidArgument."""
    enrolled = given(enrollment.attestation.tpm)
    presented = None if claim.tpm is None else given(claim.tpm.storage_root_key)
    text = presented or candidates.storage_root_key or (None if enrolled is None else given(enrolled.storage_root_key))
    return _read("storageRootKey", text) if text else None


def _read(name: str, text: str) -> TpmKey:
    try:
        return read_key(text)
    except TpmKeyRefused as refusal:
        text = f"{name} {refusal}"
        raise InvalidArgument(text, reason=Reason(Cause.TPM_KEY_UNUSABLE, text)) from None


def _check_token(claim: Claim, nonces: tuple[Secret, ...], now: int) -> None:
    """Raises Unauthorized."""
    try:
        token = presented_token(claim)
        check_expiry(token, now)
    except SasRefused as refusal:
        raise Unauthorized(reason=refusal.reason) from None
    if not any(signed_with(token, nonce) for nonce in nonces):
        text = "the token was signed with none of the nonces that are valid now"
        raise Unauthorized(reason=Reason(Cause.TPM_NONCE_DIFFERS, text))
