"""Owns the keeping of attempts: written in batches, never awaited by a device, bounded. It must not judge them.

Attempts of ids that match an enrollment are bounded per id; all others share one bound, so that a flood of unknown
ids pushes out nothing of the known ones. What is not written yet when a worker is killed is lost: an attempt tells
an operator something, it is no acknowledged state.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec
import structlog

from idscope.attestation import Claim
from idscope.errors import IdscopeError, ServiceUnavailable
from idscope.events import Attempt, MatchedKind, Verdict
from idscope.model.document import encode
from idscope.refusal import Reason, passed_before
from idscope.storage import AttemptRow, Put, Store, Trim, Unit, Write

_log = structlog.get_logger(__name__)

BATCH: Final = 100  # a unit is written in one go, and nothing else of the worker is done meanwhile
_SHOWN: Final = 200
_OVERSHOOT: Final = 10  # unknown ids are trimmed after each tenth of their bound, since a trim reads their whole bucket


class Run(msgspec.Struct, frozen=True):
    """One run of a verb, begun at `started`; `service_id` is empty where the claim names none that is here."""

    claim: Claim
    service_id: str
    verb: Literal["authenticate", "register"]
    started: int
    matched: str | None = None
    matched_kind: MatchedKind | None = None

    def attempt(
        self, verdict: Verdict, now: int, *, steps: tuple[str, ...] = (), error: IdscopeError | None = None
    ) -> Attempt:
        """What is kept of it. Ids that are not of the published form are cut, not trusted."""
        claim = self.claim
        attempt = Attempt(
            attempt_id=claim.tracking_id,
            at=self.started,
            service_id=self.service_id,
            id_scope=claim.id_scope[:_SHOWN],
            registration_id=claim.registration_id[:_SHOWN],
            registration_key=attempt_key(claim.registration_id),
            known=self.matched is not None,
            wire=claim.wire,
            peer=claim.peer,
            api_version=str(claim.api_version),
            verb=self.verb,
            verdict=verdict,
            steps=steps,
            matched_enrollment=self.matched,
            matched_kind=self.matched_kind,
            error_code=None if error is None else error.error_code,
            reason="" if error is None else error.reason or error.message,
            duration_us=now - self.started,
        )
        return attempt if error is None or error.why is None else because(attempt, error.why)


def attempt_key(registration_id: str) -> str:
    """Under which attempts of an id are found, whether it is one or not."""
    return registration_id[:_SHOWN].lower()


def because(attempt: Attempt, why: Reason) -> Attempt:
    """The attempt with the reason told, the step that refused, and those before it where none are known yet."""
    step = why.cause.step
    return msgspec.structs.replace(
        attempt,
        steps=attempt.steps or passed_before(step),
        reason=why.text,
        cause=why.cause.word,
        refused_step=step.value,
        facts=dict(why.facts),
    )


Afterthought = Callable[[Attempt], Awaitable[Attempt]]
"""Looks again at an attempt, away from the answer to the device; raises nothing."""


class AttemptRecorder:
    """Takes attempts at once and writes them every `interval` seconds; beyond `capacity` the oldest are dropped."""

    def __init__(
        self,
        store: Store,
        *,
        kept_per_id: int = 10,
        kept_unknown: int = 10_000,
        capacity: int = 5_000,
        interval: float = 0.2,
    ) -> None:
        self._store = store
        self._kept_per_id = kept_per_id
        self._kept_unknown = kept_unknown
        self._waiting: deque[tuple[Attempt, Afterthought | None]] = deque(maxlen=capacity)
        self._interval = interval
        self._unknown_since_trim = 0
        self._task: asyncio.Task[None] | None = None

    def record(self, attempt: Attempt, afterthought: Afterthought | None = None) -> None:
        """Keep the attempt; with an afterthought, what that makes of it when it is written."""
        self._waiting.append((attempt, afterthought))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_soon())

    async def close(self) -> None:
        """Write what waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            await self._flush()

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._interval)
            for _ in range(-(-len(self._waiting) // BATCH)):
                await self._flush()

    async def _flush(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        batch = [attempt if think is None else await think(attempt) for attempt, think in taken]
        writes: list[Write] = [Put(_row(attempt)) for attempt in batch]
        buckets = {(attempt.service_id, attempt.registration_key) for attempt in batch if attempt.known}
        writes += [Trim(AttemptRow, bucket, self._kept_per_id) for bucket in sorted(buckets)]
        writes += self._trim_unknown([attempt.service_id for attempt in batch if not attempt.known])
        try:
            await self._store.commit(Unit(tuple(writes)))
        except ServiceUnavailable as error:
            _log.warning("attempts were not kept", count=len(batch), reason=error.reason)

    def _trim_unknown(self, services: list[str]) -> list[Write]:
        self._unknown_since_trim += len(services)
        if self._unknown_since_trim < max(1, self._kept_unknown // _OVERSHOOT):
            return []
        self._unknown_since_trim = 0
        return [Trim(AttemptRow, (service, ""), self._kept_unknown) for service in sorted(set(services))]


def _row(attempt: Attempt) -> AttemptRow:
    return AttemptRow(
        service_id=attempt.service_id,
        bucket=attempt.registration_key if attempt.known else "",
        at=attempt.at,
        attempt_id=attempt.attempt_id,
        registration_key=attempt.registration_key,
        verdict=attempt.verdict,
        document=encode(attempt),
    )
