"""Owns the limit on failed tries at groups: how many tokens of one address may fit no symmetric-key group in a minute.
It must not know how a token is judged, nor count anything that tries no group.

A token that names no individual enrollment is tried with the keys of all groups; only that costs more the more groups
there are. Beyond the limit a device is told to come back, except by the group of its last registration, which is one
try. What an enabled individual enrollment says is never touched.
"""

from __future__ import annotations

import ipaddress
import math
from typing import Final

import msgspec

from idscope.attestation import Candidates, Claim, GroupCandidate, Refused, Verdict, judge
from idscope.clock import Clock
from idscope.errors import Throttled
from idscope.model.document import given
from idscope.refusal import Cause, Reason, Step
from idscope.registration.context import Context

WINDOW: Final = 60.0  # seconds
MAX_ADDRESSES: Final = 10_000  # about 2 MB
LONGEST_HINT: Final = 5  # seconds; what is longer or shorter than 2 to 5 some clients ignore (observed)
_SHORTEST_HINT: Final = 2
_SITE_BITS: Final = 64  # of IPv6: what one customer has


class _Window(msgspec.Struct):
    """The failed tries of one address since the first of them."""

    ends: float
    count: int = 0


class GroupTries:
    """Judges claims, and counts in memory; `limit` failed tries a minute, 0 for no limit."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._windows: dict[str, _Window] = {}  # the oldest first, since all are of one length

    def judge(self, claim: Claim, context: Context, now: int) -> Verdict:
        """The verdict, `Throttled` where groups would have to be tried beyond the limit."""
        candidates = context.candidates()
        if not self._limit or not _groups_are_tried(claim, candidates):
            return judge(claim, candidates, now)
        address = _address(claim.peer)
        left = self._seconds_until_more(address)
        if left > 0:
            candidates = msgspec.structs.replace(candidates, groups=_group_of_last_registration(candidates, context))
        verdict = judge(claim, candidates, now)
        if not isinstance(verdict, Refused) or not _fits_no_group(verdict, candidates):
            return verdict
        if left <= 0:
            self._count(address)
        elif candidates.enrollment is None:
            return Refused(self._throttled(address, left))
        return verdict

    def _throttled(self, address: str, left: float) -> Throttled:
        seconds = math.ceil(left)
        text = (
            f"{self._limit} tokens from {address} fitted no symmetric-key group within a minute; "
            f"tokens of unknown devices are looked at again in {seconds} s"
        )
        hint = min(LONGEST_HINT, max(_SHORTEST_HINT, seconds))
        return Throttled(reason=Reason(Cause.TOO_MANY_FAILED_TRIES, text), retry_after=hint)

    def _seconds_until_more(self, address: str) -> float:
        """0 where the address is within its limit."""
        window = self._windows.get(address)
        if window is None or window.count < self._limit:
            return 0.0
        return max(0.0, window.ends - self._clock.monotonic())

    def _count(self, address: str) -> None:
        now = self._clock.monotonic()
        window = self._windows.get(address)
        if window is None or window.ends <= now:
            self._windows.pop(address, None)
            self._make_room(now)
            window = self._windows[address] = _Window(now + WINDOW)
        window.count += 1

    def _make_room(self, now: float) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest].ends > now and len(self._windows) < MAX_ADDRESSES:
                return
            del self._windows[oldest]


def _groups_are_tried(claim: Claim, candidates: Candidates) -> bool:
    if claim.sas is None or claim.nonce is not None or not candidates.groups:
        return False  # a nonce is a TPM's
    enrollment = candidates.enrollment
    return enrollment is None or given(enrollment.provisioning_status) == "disabled"


def _group_of_last_registration(candidates: Candidates, context: Context) -> tuple[GroupCandidate, ...]:
    last = None if context.registration is None else context.registration.group_id
    first = candidates.groups[0]
    return (first,) if last is not None and first.group_key == last.lower() else ()


def _fits_no_group(refused: Refused, candidates: Candidates) -> bool:
    """Whether groups were tried, or would have been, in vain. Where they were tried for a disabled enrollment, the
    refusal is that one's."""
    why = refused.error.why
    if why is None:
        return False
    if candidates.enrollment is None:
        return why.cause in {Cause.FITS_NO_GROUP, Cause.NOT_ENROLLED}
    return why.cause.step not in {Step.TOKEN, Step.RESOURCE}


def _address(peer: str) -> str:
    """Whom a peer's address counts for: itself, of IPv6 the site's network."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _SITE_BITS), strict=False))
