"""Owns attestation by symmetric key: a token over the device's own resource, signed with either key.
It must not know where the keys were stored."""

from __future__ import annotations

from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates
from idscope.attestation.verdict import Authenticated, KeySlot, Proof, Refused, Verdict
from idscope.errors import Unauthorized
from idscope.model.enrollment import IndividualEnrollment
from idscope.secret import Secret
from idscope.security.sas import SasRefused, SasToken, check_expiry, parse_sas, signed_with

# Clients send skn as "registration", empty, or not at all (observed).
_KEY_NAMES = frozenset({"", "registration"})


def judge_individual(claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates, now: int) -> Verdict:
    """Authenticated where a token for this very registration is signed with one of the enrollment's keys."""
    try:
        token = _presented_token(claim)
        _check_resource(token, claim)
        slot = _signing_slot(token, candidates.keys)
        check_expiry(token, now)
    except SasRefused as refusal:
        return Refused(Unauthorized(reason=str(refusal)), enrollment.registration_id)
    return Authenticated(
        service_id=candidates.service_id,
        registration_key=claim.registration_id.lower(),
        enrollment_id=enrollment.registration_id,
        enrollment_etag=candidates.enrollment_etag,
        proof=Proof("symmetricKey", slot),
        claim=claim,
        at=now,
    )


def _presented_token(claim: Claim) -> SasToken:
    if claim.sas is None:
        raise SasRefused("no token was sent, and the enrollment attests by symmetric key")
    return parse_sas(claim.sas.reveal())


def _check_resource(token: SasToken, claim: Claim) -> None:
    """The decoded `sr` is `{scope}/registrations/{id}`, compared without case: one client lower-cases it."""
    wanted = f"{claim.id_scope}/registrations/{claim.registration_id}"
    if token.resource.lower() != wanted.lower():
        raise SasRefused(f"sr names {token.resource[:200]!r}, this is {wanted!r}")
    if token.key_name.lower() not in _KEY_NAMES:
        raise SasRefused("skn is neither absent, empty nor 'registration'")


def _signing_slot(token: SasToken, keys: tuple[Secret, ...]) -> KeySlot:
    slots: tuple[KeySlot, ...] = ("primary", "secondary")
    for slot, key in zip(slots, keys, strict=False):
        if signed_with(token, key):
            return slot
    raise SasRefused("the signature was made with neither key of the enrollment")
