"""Owns what becomes of a device identity when a caller changes it, and what a hub refuses there.
It must not know how identities are stored, nor any secret of theirs.

What a change leaves out stays as it is stored [choice]; the reason of a status is part of the status.
"""

from __future__ import annotations

from typing import Final

from idscope.clock import next_time
from idscope.embedded_hub.authentication import StoredAuthentication
from idscope.embedded_hub.documents import DeviceChange
from idscope.embedded_hub.records import DeviceRecord, new_generation_id
from idscope.errors import HubArgumentInvalid, InvalidArgument
from idscope.model.device_identity import check_device_id

MAX_REASON: Final = 128  # published
_STATUSES: Final = ("enabled", "disabled")
_EDGE_SCOPE: Final = "ms-azure-iot-edge://{device_id}-{generation_id}"  # published; made by the hub, never changed


def new_device(device_id: str, change: DeviceChange, authentication: StoredAuthentication, now: int) -> DeviceRecord:
    """A device that was not there; raises HubArgumentInvalid."""
    try:
        check_device_id(device_id)
    except InvalidArgument as error:
        raise HubArgumentInvalid(error.message) from None
    return _applied(device_id, change, DeviceRecord(new_generation_id(now), authentication), None)


def changed_device(
    device_id: str, change: DeviceChange, before: DeviceRecord, authentication: StoredAuthentication, now: int
) -> DeviceRecord:
    """The device after the change; raises HubArgumentInvalid."""
    updated = before.status_updated
    if _status(change, before) != (before.status, before.status_reason):
        updated = next_time(now, before.status_updated)
    kept = DeviceRecord(
        before.generation_id,
        authentication,
        status=before.status,
        status_reason=before.status_reason,
        iot_edge=before.iot_edge,
        device_scope=before.device_scope,
        parent_scopes=before.parent_scopes,
    )
    return _applied(device_id, change, kept, updated)


def _applied(device_id: str, change: DeviceChange, before: DeviceRecord, updated: int | None) -> DeviceRecord:
    status, reason = _status(change, before)
    iot_edge = change.capabilities.iot_edge if change.capabilities else before.iot_edge
    scope, parents = _scopes(device_id, change, before, iot_edge=iot_edge)
    return DeviceRecord(
        before.generation_id,
        before.authentication,
        status=status,
        status_reason=reason,
        status_updated=updated,
        iot_edge=iot_edge,
        device_scope=scope,
        parent_scopes=parents,
    )


def _status(change: DeviceChange, before: DeviceRecord) -> tuple[str, str | None]:
    if change.status is None:
        return before.status, before.status_reason
    status = change.status.lower()
    if status not in _STATUSES:
        raise HubArgumentInvalid("The status must be enabled or disabled.")
    if change.status_reason is not None and len(change.status_reason) > MAX_REASON:
        raise HubArgumentInvalid(f"The statusReason may have up to {MAX_REASON} characters.")
    return status, change.status_reason


def _scopes(
    device_id: str, change: DeviceChange, before: DeviceRecord, *, iot_edge: bool
) -> tuple[str | None, list[str] | None]:
    """An edge device's own scope names it; another device's scope is that of its parent."""
    parents = before.parent_scopes if change.parent_scopes is None else change.parent_scopes
    if iot_edge:
        return _EDGE_SCOPE.format(device_id=device_id, generation_id=before.generation_id), parents or []
    if change.device_scope is None:
        return (None if before.iot_edge else before.device_scope), parents or None
    if not change.device_scope:
        return None, change.parent_scopes or None
    return change.device_scope, change.parent_scopes or [change.device_scope]
