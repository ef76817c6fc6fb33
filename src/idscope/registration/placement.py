"""Owns the choice of a hub and the standing of the device on it. It must not know what becomes of the result.

Both steps can be done again at any time and end in the same place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from idscope.allocation import AllocationRequest, CandidateHub, allocate
from idscope.directory import LinkedHub, ProvisioningService
from idscope.errors import HubDeviceExists, HubPreconditionFailed, HubUnavailable, NoHubAvailable
from idscope.hubs.connector import HubConnector
from idscope.model.device_identity import HubCredential, HubDevice, TwinContent
from idscope.model.document import given
from idscope.model.enrollment import AllocationPolicy, Enrollment
from idscope.model.etag import ABSENT, PRESENT, Matches
from idscope.records import Placement
from idscope.registration.enrolled_device import EnrolledDevice
from idscope.storage import Write

Connectors = Callable[[LinkedHub], HubConnector]

_RACES = 3  # how often a device may change under our hands before the hub counts as unwilling


def choose_hub(service: ProvisioningService, device: EnrolledDevice, current: Placement | None) -> Placement:
    """Where the device belongs. Raises NoHubAvailable, CustomAllocationFailed.

    A device stays at its hub while that hub is still one of the candidates.
    """
    enrollment = device.enrollment
    hubs, named = _candidates(service, enrollment)
    policy: AllocationPolicy = given(enrollment.allocation_policy) or service.allocation_policy
    if current is not None and policy != "custom":
        if any(hub.hub_id == current.hub_id for hub in hubs) or _never_moves(enrollment):
            return _placement(service, current.hub_id, current.device_id)
        if hubs:
            raise NoHubAvailable("Moving a device to another IoT hub is not available in this version.", lasting=True)
    weighted = tuple(CandidateHub(hub.hub_id, hub.allocation_weight) for hub in hubs)
    hub_id = allocate(policy, AllocationRequest(device.registration_id.lower(), weighted, named))
    return _placement(service, hub_id, device.device_id)


def _candidates(service: ProvisioningService, enrollment: Enrollment) -> tuple[tuple[LinkedHub, ...], bool]:
    """The linked hubs that the enrollment allows, and whether it names them; `iotHubs` beats `iotHubHostName`."""
    single = given(enrollment.iot_hub_host_name)
    names = given(enrollment.iot_hubs) or ([single] if single else [])
    if not names:
        return tuple(hub for hub in service.linked_hubs if hub.apply_allocation_policy), False
    wanted = {name.lower() for name in names}
    return tuple(hub for hub in service.linked_hubs if hub.host_name.lower() in wanted), True


def _never_moves(enrollment: Enrollment) -> bool:
    policy = given(enrollment.reprovision_policy)
    return policy is not None and not policy.update_hub_assignment


def _placement(service: ProvisioningService, hub_id: str, device_id: str) -> Placement:
    return Placement(hub_id, linked_hub(service, hub_id).host_name, device_id)


def linked_hub(service: ProvisioningService, hub_id: str) -> LinkedHub:
    """Raises NoHubAvailable where the hub is not linked any more."""
    for hub in service.linked_hubs:
        if hub.hub_id == hub_id:
            return hub
    raise NoHubAvailable("The IoT hub of this device is not linked to the provisioning service any more.")


async def place(
    connector: HubConnector,
    placement: Placement,
    device: EnrolledDevice,
    credential: HubCredential,
    time_limit: float,
    *,
    first: bool = False,
) -> tuple[Write, ...]:
    """Let the device stand on its hub with this credential; what is returned must be written for that.

    Not there: created with the enrollment's initial twin. There: its credential is rewritten only if it differs, its
    twin and capabilities stay. `first` says that it was never placed before, so that it is probably not there: a hub in
    our own store then gets it with the registration, in one unit. Raises HubError; a call longer than `time_limit`
    seconds is HubUnavailable.
    """
    capabilities = given(device.enrollment.capabilities)
    wanted = HubDevice(
        device_id=placement.device_id,
        credential=credential,
        iot_edge=capabilities is not None and capabilities.iot_edge,
    )
    twin = _initial_twin(device.enrollment)
    creation = connector.creation(wanted, twin) if first else None
    if creation is not None:
        return creation
    try:
        async with asyncio.timeout(time_limit):
            await _stand(connector, wanted, twin, unseen=first)
    except TimeoutError:
        raise HubUnavailable(f"The hub did not answer within {time_limit:g} s.") from None
    return ()


async def _stand(connector: HubConnector, wanted: HubDevice, twin: TwinContent, *, unseen: bool) -> None:
    """`unseen`: try to create the device before the first look, which saves that look where it is new."""
    for attempt in range(_RACES + unseen):
        found = None if unseen and attempt == 0 else await connector.read(wanted.device_id)
        if found is not None and found.credential == wanted.credential:
            return
        try:
            if found is None:
                await connector.put(wanted, ABSENT, twin)
            else:
                same = HubDevice(found.device_id, wanted.credential, found.iot_edge)
                await connector.put(same, Matches(found.etag) if found.etag else PRESENT)
        except (HubDeviceExists, HubPreconditionFailed):
            continue  # somebody else changed the device between our read and our put
        return
    raise HubUnavailable("The device changes faster on its hub than it can be placed.")


def _initial_twin(enrollment: Enrollment) -> TwinContent:
    twin = given(enrollment.initial_twin)
    if twin is None:
        return TwinContent()
    properties = given(twin.properties)
    tags = given(twin.tags)
    desired = None if properties is None else given(properties.desired)
    empty = TwinContent()
    return TwinContent(empty.tags if tags is None else tags, empty.desired if desired is None else desired)
