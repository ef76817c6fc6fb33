"""Owns the order of things when a device registers: three verbs, the same for every wire.
It must not know any wire, nor how a mechanism, a policy, a hub or a store does its part."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog
from msgspec import Raw

from idscope.attestation import (
    Authenticated,
    Challenge,
    Claim,
    Refused,
    TpmNonces,
    Verdict,
    challenge_first,
    lookup_keys,
)
from idscope.clock import Clock
from idscope.directory import Directory
from idscope.errors import (
    IdscopeError,
    InvalidArgument,
    ProvisioningError,
    RegistrationConflict,
    RegistrationNotFound,
    ServiceUnavailable,
)
from idscope.model.api_version import CSR_SINCE, ApiVersion
from idscope.model.document import UNSET
from idscope.model.guid import new_guid
from idscope.model.registration import DeviceRegistrationResult
from idscope.records import RegistrationRecord, device_result
from idscope.refusal import Cause, Reason
from idscope.registration.attempt_log import AttemptLog, verdict_of
from idscope.registration.attempts import AttemptRecorder
from idscope.registration.context import Context, ContextReader
from idscope.registration.enrolled_device import enrolled_device
from idscope.registration.group_tries import GroupTries
from idscope.registration.judged_again import check_still_let_in
from idscope.registration.kept_operation import AttestedDevice, KeptOperation, UnderWayElsewhere
from idscope.registration.operation_id import OperationIds
from idscope.registration.placement import Connectors
from idscope.registration.states import RegisterRequest, RegistrationResult, WorkflowSettings
from idscope.registration.tpm_device import keys_of, new_hub_key
from idscope.registration.unfinished import UnfinishedRegistration, Workshop
from idscope.security.sealing import Sealer
from idscope.storage import OperationRow, Store

_log = structlog.get_logger(__name__)

_RECOVERY_BATCH: Final = 100


class RegistrationWorkflow:
    """`authenticate`, `register`, `look_up`; and `recover`, which finishes what a dead worker began."""

    def __init__(
        self,
        *,
        store: Store,
        sealer: Sealer,
        directory: Directory,
        connectors: Connectors,
        clock: Clock,
        attempts: AttemptRecorder,
        operation_ids: OperationIds,
        tpm_nonces: TpmNonces,
        settings: WorkflowSettings,
    ) -> None:
        self.contexts = ContextReader(store, sealer, directory, settings.attestation, tpm_nonces)
        self._workshop = Workshop(self.contexts, store, sealer, connectors, clock, settings)
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._group_tries = GroupTries(settings.failed_group_tries, clock)
        self._recorder = attempts
        self._attempts = AttemptLog(attempts, self.contexts, clock)
        self._operation_ids = operation_ids
        self._settings = settings
        self._owner = new_guid()
        self._running: dict[tuple[str, str], UnfinishedRegistration] = {}
        self._judged: tuple[Verdict, Context] | None = None

    async def authenticate(self, claim: Claim) -> Authenticated | Challenge | Refused:
        """Whether the device is what it claims to be; what is not let in at once is kept for the operator. Raises
        StoreUnavailable."""
        started = self._clock.now()
        service_id = key = ""
        verdict: Verdict | None = challenge_first(claim)
        try:
            if verdict is None:
                service_id = self.contexts.service(claim.id_scope).service_id
                key = lookup_keys(claim).registration_key
                context = await self.contexts.read(service_id, key)
                verdict = self._group_tries.judge(claim, context, started)
                self._remember(verdict, context)
        except ProvisioningError as error:
            verdict = Refused(error)
        if isinstance(verdict, Refused):
            self._attempts.refused(claim, service_id, started, verdict)
        elif isinstance(verdict, Challenge) and verdict.enrollment_id is not None:
            self._attempts.challenged(claim, service_id, started, verdict.enrollment_id)
            self.contexts.root_keys.remember((service_id, key), verdict.storage_root_key.text)
        return verdict

    async def register(self, device: Authenticated, request: RegisterRequest) -> RegistrationResult:
        """The finished result, or `assigning` where it takes longer than the device is made to wait.

        Raises Unauthorized (the enrollment does not admit it any more), RegistrationConflict (`azure_timing`),
        InvalidArgument (a CSR where nothing issues certificates, a TPM's storage root key that is not known any
        more), StoreUnavailable.
        """
        started = self._clock.now()
        unfinished: UnfinishedRegistration | None = None
        try:
            _check_csr(request, device.claim.api_version)
            await self._check_who_joins(device)
            if device.proof.mechanism == "tpm":
                keys_of(device.proof)
            unfinished = self._unfinished(device, request)
            result = await self._wait(unfinished, device.claim.api_version)
        except IdscopeError as error:
            self._attempts.registered(device, started, "refused", unfinished, error)
            raise
        self._attempts.registered(device, started, verdict_of(result.status), unfinished)
        if not result.finished:
            self._attempts.completed_later(device, started, unfinished)
        return result

    async def look_up(
        self, device: Authenticated, operation_id: str | None, *, csr: str | None = None
    ) -> RegistrationResult:
        """How the operation stands, or (None) how the device's registration stands; writes nothing.

        Raises Unauthorized (the enrollment does not admit the device any more), RegistrationNotFound where the
        operation is not of this device, InvalidArgument where a CSR was sent along, StoreUnavailable.
        """
        if csr is not None and device.claim.api_version >= CSR_SINCE:
            raise InvalidArgument("A csr is not part of a status lookup.")
        service_id, key, version = device.service_id, device.registration_key, device.claim.api_version
        context = self._just_read(device) or await self.contexts.read(service_id, key)
        check_still_let_in(device, context)
        if operation_id is None:
            return self._registration_status(context, device, version)
        guid = self._operation_ids.guid_of(operation_id, service_id, key)
        if guid is None:
            raise RegistrationNotFound("Operation not found.", reason="the operation id is not of this registration")
        operation = context.operation
        if operation is not None and (operation.guid == guid or context.registration is None):
            self._resume_if_abandoned((operation,))
            return _assigning(operation_id, _registration_id(context, device))
        if context.registration is None:
            raise RegistrationNotFound(reason="the registration record was deleted")
        return _finished(operation_id, context.registration, version)

    async def recover(self) -> int:
        """Take over operations whose worker died; how many there were."""
        rows = await self._store.expired_operations(self._clock.now(), _RECOVERY_BATCH)
        self._resume_if_abandoned(rows)
        return len(rows)

    async def recover_forever(self) -> None:
        """Look for abandoned operations at half the pace of a lease."""
        while True:
            try:
                await self.recover()
            except IdscopeError as error:
                _log.warning("abandoned operations were not looked for", reason=error.reason or error.message)
            await self._clock.wait(self._clock.monotonic() + self._settings.lease / 2)

    async def close(self, seconds: float) -> None:
        """Let what is under way finish; what does not is kept and taken over later, if it was told `assigning`."""
        tasks = [one.task for one in self._running.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._recorder.close()

    async def _check_who_joins(self, device: Authenticated) -> None:
        """A registration under way judges whoever began it, not who comes to wait for it too. Raises Unauthorized."""
        key = (device.service_id, device.registration_key)
        if key in self._running:
            check_still_let_in(device, self._just_read(device) or await self.contexts.read(*key))

    def _unfinished(self, device: Authenticated, request: RegisterRequest) -> UnfinishedRegistration:
        key = (device.service_id, device.registration_key)
        running = self._running.get(key)
        if running is not None:
            if self._settings.azure_timing:
                raise RegistrationConflict(reason="the same device registers already")
            return running
        payload = UNSET if request.payload is None else Raw(request.payload)
        proof = device.proof
        attested = AttestedDevice(
            device.service_id, device.claim.registration_id, device.group_key, proof, payload, new_hub_key(proof)
        )
        unfinished = UnfinishedRegistration(
            self._workshop, self._operation(), key, device=attested, authenticated=device, read=self._just_read(device)
        )
        return self._begin(unfinished)

    def _remember(self, verdict: Verdict, context: Context) -> None:
        """For what the same request asks next, in the same turn of the event loop: HTTPS asks at once."""
        self._judged = (verdict, context)
        asyncio.get_running_loop().call_soon(self._forget)

    def _forget(self) -> None:
        self._judged = None

    def _just_read(self, device: Authenticated) -> Context | None:
        """What was read to let the device in, if that was a moment ago."""
        if self._judged is not None and self._judged[0] is device:
            return self._judged[1]
        return None

    def _resume_if_abandoned(self, rows: Iterable[OperationRow]) -> None:
        now = self._clock.now()
        for row in rows:
            key = (row.service_id, row.registration_key)
            if row.lease_until < now and key not in self._running:
                self._begin(UnfinishedRegistration(self._workshop, self._operation(), key, resume=row))

    def _operation(self) -> KeptOperation:
        guid = self._operation_ids.new_guid()
        return KeptOperation(self._store, self._sealer, self._clock, self._owner, self._settings.lease, guid)

    def _begin(self, unfinished: UnfinishedRegistration) -> UnfinishedRegistration:
        def done(task: asyncio.Task[RegistrationRecord]) -> None:
            del self._running[unfinished.key]
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.info("a registration did not finish", registration=unfinished.key[1], reason=_reason(error))

        self._running[unfinished.key] = unfinished
        unfinished.task.add_done_callback(done)
        return unfinished

    async def _wait(self, unfinished: UnfinishedRegistration, version: ApiVersion) -> RegistrationResult:
        """The result if it comes in time, else `assigning` once that is durable."""
        task = unfinished.task
        try:
            if not self._settings.azure_timing:
                await asyncio.wait((task,), timeout=self._settings.assign_wait)
            if not task.done():
                await unfinished.keep()
            if task.cancelled():
                raise ServiceUnavailable(reason="the server stops")
            if task.done() and not self._settings.azure_timing:
                return _finished(self._operation_text(unfinished), task.result(), version)
        except UnderWayElsewhere as elsewhere:
            if self._settings.azure_timing:
                raise RegistrationConflict(reason="the same device registers already") from None
            row = elsewhere.operation
            return _assigning(self._operation_ids.text(row.service_id, row.registration_key, row.guid))
        return _assigning(self._operation_text(unfinished))

    def _operation_text(self, unfinished: UnfinishedRegistration) -> str:
        return self._operation_ids.text(*unfinished.key, unfinished.operation.guid)

    def _registration_status(self, context: Context, device: Authenticated, version: ApiVersion) -> RegistrationResult:
        if context.operation is not None:
            self._resume_if_abandoned((context.operation,))
            return _assigning("", _registration_id(context, device))
        if context.registration is not None:
            return _finished("", context.registration, version)
        state = DeviceRegistrationResult(registration_id=_registration_id(context, device), status="unassigned")
        return RegistrationResult("", "unassigned", state, finished=True)


def _check_csr(request: RegisterRequest, version: ApiVersion) -> None:
    """A known client tries again without its CSR on exactly this text."""
    if request.csr is not None and version >= CSR_SINCE:
        why = Reason(Cause.CSR_NOT_SIGNED, "the device sent a CSR, and nothing here signs certificates")
        raise InvalidArgument("Device sent CSR but it is not configured in the service.", reason=why)


def _registration_id(context: Context, device: Authenticated) -> str:
    """In the enrollment's spelling; for a group's device in that of its first registration."""
    deciding = context.deciding(device.group_key)
    presented = device.claim.registration_id
    if deciding is None:
        return presented
    return enrolled_device(deciding.enrollment, presented, context.registration).registration_id


def _assigning(operation_id: str, registration_id: str | None = None) -> RegistrationResult:
    """A poll is shown the state, the answer to register is not."""
    state = None
    if registration_id is not None:
        state = DeviceRegistrationResult(registration_id=registration_id, status="assigning")
    return RegistrationResult(operation_id, "assigning", state, finished=False)


def _finished(operation_id: str, record: RegistrationRecord, version: ApiVersion) -> RegistrationResult:
    return RegistrationResult(operation_id, record.status, device_result(record, version), finished=True)


def _reason(error: BaseException) -> str:
    if isinstance(error, IdscopeError):
        return error.reason or error.message
    return str(error) if isinstance(error, UnderWayElsewhere) else type(error).__name__
