"""Owns the interface to one IoT hub. It must not know which kind of hub it is, nor why a device is put there.

Every method is idempotent. Errors are the hub branch of `idscope.errors`: HubUnavailable and HubThrottled are worth
another try, every other HubError is the hub's final word. Every implementation passes
`idscope.testing.hub_contract`.
"""

from __future__ import annotations

from typing import Protocol

from idscope.model.device_identity import HubDevice, TwinContent
from idscope.model.etag import Expectation
from idscope.storage import Write


class HubConnector(Protocol):
    """One hub, named by `host_name` (bare, with a dot, as devices are told)."""

    @property
    def host_name(self) -> str: ...

    async def read(self, device_id: str) -> HubDevice | None:
        """The device with its credential and etag, None where there is none."""
        ...

    async def put(self, device: HubDevice, expect: Expectation, initial_twin: TwinContent | None = None) -> HubDevice:
        """Create (`Absent`) or update (`Matches`, `Present`, `Anything`) the device; answers it with its new etag.

        A created device has its initial twin in the same instant; an update leaves the twin alone. Raises
        HubPreconditionFailed or HubDeviceExists where the expectation does not hold.
        """
        ...

    def creation(self, device: HubDevice, initial_twin: TwinContent) -> tuple[Write, ...] | None:
        """What creates the device as `put` would, to be written together with what else the caller writes: one unit
        fails, or creates it. None where the hub keeps its devices elsewhere."""
        ...

    async def delete(self, device_id: str, expect: Expectation) -> None:
        """Remove the device and its twin; a device that is not there is no error under `Anything`."""
        ...

    async def check(self) -> None:
        """Return if the hub answers and lets the service in."""
        ...
