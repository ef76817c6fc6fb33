"""Owns the second look at a device whose connection lives on: is it still let in by what let it in? It must not know
what the device asks for."""

from __future__ import annotations

from typing import Final

from idscope.attestation import Authenticated, judge
from idscope.errors import Unauthorized
from idscope.refusal import Cause, Reason
from idscope.registration.context import Context

NOT_OF_IT_ANY_MORE: Final = "the enrollment changed, and the device's credential is not of it any more"


def judged_again(known: Authenticated, context: Context) -> Authenticated | None:
    """The device itself where nothing changed that could matter, a new verdict where it is still let in by the same
    enrollment or group, None where it is not.

    Its own enrollment has an etag; a nearer group, or a CA certificate that is gone, shows in the service's revision.
    Judged as of the time when it proved itself: what it showed may have expired since, with the connection still good.
    """
    deciding = context.deciding(known.group_key)
    if deciding is None:
        return None
    if known.enrollment_etag == deciding.etag and known.revision == context.service.revision:
        return known
    verdict = judge(known.claim, context.candidates(), known.at)
    if not isinstance(verdict, Authenticated) or verdict.enrollment_etag != deciding.etag:
        return None
    return verdict


def check_still_let_in(known: Authenticated, context: Context) -> None:
    """Raises Unauthorized where it is not."""
    if judged_again(known, context) is None:
        raise Unauthorized(reason=Reason(Cause.ENROLLMENT_CHANGED, NOT_OF_IT_ANY_MORE))
