"""Owns attestation by symmetric key: a token over the device's own resource, signed with either key, its own or one
derived from a group's.
It must not know where the keys were stored."""

from __future__ import annotations

import re
from typing import Final

from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates
from idscope.attestation.verdict import KeySlot, Proof, Refused, Verdict
from idscope.errors import Unauthorized
from idscope.model.enrollment import IndividualEnrollment
from idscope.refusal import Cause, Reason
from idscope.secret import Secret
from idscope.security.keys import derived_bytes, key_bytes
from idscope.security.sas import (
    SasRefused,
    SasToken,
    check_expiry,
    made_by,
    parse_sas,
    signature_bytes,
    signed_with,
)

# Clients send skn as "registration", empty, or not at all (observed).
_KEY_NAMES = frozenset({"", "registration"})
_NO_PATH: Final = re.compile(r"[=&;,?\s]")
_SLOTS: Final[tuple[KeySlot, ...]] = ("primary", "secondary")


def judge_individual(claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates, now: int) -> Verdict:
    """Authenticated where a token for this very registration is signed with one of the enrollment's keys."""
    try:
        token = presented_token(claim)
        slot = _signing_slot(token, candidates.keys)
        check_expiry(token, now)
    except SasRefused as refusal:
        return Refused(Unauthorized(reason=refusal.reason), enrollment.registration_id)
    return candidates.let_in(claim, enrollment, Proof("symmetricKey", slot), now)


def judge_groups(claim: Claim, candidates: Candidates, now: int) -> Verdict:
    """The first group decides whose derived key made the signature, also where it is disabled.

    The request names no group. A group's own key lets nobody in: only what is derived from it does.
    """
    try:
        token = presented_token(claim)
    except SasRefused as refusal:
        return Refused(Unauthorized(reason=refusal.reason))
    for candidate in candidates.groups:
        proof = _derived_proof(token, claim.registration_id, candidate.keys)
        if proof is None:
            continue
        try:
            check_expiry(token, now)
        except SasRefused as refusal:
            return Refused(Unauthorized(reason=refusal.reason), candidate.group.enrollment_group_id, by_group=True)
        return candidates.let_in_by_group(claim, candidate, proof, now)
    return Refused(Unauthorized(reason=_no_group(claim, candidates)))


def _derived_proof(token: SasToken, registration_id: str, keys: tuple[Secret, ...]) -> Proof | None:
    """The id as presented first, then in lower case: a device may have derived its key over either."""
    signature, text = signature_bytes(token), token.signed_text()
    for spelling in dict.fromkeys((registration_id, registration_id.lower())):
        for slot, key in zip(_SLOTS, keys, strict=False):
            if made_by(signature, derived_bytes(key_bytes(key), spelling), text):
                return Proof("symmetricKey", slot, spelling)
    return None


def _no_group(claim: Claim, candidates: Candidates) -> Reason:
    nobody = f"no individual enrollment has the registration id {claim.registration_id!r}"
    if not candidates.groups:
        return Reason(Cause.NOT_ENROLLED, f"{nobody}, and there is no symmetric-key group")
    text = f"{nobody}, and no symmetric-key group derives the key that made the signature"
    return Reason(Cause.FITS_NO_GROUP, text, {"registration_id": claim.registration_id})


def presented_token(claim: Claim) -> SasToken:
    """The token, if it is for this very registration; a TPM's looks the same. Raises SasRefused."""
    if claim.sas is None:
        sent, cause = "nothing", Cause.NO_CREDENTIAL
        if claim.chain:
            sent, cause = "a certificate and no token", Cause.CERTIFICATE_INSTEAD_OF_TOKEN
        raise SasRefused(f"{sent} was sent, and the enrollment attests by symmetric key", cause)
    token = parse_sas(claim.sas.reveal())
    _check_resource(token, claim)
    return token


def _check_resource(token: SasToken, claim: Claim) -> None:
    """The decoded `sr` is `{scope}/registrations/{id}`, compared without case: one client lower-cases it."""
    wanted = f"{claim.id_scope}/registrations/{claim.registration_id}"
    if token.resource.lower() != wanted.lower():
        raise SasRefused(*_other_resource(_shown(token.resource), claim))
    if token.key_name.lower() not in _KEY_NAMES:
        raise SasRefused("skn is neither absent, empty nor 'registration'", Cause.TOKEN_KEY_NAME)


def _shown(resource: str) -> str:
    """As far as it is a path: a client may have put a whole token or connection string there, with what is secret."""
    path = _NO_PATH.split(resource[:200], maxsplit=1)[0]
    return path if path == resource else f"{path}…"


def _other_resource(named: str, claim: Claim) -> tuple[str, Cause]:
    scope, _, rest = named.partition("/")
    kind, _, registration_id = rest.partition("/")
    if kind.lower() != "registrations" or not registration_id:
        wanted = f"{claim.id_scope}/registrations/{claim.registration_id}"
        return f"sr names {named!r}, this is {wanted!r}", Cause.TOKEN_OF_OTHER_RESOURCE
    if scope.lower() != claim.id_scope.lower():
        return f"sr names the id scope {scope!r}, this is {claim.id_scope!r}", Cause.TOKEN_OF_OTHER_SCOPE
    text = f"sr names the registration id {registration_id!r}, this is {claim.registration_id!r}"
    return text, Cause.TOKEN_OF_OTHER_REGISTRATION


def _signing_slot(token: SasToken, keys: tuple[Secret, ...]) -> KeySlot:
    """Raises SasRefused. With which key it was signed instead is found out later: see `diagnosis`."""
    for slot, key in zip(_SLOTS, keys, strict=False):
        if signed_with(token, key):
            return slot
    raise SasRefused("the signature was made with neither key of the enrollment", Cause.SIGNED_WITH_UNKNOWN_KEY)
