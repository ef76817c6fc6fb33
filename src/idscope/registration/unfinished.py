"""Owns one registration under way: it carries the steps out, again where needed, and finishes once.
It must not know who waits for it: a closed connection cancels nothing."""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn

import msgspec

from idscope.attestation import Authenticated, Proof
from idscope.clock import MICROSECONDS, Clock, next_time
from idscope.errors import AllocationFailed, HubError, HubRefused, RegistrationNotFound, Unauthorized
from idscope.events import MatchedKind
from idscope.model.device_identity import HubCredential
from idscope.model.document import UNSET, given
from idscope.model.enrollment import Enrollment, IndividualEnrollment
from idscope.model.etag import ABSENT, Matches, new_etag
from idscope.model.registration import EnrollmentStatus, X509RegistrationResult
from idscope.records import Placement, RegistrationRecord, registration_row
from idscope.refusal import Cause, Reason
from idscope.refusal import Step as RefusedStep
from idscope.registration.context import Context, ContextReader
from idscope.registration.enrolled_device import EnrolledDevice, enrolled_device, hub_credential
from idscope.registration.judged_again import NOT_OF_IT_ANY_MORE, judged_again
from idscope.registration.kept_operation import AttestedDevice, KeptOperation
from idscope.registration.placement import Connectors, choose_hub, linked_hub, place
from idscope.registration.states import Step, WorkflowSettings
from idscope.registration.tpm_device import keep_hub_key, kept_hub_key
from idscope.secret import Secret
from idscope.security.sealing import Sealer
from idscope.storage import ExpectationFailed, OperationRow, Put, Store, Unit, Write

_FAULTS_OF_THE_DEVICE: Final = frozenset({400, 403, 413})  # a twin that is no twin, or too large


class Workshop(msgspec.Struct, frozen=True):
    """What every registration under way works with."""

    contexts: ContextReader
    store: Store
    sealer: Sealer
    connectors: Connectors
    clock: Clock
    settings: WorkflowSettings


class _Decision(msgspec.Struct, frozen=True):
    """How the registration ends; `creation` puts the device on its hub, where that is in our own store."""

    record: RegistrationRecord
    creation: tuple[Write, ...] = ()


class UnfinishedRegistration:
    """One registration, from an attested device to a finished record.

    It runs as `task` from the start. `key` is service id and registration key; `device` and `authenticated` are None
    for one that is resumed from `resume`, the row of a worker that died. `read` is the context where that was read for
    the same request. `steps` and `why` are for the operator: what was done, and what ended it otherwise than assigned.
    """

    def __init__(
        self,
        workshop: Workshop,
        operation: KeptOperation,
        key: tuple[str, str],
        *,
        device: AttestedDevice | None = None,
        authenticated: Authenticated | None = None,
        resume: OperationRow | None = None,
        read: Context | None = None,
    ) -> None:
        self.operation = operation
        self.key = key
        self.steps: list[str] = []
        self.why: Reason | None = None
        self.decided_by: MatchedKind = "individual" if device is None or device.group_key is None else "group"
        self._workshop = workshop
        self._device = device
        self._authenticated = authenticated
        self._resume = resume
        self._just_read = read
        self._changed_meanwhile = False
        self.task = asyncio.get_running_loop().create_task(self._carry_out())

    async def keep(self) -> None:
        """Return once the operation is durable, or finished. Raises UnderWayElsewhere, StoreUnavailable."""
        if self._device is not None:
            await self.operation.keep(self._device)

    async def _carry_out(self) -> RegistrationRecord:
        """The finished record. Raises Unauthorized, UnderWayElsewhere, StoreUnavailable, CannotOpen."""
        try:
            if self._resume is not None:
                await self._take_over(self._resume)
            delay = self._workshop.settings.first_retry
            while True:
                context, device = await self._read()
                if self.operation.is_lost(context.operation):
                    return _finished_elsewhere(context)
                try:
                    decision = await self._decided(context, device)
                    if decision is not None:
                        return await self._finish(context, decision)
                    await self._workshop.clock.wait(self._workshop.clock.monotonic() + delay)
                    delay = min(delay * 2, self._workshop.settings.longest_retry)
                    await self._choose_anew()
                except ExpectationFailed:  # registration, operation or device are another's now: read, and look, again
                    self.steps.append("changed meanwhile")
                    self._changed_meanwhile = True
        finally:
            self.operation.let_go()

    async def _take_over(self, row: OperationRow) -> None:
        self._device = await self.operation.take_over(row)
        self.steps.append("taken over")

    async def _read(self) -> tuple[Context, EnrolledDevice]:
        """Read again what may have changed. Raises Unauthorized where the enrollment does not admit the device now."""
        context = self._just_read or await self._workshop.contexts.read(*self.key)
        self._just_read = None
        operation = context.operation
        if operation is not None and not self.operation.holds(operation):
            await self._take_over(operation)
        attested = self._attested()
        deciding = context.deciding(attested.group_key)
        if deciding is None:
            await self._refuse("the enrollment was deleted while the device registered")
        await self._judge_again(context, deciding.etag)
        self.decided_by = "individual" if isinstance(deciding.enrollment, IndividualEnrollment) else "group"
        if self._is_not_of(deciding.enrollment):
            await self._refuse("the device proved itself by a group, and has an individual enrollment now")
        return context, enrolled_device(deciding.enrollment, attested.registration_id, context.registration)

    async def _judge_again(self, context: Context, enrollment_etag: str) -> None:
        """A device must still be let in by its enrollment, whatever changed since it proved itself."""
        known = self._authenticated
        if known is None:
            return
        verdict = judged_again(known, context)
        if verdict is None or verdict.enrollment_etag != enrollment_etag:
            await self._refuse(NOT_OF_IT_ANY_MORE)
        if verdict is known:
            return
        self._authenticated = verdict
        self._device = msgspec.structs.replace(self._attested(), group_key=verdict.group_key, proof=verdict.proof)

    async def _decided(self, context: Context, device: EnrolledDevice) -> _Decision | None:
        """The end, None where another try is worth it. Raises ExpectationFailed."""
        try:
            return await self._decide(context, device)
        except (AllocationFailed, HubError) as error:
            return _Decision(self._failed(context, device, error)) if self._given_up(error) else None

    def _is_not_of(self, enrollment: Enrollment) -> bool:
        """A group's proof is good for an individual enrollment only in so far as that one says `disabled`."""
        of_group = self._attested().group_key is not None
        disabled = given(enrollment.provisioning_status) == "disabled"
        return of_group and isinstance(enrollment, IndividualEnrollment) and not disabled

    async def _decide(self, context: Context, device: EnrolledDevice) -> _Decision:
        """A device that is assigned or disabled. Raises AllocationFailed, HubError."""
        operation, proof = self.operation, self._attested().proof
        if given(device.enrollment.provisioning_status) == "disabled":
            self.why = _disabled(device)
            return _Decision(self._record(context, device, "disabled"))
        previous = None if context.registration is None else context.registration.placement
        if operation.step is Step.ALLOCATING or operation.placement is None:
            chosen = choose_hub(context.service, device, previous)
            await operation.enter(Step.PLACING, chosen)
        else:
            chosen = operation.placement
        made = await self._hub_key(context)
        creation = await self._place(context, device, chosen, hub_credential(device, proof, made))
        repeated = previous is not None and previous.hub_id == chosen.hub_id
        record = msgspec.structs.replace(
            self._record(context, device, "assigned"),
            placement=chosen,
            substatus="reprovisionedToInitialAssignment" if repeated else "initialAssignment",
        )
        if made is not None:
            record = keep_hub_key(self._workshop.sealer, self.key, record, proof, made, chosen.host_name)
        return _Decision(record, creation)

    async def _hub_key(self, context: Context) -> Secret | None:
        """The key that is made for a TPM's device; None for all others. A new one is durable before the hub has it, or
        two workers would give the device two. Raises UnderWayElsewhere, StoreUnavailable, CannotOpen."""
        attested = self._attested()
        if attested.hub_key is None:
            return None
        kept = kept_hub_key(self._workshop.sealer, self.key, context.registration, attested.proof)
        if kept is None:
            await self.operation.keep(attested)
        return kept or attested.hub_key

    async def _place(
        self, context: Context, device: EnrolledDevice, chosen: Placement, credential: HubCredential
    ) -> tuple[Write, ...]:
        connector = self._workshop.connectors(linked_hub(context.service, chosen.hub_id))
        first = context.registration is None and not self._changed_meanwhile
        limit = self._workshop.settings.hub_timeout
        creation = await place(connector, chosen, device, credential, limit, first=first)
        self.steps.append(f"placed on {chosen.host_name}")
        return creation

    def _failed(
        self, context: Context, device: EnrolledDevice, error: AllocationFailed | HubError
    ) -> RegistrationRecord:
        failure = error if isinstance(error, AllocationFailed) else HubRefused(_hub_words(error))
        self.why = _failure_reason(error, self.operation.placement)
        return msgspec.structs.replace(
            self._record(context, device, "failed"), error_code=failure.error_code, error_message=failure.message
        )

    def _record(self, context: Context, device: EnrolledDevice, status: EnrollmentStatus) -> RegistrationRecord:
        before = context.registration
        updated = next_time(self._workshop.clock.now(), None if before is None else before.updated)
        return RegistrationRecord(
            registration_id=device.registration_id,
            registration_key=self.key[1],
            status=status,
            mechanism=self._attested().proof.mechanism,
            etag=new_etag(updated),
            created=updated if before is None else before.created,
            updated=updated,
            placement=None if before is None else before.placement,
            group_id=device.group_id,
            x509=_x509_result(self._attested().proof, device.group_id) if status == "assigned" else None,
            tpm=None if before is None else before.tpm,
            sealed="" if before is None else before.sealed,
        )

    async def _finish(self, context: Context, decision: _Decision) -> RegistrationRecord:
        """Write the record and what goes with it, and remove the operation, in one unit. Raises ExpectationFailed where
        any of it changed."""
        before, record = context.registration, decision.record
        async with self.operation.lock:
            writes: tuple[Write, ...] = self.operation.removal()
            if record.status == "disabled" and before is not None and before.status == "disabled":
                record = before  # nothing new to say: a disabled device that asks every second costs no write
            else:
                row = registration_row(context.service.service_id, record)
                writes = (Put(row, ABSENT if before is None else Matches(before.etag)), *decision.creation, *writes)
            if writes:
                await self._workshop.store.commit(Unit(writes))
            self.operation.finish()
        self.steps.append(record.status)
        return record

    def _given_up(self, error: AllocationFailed | HubError) -> bool:
        self.steps.append(f"{self.operation.step.value}: {error.message}")
        if _is_lasting(error):
            return True
        elapsed = (self._workshop.clock.now() - self.operation.started) / MICROSECONDS
        return elapsed >= self._workshop.settings.hub_limit

    async def _choose_anew(self) -> None:
        """The hub may have been unlinked meanwhile, or another one linked."""
        if self.operation.step is Step.PLACING:
            await self.operation.enter(Step.ALLOCATING, None)

    async def _refuse(self, reason: str) -> NoReturn:
        """Forget the operation, so that nobody resumes it without the device's proof. Raises Unauthorized."""
        async with self.operation.lock:
            removal = self.operation.removal()
            if removal:
                await self._workshop.store.commit(Unit(removal))
            self.operation.finish()
        raise Unauthorized(reason=Reason(Cause.ENROLLMENT_CHANGED, reason))

    def _attested(self) -> AttestedDevice:
        if self._device is None:
            raise RuntimeError("a resumed registration takes its operation over first")
        return self._device


def _finished_elsewhere(context: Context) -> RegistrationRecord:
    """What the worker wrote that took the operation over. Raises RegistrationNotFound where that was deleted since."""
    if context.registration is None:
        raise RegistrationNotFound(reason="another worker finished the registration, and its record was deleted")
    return context.registration


def _is_lasting(error: AllocationFailed | HubError) -> bool:
    """Whether another try with the same device cannot end otherwise: the hub finds fault with the device itself."""
    if isinstance(error, AllocationFailed):
        return error.lasting
    return error.status in _FAULTS_OF_THE_DEVICE


def _disabled(device: EnrolledDevice) -> Reason:
    enrollment = device.enrollment
    if isinstance(enrollment, IndividualEnrollment):
        name = enrollment.registration_id
        text = f"the individual enrollment {name!r} is disabled"
        return Reason(Cause.ENROLLMENT_DISABLED, text, {"enrollment": name})
    name = enrollment.enrollment_group_id
    text = f"the enrollment group {name!r} is disabled"
    return Reason(Cause.GROUP_DISABLED, text, {"group": name})


def _failure_reason(error: AllocationFailed | HubError, placement: Placement | None) -> Reason:
    """In the hub's words, with its name, where a hub was chosen already."""
    text = error.reason or error.message
    cause = (error.why or Reason(Cause.HUB_REFUSED, text)).cause
    if placement is None or cause.step is not RefusedStep.HUB:
        return Reason(cause, text)
    return Reason(cause, f"{placement.host_name}: {text}", {"hub": placement.host_name})


def _x509_result(proof: Proof, group_id: str | None) -> X509RegistrationResult | None:
    if proof.certificate is None:
        return None
    return X509RegistrationResult(
        certificate_info=proof.certificate,
        enrollment_group_id=UNSET if group_id is None else group_id,
        signing_certificate_info=UNSET if proof.signing_certificate is None else proof.signing_certificate,
    )


def _hub_words(error: HubError) -> str:
    return f"ErrorCode:{error.code_word};{error.message}"
