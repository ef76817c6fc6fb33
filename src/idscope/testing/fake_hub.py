"""Owns hubs for tests: a dictionary that keeps every promise of a connector, and a wrapper that makes calls go wrong.
It must not know any real hub, nor the workflow that it is tested against."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from idscope.clock import Clock
from idscope.errors import HubDeviceExists, HubError, HubPreconditionFailed
from idscope.hubs.connector import HubConnector
from idscope.model.device_identity import HubDevice, TwinContent
from idscope.model.etag import Absent, Expectation, Matches, Present

HubVerb = Literal["read", "put", "delete", "check"]


class HubCall(msgspec.Struct, frozen=True):
    """One call that a hub got; `device_id` is empty for a check."""

    verb: HubVerb
    device_id: str = ""


def hold_to(expect: Expectation, stored: HubDevice | None, device_id: str) -> None:
    """Raises what a connector raises where the expectation does not hold."""
    match expect:
        case Absent():
            if stored is not None:
                raise HubDeviceExists(f"A device with ID '{device_id}' is already registered.")
        case Present():
            if stored is None:
                raise HubPreconditionFailed
        case Matches(etag=etag):
            if stored is None or stored.etag != etag:
                raise HubPreconditionFailed


class FakeHubConnector:
    """A hub in a dictionary; `devices`, `twins` and `calls` are there to be looked at, and changed by hand."""

    def __init__(self, host_name: str = "127.0.0.1") -> None:
        self._host_name = host_name
        self._etags = 0
        self.devices: dict[str, HubDevice] = {}
        self.twins: dict[str, TwinContent] = {}
        self.calls: list[HubCall] = []

    @property
    def host_name(self) -> str:
        return self._host_name

    async def read(self, device_id: str) -> HubDevice | None:
        self.calls.append(HubCall("read", device_id))
        return self.devices.get(device_id)

    async def put(self, device: HubDevice, expect: Expectation, initial_twin: TwinContent | None = None) -> HubDevice:
        self.calls.append(HubCall("put", device.device_id))
        stored = self.devices.get(device.device_id)
        hold_to(expect, stored, device.device_id)
        if stored is None:
            self.twins[device.device_id] = initial_twin or TwinContent()
        self._etags += 1
        self.devices[device.device_id] = msgspec.structs.replace(device, etag=f"fake{self._etags}")
        return self.devices[device.device_id]

    def creation(self, device: HubDevice, initial_twin: TwinContent) -> None:  # noqa: ARG002  a hub of its own
        return None

    async def delete(self, device_id: str, expect: Expectation) -> None:
        self.calls.append(HubCall("delete", device_id))
        hold_to(expect, self.devices.get(device_id), device_id)
        self.devices.pop(device_id, None)
        self.twins.pop(device_id, None)

    async def check(self) -> None:
        self.calls.append(HubCall("check"))


class HeldCall:
    """A call that hangs: `await reached.wait()` until it is there, `release()` lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    async def _pass(self) -> None:
        self.reached.set()
        await self._released.wait()


class _Fault(msgspec.Struct, frozen=True):
    """What happens to one call: a wait before it, and an error before or after it takes effect."""

    verb: HubVerb | None
    held: HeldCall | None = None
    pause: tuple[Clock, float] | None = None
    refusal: Callable[[], HubError] | None = None
    lost_answer: Callable[[], HubError] | None = None


class FaultyHubConnector:
    """Any connector, whose next calls fail, hang until released, or are slow; each fault is used up by one call.

    Faults are taken in the order in which they were asked for, by the first call of their verb (None: of any).
    """

    def __init__(self, inner: HubConnector) -> None:
        self.inner = inner
        self._faults: deque[_Fault] = deque()

    @property
    def host_name(self) -> str:
        return self.inner.host_name

    @property
    def faults_left(self) -> int:
        return len(self._faults)

    def refuse_next(self, error: Callable[[], HubError], verb: HubVerb | None = None, times: int = 1) -> None:
        """The next calls fail with `error()` (a class of the hub branch, say) and change nothing."""
        self._faults.extend(_Fault(verb, refusal=error) for _ in range(times))

    def lose_next_answer(self, error: Callable[[], HubError], verb: HubVerb | None = None) -> None:
        """The next call takes effect, and then fails: the answer was lost on its way."""
        self._faults.append(_Fault(verb, lost_answer=error))

    def hold_next(self, verb: HubVerb | None = None) -> HeldCall:
        """The next call hangs, before it takes effect, until it is released."""
        held = HeldCall()
        self._faults.append(_Fault(verb, held=held))
        return held

    def slow_next(self, clock: Clock, seconds: float, verb: HubVerb | None = None) -> None:
        """The next call takes that long on the clock before it takes effect."""
        self._faults.append(_Fault(verb, pause=(clock, seconds)))

    async def read(self, device_id: str) -> HubDevice | None:
        fault = await self._before("read")
        found = await self.inner.read(device_id)
        _after(fault)
        return found

    async def put(self, device: HubDevice, expect: Expectation, initial_twin: TwinContent | None = None) -> HubDevice:
        fault = await self._before("put")
        stored = await self.inner.put(device, expect, initial_twin)
        _after(fault)
        return stored

    def creation(self, device: HubDevice, initial_twin: TwinContent) -> None:  # noqa: ARG002  its calls are to fail
        return None

    async def delete(self, device_id: str, expect: Expectation) -> None:
        fault = await self._before("delete")
        await self.inner.delete(device_id, expect)
        _after(fault)

    async def check(self) -> None:
        fault = await self._before("check")
        await self.inner.check()
        _after(fault)

    async def _before(self, verb: HubVerb) -> _Fault | None:
        fault = next((one for one in self._faults if one.verb in {None, verb}), None)
        if fault is None:
            return None
        self._faults.remove(fault)
        if fault.held:
            await fault.held._pass()  # noqa: SLF001  (the two are one thing; the method is not for tests)
        if fault.pause:
            clock, seconds = fault.pause
            await clock.wait(clock.monotonic() + seconds)
        if fault.refusal:
            raise fault.refusal()
        return fault


def _after(fault: _Fault | None) -> None:
    if fault and fault.lost_answer:
        raise fault.lost_answer()
