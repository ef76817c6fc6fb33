"""Owns the guesses at the key with which a refused token was signed instead of the right one. It must not let anybody
in: a guess that fits explains a refusal, to the operator alone.

It takes time that depends on the keys, so nobody asks for it before the device has its answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates, GroupCandidate
from idscope.attestation.symmetric_key import presented_token
from idscope.refusal import Cause, Reason
from idscope.secret import Secret
from idscope.security.keys import derive_device_key, derived_bytes, key_bytes
from idscope.security.sas import SasRefused, SasToken, made_by, signature_bytes

MAX_GUESSES: Final = 2_500
"""About 4 µs each; a hundred groups with two keys make no more."""


class _Guess(NamedTuple):
    """A key, what it may have signed, and what it means if it did."""

    key: bytes
    text: bytes
    cause: Cause
    reason: str


def diagnose(claim: Claim, candidates: Candidates) -> Reason | None:
    """With which wrong but likely key the claim's token was signed, None where no guess fits."""
    try:
        token = presented_token(claim)
    except SasRefused:
        return None
    signature = signature_bytes(token)
    for guess, facts in islice(_guesses(token, claim, candidates), MAX_GUESSES):
        if made_by(signature, guess.key, guess.text):
            return Reason(guess.cause, guess.reason, facts)
    return None


def _guesses(token: SasToken, claim: Claim, candidates: Candidates) -> Iterator[tuple[_Guess, dict[str, str]]]:
    """What concerns the individual enrollment first, then group by group."""
    facts = {"registration_id": claim.registration_id}
    for key in candidates.keys:
        for guess in _own_key(token, claim.registration_id, key):
            yield guess, facts
    for candidate in candidates.groups:
        for key in candidate.keys:
            for guess in _group_key(token, claim.registration_id, candidate, key, candidates):
                yield guess, {**facts, "group": candidate.group.enrollment_group_id}


def _own_key(token: SasToken, registration_id: str, key: Secret) -> Iterator[_Guess]:
    yield from _misused(token, key, "the enrollment's key")
    text = "signed with a key derived from the enrollment's own key, but keys are derived from those of groups only"
    yield _Guess(derived_bytes(key_bytes(key), registration_id), token.signed_text(), Cause.SIGNED_WITH_DERIVED, text)


def _misused(token: SasToken, key: Secret, name: str) -> Iterator[_Guess]:
    """The right key, used in a way in which it does not count."""
    undecoded = f"signed with the Base64 text of {name}, not with its bytes"
    yield _Guess(_text_of(key), token.signed_text(), Cause.SIGNED_WITH_KEY_AS_TEXT, undecoded)
    other_text = f"signed with {name}, but over the decoded sr instead of the one that was sent"
    decoded = f"{token.resource}\n{token.raw_expiry}".encode()
    yield _Guess(key_bytes(key), decoded, Cause.SIGNED_OVER_OTHER_TEXT, other_text)


def _group_key(
    token: SasToken, registration_id: str, candidate: GroupCandidate, key: Secret, candidates: Candidates
) -> Iterator[_Guess]:
    name, signed, secret = f"the group {candidate.group.enrollment_group_id!r}", token.signed_text(), key_bytes(key)
    itself = f"signed with the key of {name} itself instead of the key derived from it"
    yield _Guess(secret, signed, Cause.SIGNED_WITH_GROUP_KEY, itself)
    yield _Guess(_text_of(key), signed, Cause.SIGNED_WITH_GROUP_KEY, f"{itself}, and with its Base64 text at that")
    if candidates.enrollment is not None:
        derived = f"signed with the key derived from {name}, but the id has an individual enrollment, which decides"
        yield _Guess(derived_bytes(secret, registration_id), signed, Cause.SIGNED_WITH_DERIVED, derived)
    yield from _misused(token, derive_device_key(key, registration_id), f"the key derived from {name}")
    as_text = f"signed with a key derived from the Base64 text of the key of {name}, not from its bytes"
    yield _Guess(derived_bytes(_text_of(key), registration_id), signed, Cause.DERIVED_FROM_KEY_AS_TEXT, as_text)
    for spelling in _other_spellings(token, registration_id):
        other = f"signed with the key that {name} derives for {spelling!r}, and this is {registration_id!r}"
        yield _Guess(derived_bytes(secret, spelling), signed, Cause.SIGNED_FOR_OTHER_SPELLING, other)


def _other_spellings(token: SasToken, registration_id: str) -> list[str]:
    """Over what else a key may have been derived: other case, the `sr`, what a shell's echo adds."""
    tried = {registration_id, registration_id.lower()}
    named = token.resource.rpartition("/")[2]
    spellings = (registration_id.upper(), registration_id.capitalize(), named, f"{registration_id}\n", token.resource)
    return [spelling for spelling in dict.fromkeys(spellings) if spelling not in tried]


def _text_of(key: Secret) -> bytes:
    return key.reveal().encode()
