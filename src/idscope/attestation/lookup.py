"""Owns what must be read to judge a claim, and what was read. It must not know how a store reads it."""

from __future__ import annotations

import msgspec

from idscope.attestation.claim import Claim
from idscope.model.enrollment import IndividualEnrollment
from idscope.model.registration_id import registration_key
from idscope.secret import Secret


class LookupKeys(msgspec.Struct, frozen=True):
    """What one batched read needs; raises nothing more once made."""

    registration_key: str


class Candidates(msgspec.Struct, frozen=True):
    """What stands in the store under the keys: the individual enrollment with its keys opened, or None.

    `keys` are the enrollment's symmetric keys, primary first; empty for other mechanisms.
    """

    service_id: str
    enrollment: IndividualEnrollment | None
    enrollment_etag: str = ""
    keys: tuple[Secret, ...] = ()


def lookup_keys(claim: Claim) -> LookupKeys:
    """Raises InvalidRegistrationId where the claimed id is not of the published form."""
    return LookupKeys(registration_key(claim.registration_id))
