"""Owns attestation by symmetric key: a token over the device's own resource, signed with either key, its own or one
derived from a group's.
It must not know where the keys were stored."""

from __future__ import annotations

from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates
from idscope.attestation.verdict import Authenticated, KeySlot, Proof, Refused, Verdict
from idscope.errors import Unauthorized
from idscope.model.enrollment import IndividualEnrollment
from idscope.secret import Secret
from idscope.security.keys import derive_device_key
from idscope.security.sas import SasRefused, SasToken, check_expiry, parse_sas, signed_with

# Clients send skn as "registration", empty, or not at all (observed).
_KEY_NAMES = frozenset({"", "registration"})


def judge_individual(claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates, now: int) -> Verdict:
    """Authenticated where a token for this very registration is signed with one of the enrollment's keys."""
    try:
        token = presented_token(claim)
        slot = _signing_slot(token, candidates.keys)
        check_expiry(token, now)
    except SasRefused as refusal:
        return Refused(Unauthorized(reason=str(refusal)), enrollment.registration_id)
    if slot is None:
        reason = "the signature was made with neither key of the enrollment"
        return Refused(Unauthorized(reason=reason), enrollment.registration_id)
    return candidates.let_in(claim, enrollment, Proof("symmetricKey", slot), now)


def judge_groups(claim: Claim, candidates: Candidates, now: int) -> Verdict:
    """The first group decides whose derived key made the signature, also where it is disabled.

    The request names no group. A group's own key lets nobody in: only what is derived from it does.
    """
    try:
        token = presented_token(claim)
    except SasRefused as refusal:
        return Refused(Unauthorized(reason=str(refusal)))
    for candidate in candidates.groups:
        proof = _derived_proof(token, claim.registration_id, candidate.keys)
        if proof is None:
            continue
        try:
            check_expiry(token, now)
        except SasRefused as refusal:
            return Refused(Unauthorized(reason=str(refusal)), candidate.group.enrollment_group_id)
        return Authenticated(
            service_id=candidates.service_id,
            registration_key=claim.registration_id.lower(),
            enrollment_id=candidate.group.enrollment_group_id,
            enrollment_etag=candidate.etag,
            group_key=candidate.group_key,
            proof=proof,
            claim=claim,
            at=now,
        )
    return Refused(Unauthorized(reason=_why_no_group(token, claim, candidates)))


def _derived_proof(token: SasToken, registration_id: str, keys: tuple[Secret, ...]) -> Proof | None:
    """The id as presented first, then in lower case: a device may have derived its key over either."""
    for spelling in dict.fromkeys((registration_id, registration_id.lower())):
        slot = _signing_slot(token, tuple(derive_device_key(key, spelling) for key in keys))
        if slot is not None:
            return Proof("symmetricKey", slot, spelling)
    return None


def _why_no_group(token: SasToken, claim: Claim, candidates: Candidates) -> str:
    for candidate in candidates.groups:
        if _signing_slot(token, candidate.keys) is not None:
            name = candidate.group.enrollment_group_id
            return f"signed with the key of the group {name!r} itself instead of the key derived from it"
    return (
        f"no individual enrollment has the registration id {claim.registration_id!r}, and no symmetric-key group "
        "derives the key that made the signature"
    )


def presented_token(claim: Claim) -> SasToken:
    """The token, if it is for this very registration; a TPM's looks the same. Raises SasRefused."""
    if claim.sas is None:
        raise SasRefused("no token was sent, and the enrollment attests by symmetric key")
    token = parse_sas(claim.sas.reveal())
    _check_resource(token, claim)
    return token


def _check_resource(token: SasToken, claim: Claim) -> None:
    """The decoded `sr` is `{scope}/registrations/{id}`, compared without case: one client lower-cases it."""
    wanted = f"{claim.id_scope}/registrations/{claim.registration_id}"
    if token.resource.lower() != wanted.lower():
        raise SasRefused(f"sr names {token.resource[:200]!r}, this is {wanted!r}")
    if token.key_name.lower() not in _KEY_NAMES:
        raise SasRefused("skn is neither absent, empty nor 'registration'")


def _signing_slot(token: SasToken, keys: tuple[Secret, ...]) -> KeySlot | None:
    slots: tuple[KeySlot, ...] = ("primary", "secondary")
    for slot, key in zip(slots, keys, strict=False):
        if signed_with(token, key):
            return slot
    return None
