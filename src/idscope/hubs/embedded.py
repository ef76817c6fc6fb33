"""Owns the connector to an embedded hub. It must not know how the hub keeps its devices.

Credentials that this connector does not write (a certificate authority, none at all) read as empty keys, so that they
differ from every wanted credential.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from idscope.embedded_hub import Identities
from idscope.embedded_hub.documents import (
    AuthenticationMechanism,
    Device,
    DeviceCapabilities,
    DeviceChange,
    SymmetricKey,
    X509Thumbprint,
)
from idscope.errors import HubDeviceNotFound, HubPreconditionFailed, HubUnavailable
from idscope.model.device_identity import HubCredential, HubDevice, SymmetricKeys, Thumbprints, TwinContent
from idscope.model.etag import Absent, Expectation
from idscope.secret import Secret
from idscope.storage import StoreUnavailable, Write


class EmbeddedHubConnector:
    """A `HubConnector` on a hub that lives in this server's store."""

    def __init__(self, hub_id: str, host_name: str, identities: Identities) -> None:
        self._hub_id = hub_id
        self._host_name = host_name
        self._identities = identities

    @property
    def host_name(self) -> str:
        return self._host_name

    async def read(self, device_id: str) -> HubDevice | None:
        async with _told_in_hub_words():
            found = await self._identities.find(self._hub_id, device_id)
        return None if found is None else _hub_device(found)

    async def put(self, device: HubDevice, expect: Expectation, initial_twin: TwinContent | None = None) -> HubDevice:
        async with _told_in_hub_words():
            return _hub_device(
                await self._identities.create_or_update(
                    self._hub_id, device.device_id, _change(device), expect, initial_twin
                )
            )

    def creation(self, device: HubDevice, initial_twin: TwinContent) -> tuple[Write, ...]:
        return self._identities.creation(self._hub_id, device.device_id, _change(device), initial_twin)

    async def delete(self, device_id: str, expect: Expectation) -> None:
        async with _told_in_hub_words():
            if isinstance(expect, Absent):
                if await self._identities.find(self._hub_id, device_id) is not None:
                    raise HubPreconditionFailed
                return
            await self._identities.delete(self._hub_id, device_id, expect)

    async def check(self) -> None:
        async with _told_in_hub_words():
            await self._identities.check()


@asynccontextmanager
async def _told_in_hub_words() -> AsyncIterator[None]:
    """The interface's failures: a missing device fails the expectation that it is there."""
    try:
        yield
    except HubDeviceNotFound as error:
        raise HubPreconditionFailed(reason=f"no such device: {error.message}") from None
    except StoreUnavailable as error:
        raise HubUnavailable(reason=error.reason) from error


def _hub_device(device: Device) -> HubDevice:
    return HubDevice(
        device.device_id, _credential(device.authentication), iot_edge=device.capabilities.iot_edge, etag=device.etag
    )


def _credential(authentication: AuthenticationMechanism) -> HubCredential:
    if authentication.type == "selfSigned":
        thumbprints = authentication.x509_thumbprint or X509Thumbprint()
        return Thumbprints(thumbprints.primary_thumbprint or "", thumbprints.secondary_thumbprint)
    keys = authentication.symmetric_key or SymmetricKey()
    return SymmetricKeys(keys.primary_key or Secret(""), keys.secondary_key or Secret(""))


def _change(device: HubDevice) -> DeviceChange:
    """Without a status: a device that its hub has disabled stays disabled."""
    return DeviceChange(
        authentication=_authentication(device.credential),
        capabilities=DeviceCapabilities(iot_edge=device.iot_edge),
    )


def _authentication(credential: HubCredential) -> AuthenticationMechanism:
    if isinstance(credential, Thumbprints):
        return AuthenticationMechanism(
            type="selfSigned",
            x509_thumbprint=X509Thumbprint(
                primary_thumbprint=credential.primary, secondary_thumbprint=credential.secondary
            ),
        )
    return AuthenticationMechanism(
        type="sas",
        symmetric_key=SymmetricKey(primary_key=credential.primary, secondary_key=credential.secondary),
    )
