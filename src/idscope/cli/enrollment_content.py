"""Owns what flags make of an enrollment's document: of a new one, or of one that is there. It must not know which
command asks, nor any server.

A document is its members as they came, each the JSON it was; what no flag names goes back byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import click
import msgspec
from msgspec import Raw

from idscope.cli.enrollment_attestation import attestation_is_asked_for, changed_attestation, new_attestation
from idscope.cli.enrollment_kinds import EnrollmentKind
from idscope.model.attestation import AttestationMechanism
from idscope.model.document import Document, decode, encode_revealing
from idscope.model.enrollment import (
    CustomAllocationDefinition,
    DeviceCapabilities,
    InitialTwin,
    InitialTwinProperties,
    ReprovisionPolicy,
)
from idscope.secret import Secret

Flags = Mapping[str, Any]
Members = dict[str, Raw]
D = TypeVar("D", bound=Document)

_REPROVISION: Final = {
    "reprovisionandmigratedata": ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=True),
    "reprovisionandresetdata": ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=False),
    "never": ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=False),
}


def new_enrollment(kind: EnrollmentKind, enrollment_id: str, flags: Flags) -> Members:
    """The document of a new enrollment. Raises click.UsageError."""
    members = {kind.id_member: _raw(enrollment_id), "attestation": _raw(new_attestation(kind, flags))}
    return _with_content(members, flags)


def changed_enrollment(kind: EnrollmentKind, present: Members, flags: Flags) -> Members:
    """The document with what the flags change of it. Raises click.UsageError."""
    members = dict(present)
    if attestation_is_asked_for(flags):
        attestation = decode(bytes(present["attestation"]), AttestationMechanism)
        members["attestation"] = _raw(changed_attestation(kind, attestation, flags))
    return _with_content(members, flags)


def _with_content(members: Members, flags: Flags) -> Members:
    before = dict(members)
    for name, member in (("device_id", "deviceId"), ("provisioning_status", "provisioningStatus")):
        if flags.get(name) is not None:
            members[member] = _raw(flags[name])
    if flags.get("device_information") is not None:
        members["optionalDeviceInformation"] = flags["device_information"]
    if flags["reprovision_policy"] is not None:
        members["reprovisionPolicy"] = _raw(_REPROVISION[flags["reprovision_policy"]])
    if flags["edge_enabled"] is not None:
        members["capabilities"] = _raw(DeviceCapabilities(iot_edge=flags["edge_enabled"]))
    members |= _twin(before, flags) | _allocation(before, flags)
    return members


def _twin(before: Members, flags: Flags) -> Members:
    tags, desired = flags["initial_twin_tags"], flags["initial_twin_properties"]
    if tags is None and desired is None:
        return {}
    twin = _present(before, "initialTwin", InitialTwin) or InitialTwin()
    if tags is not None:
        twin = msgspec.structs.replace(twin, tags=tags)
    if desired is not None:
        twin = msgspec.structs.replace(twin, properties=InitialTwinProperties(desired=desired))
    return {"initialTwin": _raw(twin)}


def _allocation(before: Members, flags: Flags) -> Members:
    policy, hubs = flags["allocation_policy"], [hub for text in flags["iot_hubs"] for hub in text.split()]
    if flags["iot_hub_host_name"] is not None:
        if policy is not None or hubs:
            raise click.UsageError("--iot-hub-host-name stands alone: it is short for a static allocation to that hub.")
        policy, hubs = "static", [flags["iot_hub_host_name"]]
    changed: Members = {}
    if policy is not None:
        changed["allocationPolicy"] = _raw(policy)
    if hubs:
        changed["iotHubs"] = _raw(hubs)
        if "iotHubHostName" in before:  # the older member would contradict it
            changed["iotHubHostName"] = _raw(None)
    changed |= _webhook(before, flags)
    _check_allocation(before | changed, changed)
    return changed


def _webhook(before: Members, flags: Flags) -> Members:
    url, version = flags["webhook_url"], flags["api_version"]
    if url is None and version is None:
        return {}
    present = _present(before, "customAllocationDefinition", CustomAllocationDefinition)
    if present is not None:
        url, version = url or present.webhook_url.reveal(), version or present.api_version
    if not url or not version:
        raise click.UsageError("A webhook needs both --webhook-url and --api-version.")
    return {
        "customAllocationDefinition": _raw(CustomAllocationDefinition(webhook_url=Secret(url), api_version=version))
    }


def _check_allocation(after: Members, changed: Members) -> None:
    """Only what is asked for now: what is there already is the service's business."""
    policy = _value(after, "allocationPolicy")
    hubs = _value(after, "iotHubs") or []
    if "iotHubs" in changed and policy is None:
        raise click.UsageError("--iot-hubs needs --allocation-policy: how a hub is chosen among them.")
    if policy == "static" and changed and len(hubs) != 1:
        raise click.UsageError("A static allocation needs one hub: name it with --iot-hubs.")
    if policy == "custom" and changed and _value(after, "customAllocationDefinition") is None:
        raise click.UsageError("A custom allocation needs --webhook-url and --api-version.")
    if policy != "custom" and "customAllocationDefinition" in changed:
        raise click.UsageError("--webhook-url and --api-version need --allocation-policy custom.")


def _present(members: Members, name: str, kind: type[D]) -> D | None:
    return None if _value(members, name) is None else decode(bytes(members[name]), kind)


def _value(members: Members, name: str) -> Any:
    return msgspec.json.decode(members[name]) if name in members else None


def _raw(value: Any) -> Raw:
    return Raw(encode_revealing(value))
