"""Owns what is kept of each run of the workflow for the operator, and the second look at a refusal once the device has
its answer. It must not change what a device is told.

The second look needs the token, which is never stored: it happens when the attempt is written, a moment after the
answer, and for so many refusals a second only. What it finds out, and how long that takes, no device can see.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import msgspec
import structlog

from idscope.attestation import Authenticated, Claim, Refused, diagnose
from idscope.clock import Clock
from idscope.errors import IdscopeError
from idscope.events import Attempt, MatchedKind, Verdict
from idscope.model.registration import EnrollmentStatus
from idscope.records import RegistrationRecord
from idscope.refusal import Cause
from idscope.registration.attempts import AttemptRecorder, Run, because
from idscope.registration.context import ContextReader
from idscope.registration.unfinished import UnfinishedRegistration

_log = structlog.get_logger(__name__)

_WORTH_A_LOOK: Final = frozenset({Cause.SIGNED_WITH_UNKNOWN_KEY.word, Cause.FITS_NO_GROUP.word})
LOOKS_PER_SECOND: Final = 10
"""A look takes up to 10 ms where there are a hundred groups."""


class AttemptLog:
    """Makes attempts of runs and hands them to the recorder."""

    def __init__(self, recorder: AttemptRecorder, contexts: ContextReader, clock: Clock) -> None:
        self._recorder = recorder
        self._contexts = contexts
        self._clock = clock
        self._looks = 0
        self._looks_since = clock.monotonic()

    def refused(self, claim: Claim, service_id: str, started: int, refused: Refused) -> None:
        """A device that was not let in."""
        matched = refused.matched_enrollment
        kind: MatchedKind | None = None if matched is None else "group" if refused.by_group else "individual"
        run = Run(claim, service_id, "authenticate", started, matched, kind)
        attempt = run.attempt("refused", self._clock.now(), error=refused.error)
        if attempt.cause in _WORTH_A_LOOK and self._may_look():
            bare = msgspec.structs.replace(claim, chain=(), tpm=None)  # what waits here is bounded in size too
            self._recorder.record(attempt, partial(self._look_again, bare))
        else:
            self._recorder.record(attempt)

    def challenged(self, claim: Claim, service_id: str, started: int, enrollment_id: str) -> None:
        """A TPM that must prove itself first."""
        run = Run(claim, service_id, "authenticate", started, enrollment_id, "individual")
        self._recorder.record(run.attempt("challenged", self._clock.now()))

    def registered(
        self,
        device: Authenticated,
        started: int,
        verdict: Verdict,
        unfinished: UnfinishedRegistration | None,
        error: IdscopeError | None = None,
    ) -> None:
        """A device that was let in, and how its register ended."""
        kind: MatchedKind = "individual" if device.group_key is None else "group"
        steps: tuple[str, ...] = (f"proved by {device.proof.mechanism}, {device.proof.slot}",)
        why = None
        if unfinished is not None:
            kind, steps, why = unfinished.decided_by, (*steps, *unfinished.steps), unfinished.why
        run = Run(device.claim, device.service_id, "register", started, device.enrollment_id, kind)
        attempt = run.attempt(verdict, self._clock.now(), steps=steps, error=error)
        if why is not None and verdict in {"failed", "disabled"}:
            attempt = because(attempt, why)
        self._recorder.record(attempt)

    def completed_later(self, device: Authenticated, started: int, unfinished: UnfinishedRegistration) -> None:
        """A device that was told `assigning`: its attempt gets the end once there is one, if this worker sees it."""

        def done(task: asyncio.Task[RegistrationRecord]) -> None:
            if task.cancelled():
                return
            error = task.exception()
            if error is None:
                self.registered(device, started, verdict_of(task.result().status), unfinished)
            elif isinstance(error, IdscopeError):
                self.registered(device, started, "refused", unfinished, error)

        unfinished.task.add_done_callback(done)

    def _may_look(self) -> bool:
        now = self._clock.monotonic()
        if now - self._looks_since >= 1:
            self._looks, self._looks_since = 0, now
        self._looks += 1
        return self._looks <= LOOKS_PER_SECOND

    async def _look_again(self, claim: Claim, attempt: Attempt) -> Attempt:
        """The attempt with a better reason, if there is one."""
        try:
            context = await self._contexts.read(attempt.service_id, attempt.registration_key, all_groups=True)
        except IdscopeError as error:
            _log.debug("a refusal was not looked at again", reason=error.reason or error.message)
            return attempt
        why = diagnose(claim, context.candidates())
        return attempt if why is None else because(attempt, why)


def verdict_of(status: EnrollmentStatus) -> Verdict:
    return status if status != "unassigned" else "assigning"
