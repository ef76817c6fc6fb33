"""Owns what is stored of a device and of its twin, and the etags of both. It must not know the API's documents.

A device's etag is Base64 of a decimal number, a twin's is Base64 of a big-endian counter of 8 bytes (observed). The
etag of a twin's *row* also changes with reported properties, which leave the twin's own etag alone.
"""

from __future__ import annotations

import base64
import binascii
import random
from typing import Any, Final

import msgspec
from msgspec import Raw

from idscope.clock import format_time, ticks
from idscope.embedded_hub.authentication import StoredAuthentication
from idscope.embedded_hub.twin_content import EMPTY, check_shape, without_nulls
from idscope.model.device_identity import TwinContent
from idscope.storage import HubTwinRow

NEVER: Final = "0001-01-01T00:00:00Z"
_ETAG_NUMBERS: Final = 10**9


class DeviceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device identity without its id, its etag and its keys, which are columns of its row."""

    generation_id: str
    authentication: StoredAuthentication
    status: str = "enabled"
    status_reason: str | None = None
    status_updated: int | None = None
    iot_edge: bool = False
    device_scope: str | None = None
    parent_scopes: list[str] | None = None


class TwinSection(msgspec.Struct, frozen=True):
    """Desired or reported properties: the free members, when each was written, and how often they changed."""

    values: Raw
    metadata: dict[str, Any]
    version: int = 1


class TwinRecord(msgspec.Struct, frozen=True):
    """`edition` counts the service's changes, `version` all changes; `updated` in microseconds."""

    generation_id: str
    updated: int
    desired: TwinSection
    reported: TwinSection
    tags: Raw = EMPTY
    edition: int = 1
    version: int = 2  # observed of a new twin: one for each of its two sections

    @property
    def etag(self) -> str:
        return base64.b64encode(self.edition.to_bytes(8, "big")).decode()

    @property
    def row_etag(self) -> str:
        """Never seen before under this key, not even after the device was deleted and created again."""
        return f"{self.generation_id}.{self.version}"


def new_generation_id(now: int) -> str:
    """18 digits (observed)."""
    return str(ticks(now))


def new_device_etag() -> str:
    return base64.b64encode(str(random.getrandbits(64) % _ETAG_NUMBERS).encode()).decode()


def version_in(device_etag: str) -> str:
    """The number in a device's etag, as the hub's message of a failed precondition shows it; 0 where it is none."""
    try:
        text = base64.b64decode(device_etag, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return "0"
    return text if text.isdigit() else "0"


def time_or_never(moment: int | None) -> str:
    return NEVER if moment is None else format_time(moment)


def desired_mark(now: int, version: int) -> dict[str, Any]:
    return {"$lastUpdated": format_time(now), "$lastUpdatedVersion": version}


def reported_mark(now: int) -> dict[str, Any]:
    """Reported properties bear no version (observed)."""
    return {"$lastUpdated": format_time(now)}


def twin_row(hub_id: str, device_id: str, twin: TwinRecord) -> HubTwinRow:
    return HubTwinRow(hub_id=hub_id, device_id=device_id, etag=twin.row_etag, document=msgspec.json.encode(twin))


def initial_content(content: TwinContent | None) -> TwinContent:
    """As it is stored: a null member is one that is not there. Raises HubArgumentInvalid."""
    if content is None:
        return TwinContent()
    return TwinContent(without_nulls(check_shape(content.tags)), without_nulls(check_shape(content.desired)))
