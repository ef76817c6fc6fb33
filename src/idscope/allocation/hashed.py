"""Owns the policy `hashed`: weighted rendezvous hashing, so that a hub more or less moves only its own share.
It must not know what the hubs are."""

from __future__ import annotations

import hashlib
import math
from typing import Final

from idscope.allocation.request import AllocationRequest, CandidateHub

_SCALE: Final = float(1 << 64)


def allocate_hashed(request: AllocationRequest) -> str:
    """The hub with the highest weighted score of this device; every server answers the same."""
    return max(request.hubs, key=lambda hub: (_score(request.device, hub), hub.hub_id)).hub_id


def _score(device: str, hub: CandidateHub) -> float:
    """-weight / ln(u) with u uniform in (0, 1): a hub of weight n wins n times as often as one of weight 1."""
    digest = hashlib.sha256(f"{device}\n{hub.hub_id}".encode()).digest()
    uniform = (int.from_bytes(digest[:8], "big") + 0.5) / _SCALE
    return -hub.weight / math.log(uniform)
