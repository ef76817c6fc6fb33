"""Owns the operation row of a registration under way: made only where somebody is told `assigning`, held by a lease,
taken over when its worker died. It must not know what the steps do."""

from __future__ import annotations

import asyncio

import msgspec
import structlog
from msgspec import Raw

from idscope.attestation import Proof
from idscope.clock import MICROSECONDS, Clock
from idscope.errors import ServiceUnavailable
from idscope.model.document import UNSET, UnsetType, decode, encode, encode_revealing
from idscope.model.etag import ABSENT, Matches, new_etag
from idscope.records import Placement
from idscope.registration.states import TRANSITIONS, Step
from idscope.secret import Secret
from idscope.security.sealing import Place, Sealer
from idscope.storage import Delete, ExpectationFailed, Key, OperationRow, Put, Store, Unit, Write, key_of

_log = structlog.get_logger(__name__)


class UnderWayElsewhere(Exception):
    """Another worker holds the operation of this device; `operation` is its row."""

    def __init__(self, operation: OperationRow) -> None:
        super().__init__("the registration is under way in another worker")
        self.operation = operation


class AttestedDevice(msgspec.Struct, frozen=True):
    """What must survive a crash to finish the registration of a device that proved itself. Kept sealed.

    `registration_id` is as the device spelled it; `group_key` is None for an individual enrollment. `hub_key` is the
    one that the hub gets, unless the device has one already, where the device brings none of its own (a TPM).
    """

    service_id: str
    registration_id: str
    group_key: str | None
    proof: Proof
    payload: Raw | UnsetType = UNSET
    hub_key: Secret | None = None


class _Progress(msgspec.Struct, frozen=True):
    """The part of an operation row that no column holds and that is no secret."""

    placement: Placement | None = None


class KeptOperation:
    """The operation of one device, in memory, and in the store once `keep` was called.

    Whoever writes the registration holds `lock` meanwhile, so that keeping and finishing never cross.
    """

    def __init__(self, store: Store, sealer: Sealer, clock: Clock, owner: str, lease_seconds: float, guid: str) -> None:
        self.guid = guid
        self.step = Step.ALLOCATING
        self.placement: Placement | None = None
        self.started = clock.now()
        self.lock = asyncio.Lock()
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._owner = owner
        self._lease = lease_seconds
        self._device: AttestedDevice | None = None
        self._row: OperationRow | None = None
        self._renewal: asyncio.Task[None] | None = None

    async def keep(self, device: AttestedDevice) -> None:
        """Return once the operation is durable, or finished. Raises UnderWayElsewhere, StoreUnavailable."""
        async with self.lock:
            while self._row is None and self.step is not Step.FINISHED:
                row = self._new_row(device)
                try:
                    await self._store.commit(Unit.of(Put(row, ABSENT)))
                    self._hold(device, row)
                except ExpectationFailed:
                    (other,) = await self._store.fetch((Key(OperationRow, _key(device)),))
                    if other is not None:
                        raise UnderWayElsewhere(other) from None

    def holds(self, row: OperationRow) -> bool:
        """Whether the row is ours, also while `keep` is still on its way."""
        return row.guid == self.guid and row.owner == self._owner

    def is_lost(self, found: OperationRow | None) -> bool:
        """Whether what was kept is gone: another worker took it over and finished."""
        return self._row is not None and found is None

    async def take_over(self, row: OperationRow) -> AttestedDevice:
        """Make an operation ours whose lease ended, and go on where it stood.

        Raises UnderWayElsewhere where its lease has not ended or another worker was faster, CannotOpen.
        """
        if row.lease_until > self._clock.now():
            raise UnderWayElsewhere(row)
        device = decode(self._sealer.open(row.sealed, _place(row.service_id, row.registration_key)), AttestedDevice)
        self.guid, self.started, self.step = row.guid, row.created, Step(row.step)
        self.placement = decode(row.document, _Progress).placement
        ours = self._new_row(device)
        try:
            await self._store.commit(Unit.of(Put(ours, Matches(row.etag))))
        except ExpectationFailed:
            raise UnderWayElsewhere(row) from None
        self._hold(device, ours)
        return device

    async def enter(self, step: Step, placement: Placement | None) -> None:
        """Go on to a step, durably where the operation is kept. Raises ExpectationFailed where it was taken over."""
        if step not in TRANSITIONS[self.step]:
            raise ValueError(f"no transition leads from {self.step} to {step}")
        async with self.lock:
            self.step, self.placement = step, placement
            if self._row is not None and self._device is not None:
                await self._rewrite(self._device)

    def removal(self) -> tuple[Write, ...]:
        """The write that removes the row, to stand in the unit that replaces it; nothing where there is no row."""
        return () if self._row is None else (Delete(key_of(self._row), Matches(self._row.etag)),)

    def finish(self) -> None:
        """Nothing is kept any more. The caller holds the lock, and the unit with `removal()` is durable."""
        self.step = Step.FINISHED
        self.let_go()

    def let_go(self) -> None:
        """Stop renewing the lease."""
        if self._renewal is not None:
            self._renewal.cancel()

    def _hold(self, device: AttestedDevice, row: OperationRow) -> None:
        self._device, self._row = device, row
        self._renewal = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            async with self.lock:
                if self._device is None or self.step is Step.FINISHED:
                    return
                try:
                    await self._rewrite(self._device)
                except ExpectationFailed:
                    return  # taken over: finishing will find out
                except ServiceUnavailable as error:
                    _log.warning("a lease was not renewed", operation=self.guid, reason=error.reason)

    async def _rewrite(self, device: AttestedDevice) -> None:
        row = self._new_row(device)
        etag = self._row.etag if self._row is not None else ""
        await self._store.commit(Unit.of(Put(row, Matches(etag))))
        self._row = row

    def _new_row(self, device: AttestedDevice) -> OperationRow:
        now = self._clock.now()
        service_id, registration_key = _key(device)
        return OperationRow(
            service_id=service_id,
            registration_key=registration_key,
            etag=new_etag(now),
            guid=self.guid,
            owner=self._owner,
            lease_until=now + round(self._lease * MICROSECONDS),
            step=self.step.value,
            document=encode(_Progress(self.placement)),
            sealed=self._sealer.seal(encode_revealing(device), _place(service_id, registration_key)),
            created=self.started,
        )


def _key(device: AttestedDevice) -> tuple[str, str]:
    return device.service_id, device.registration_id.lower()


def _place(service_id: str, registration_key: str) -> Place:
    return Place("operation", service_id, registration_key)
