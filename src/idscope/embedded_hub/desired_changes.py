"""Owns the patches that tell a connected device what changed in its desired properties, in the order of `$version`.
It must not know who is connected, nor how a patch is sent.

A patch is written with the change itself, in one unit, and only the last ones are kept: a device that was away asks
for its whole twin.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from idscope.embedded_hub import twin_content
from idscope.embedded_hub.records import TwinRecord, TwinSection
from idscope.storage import HubDesiredChangeRow, HubTwinRow, Key, Put, Store, Trim, Write

DESIRED: Final = "desired"
KEPT: Final = 32


class DesiredChange(msgspec.Struct, frozen=True):
    """`patch` is the JSON that the device gets, `$version` included."""

    version: int
    patch: bytes


def change_writes(hub_id: str, device_id: str, section: TwinSection, patch: Raw) -> tuple[Write, ...]:
    """What is written beside a twin whose desired properties became `section` by this patch."""
    document = twin_content.object_of({**twin_content.members(patch), "$version": section.version})
    row = HubDesiredChangeRow(hub_id=hub_id, device_id=device_id, version=section.version, document=bytes(document))
    return Put(row), Trim(HubDesiredChangeRow, (hub_id, device_id), KEPT)


def patch_between(before: Raw, after: Raw) -> Raw:
    """A patch that makes `after` of `before`: all of `after`, and null for what is no more."""
    old, new = twin_content.members(before), twin_content.members(after)
    patch: dict[str, Raw] = dict.fromkeys(old.keys() - new.keys(), Raw(b"null"))
    for name, value in new.items():
        both = name in old and twin_content.is_object(old[name]) and twin_content.is_object(value)
        patch[name] = patch_between(old[name], value) if both else value
    return twin_content.object_of(patch)


async def changes_after(store: Store, hub_id: str, device_id: str, version: int) -> list[DesiredChange]:
    """The kept changes behind this `$version`, in order."""
    rows = await store.page(HubDesiredChangeRow, (hub_id, device_id), (version,), KEPT)
    return [DesiredChange(row.version, row.document) for row in rows]


async def desired_version(store: Store, hub_id: str, device_id: str) -> int:
    """The present `$version` of the desired properties, 0 where there is no such device."""
    [row] = await store.fetch([Key(HubTwinRow, (hub_id, device_id))])
    return 0 if row is None else msgspec.json.decode(row.document, type=TwinRecord).desired.version
