"""Owns the typed things that happened. It must not know who listens.

An `Attempt` is one run of the registration workflow, kept so that an operator can be told why a device was refused.
It holds no secret: no key, no token, no signature.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Wire = Literal["Http", "Mqtt", "MqttWs", "Amqp", "AmqpWs"]
Verdict = Literal["assigned", "assigning", "failed", "disabled", "challenged", "refused", "unavailable"]


MatchedKind = Literal["individual", "group"]


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`attempt_id` is the trackingId that the device saw; `at` in microseconds since the epoch.

    `steps` were passed; `refused_step` was not, for the `cause` (a word of `idscope.refusal`) that `reason` tells in a
    sentence; `facts` are what advice about it names. All of that may be empty, as may `service_id` (an id scope of
    nobody) and `id_scope` (what an older version kept).
    """

    attempt_id: str
    at: int
    service_id: str
    id_scope: str = ""
    registration_id: str
    registration_key: str
    known: bool
    wire: Wire
    peer: str
    api_version: str
    verb: Literal["authenticate", "register"]
    verdict: Verdict
    steps: tuple[str, ...] = ()
    matched_enrollment: str | None = None
    matched_kind: MatchedKind | None = None
    error_code: int | None = None
    reason: str = ""
    cause: str = ""
    refused_step: str = ""
    facts: dict[str, str] = {}
    duration_us: int = 0
