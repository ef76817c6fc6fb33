"""Owns what an allocation is decided from. It must not know who asks, nor how a hub is reached."""

from __future__ import annotations

import msgspec


class CandidateHub(msgspec.Struct, frozen=True):
    """A hub that may take the device; weight 1 to 1000."""

    hub_id: str
    weight: int = 1


class AllocationRequest(msgspec.Struct, frozen=True):
    """`device` is the registration key; `named` says that the enrollment itself named the hubs."""

    device: str
    hubs: tuple[CandidateHub, ...]
    named: bool
