"""Owns the states of an unfinished registration and what leads from one to the next.
It must not know how a step is carried out.

    allocating ── a hub is chosen ──────────────▶ placing
    placing ──── the device stands on that hub ─▶ finished (assigned)
    allocating, placing ── refused until the limit, or for good ─▶ finished (failed)
    allocating ── the enrollment is disabled ───▶ finished (disabled)

Every step can be done again: a crash between any two of them is healed by doing the last one once more. The step is
written to the store only where somebody was told `assigning`; `finished` has no row, the registration replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec

from idscope.attestation import AttestationRules
from idscope.model.registration import DeviceRegistrationResult, EnrollmentStatus


class Step(Enum):
    """Where an unfinished registration stands; the value is what the store keeps."""

    ALLOCATING = "allocating"
    PLACING = "placing"
    FINISHED = "finished"


TRANSITIONS: Final[Mapping[Step, frozenset[Step]]] = {
    Step.ALLOCATING: frozenset({Step.PLACING, Step.FINISHED}),
    Step.PLACING: frozenset({Step.ALLOCATING, Step.FINISHED}),
    Step.FINISHED: frozenset(),
}


class RegisterRequest(msgspec.Struct, frozen=True):
    """What a device asks besides being itself. `payload` is kept byte for byte for the webhook and never echoed."""

    tracking_id: str
    payload: bytes | None = None
    csr: str | None = None


class RegistrationResult(msgspec.Struct, frozen=True):
    """What every wire answers from. `finished` says that polling is over; `state` is None while nothing is known."""

    operation_id: str
    status: EnrollmentStatus
    state: DeviceRegistrationResult | None
    finished: bool


class WorkflowSettings(msgspec.Struct, frozen=True):
    """All times in seconds.

    `assign_wait`: how long a request waits for its result before `assigning` is answered. `azure_timing`: never wait,
    and refuse a second registration of the same device with 409203, as the real service does. `hub_limit`: how long
    an unwilling hub is tried. `hub_timeout`: how long one call to a hub may take. `lease`: after how long without a
    sign of life another worker takes an operation over. `attestation`: by which rules devices prove themselves.
    `failed_group_tries`: how many tokens of one address may fit no group in a minute, 0 for any number.
    """

    assign_wait: float = 1.0
    azure_timing: bool = False
    hub_limit: float = 60.0
    hub_timeout: float = 10.0
    first_retry: float = 0.1
    longest_retry: float = 5.0
    lease: float = 10.0
    attestation: AttestationRules = AttestationRules()
    failed_group_tries: int = 300
