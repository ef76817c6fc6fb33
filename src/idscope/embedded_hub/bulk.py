"""Owns bulk operations on device identities and twins. It must not know how one of them is carried out.

Each item succeeds or fails for itself; the answer names those that failed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Raw

from idscope.embedded_hub.documents import (
    BulkRegistryOperationResult,
    DeviceChange,
    DeviceRegistryOperationError,
    ExportImportDevice,
    TwinChange,
)
from idscope.embedded_hub.identities import Identities
from idscope.embedded_hub.twin_content import EMPTY, is_null, without_system_members
from idscope.embedded_hub.twins import Twins
from idscope.errors import HubArgumentInvalid, HubDeviceDefinedTwice, HubError, HubTooManyDevices, InvalidETag
from idscope.model.device_identity import TwinContent
from idscope.model.document import UNSET, UnsetType
from idscope.model.etag import ABSENT, ANYTHING, PRESENT, Expectation, parse_if_match

MAX_ITEMS: Final = 100  # published


_Verb = Literal["put", "patch", "delete"]

# None: the item's own etag is expected.
_MODES: Final[dict[str, tuple[_Verb, Expectation | None]]] = {
    "create": ("put", ABSENT),
    "update": ("put", PRESENT),
    "updateifmatchetag": ("put", None),
    "createorupdate": ("put", ANYTHING),
    "createorupdateifmatchetag": ("put", None),
    "delete": ("delete", PRESENT),
    "deleteifmatchetag": ("delete", None),
    "updatetwin": ("patch", PRESENT),
    "updatetwinifmatchetag": ("patch", None),
}


class BulkRegistry:
    """The bulk operation of every embedded hub."""

    def __init__(self, identities: Identities, twins: Twins) -> None:
        self._identities = identities
        self._twins = twins

    async def apply(self, hub_id: str, items: Sequence[ExportImportDevice]) -> BulkRegistryOperationResult:
        """Raises HubTooManyDevices and HubDeviceDefinedTwice before anything is done."""
        _check_items(items)
        outcomes = await asyncio.gather(*(self._outcome(hub_id, item) for item in items))
        errors = [error for error in outcomes if error is not None]
        return BulkRegistryOperationResult(is_successful=not errors, errors=errors, warnings=[])

    async def _outcome(self, hub_id: str, item: ExportImportDevice) -> DeviceRegistryOperationError | None:
        try:
            await self._apply(hub_id, item)
        except HubError as error:
            return DeviceRegistryOperationError(
                device_id=item.id,
                error_code=error.code_word,
                error_status=error.message,
                module_id=item.module_id,
                operation=item.import_mode,
            )
        return None

    async def _apply(self, hub_id: str, item: ExportImportDevice) -> None:
        verb, expect = _mode(item)
        match verb:
            case "put":
                await self._identities.create_or_update(hub_id, item.id, _identity(item), expect, _initial_twin(item))
            case "patch":
                change = TwinChange(tags=item.tags, properties=item.properties)
                await self._twins.patch(hub_id, item.id, change, expect)
            case "delete":
                await self._identities.delete(hub_id, item.id, expect)


def _mode(item: ExportImportDevice) -> tuple[_Verb, Expectation]:
    if item.module_id:
        raise HubArgumentInvalid("This hub keeps no modules.")
    # quirk: Node writes the modes with a capital letter (Update, UpdateIfMatchETag, Delete)
    mode = _MODES.get((item.import_mode or "createOrUpdate").lower())
    if mode is None:
        raise HubArgumentInvalid("The importMode is unknown.")
    verb, expect = mode
    if expect is not None:
        return verb, expect
    return verb, _expected(item.twin_e_tag if verb == "patch" else item.e_tag or item.etag)


def _expected(etag: str | None) -> Expectation:
    try:
        expect = parse_if_match(etag)
    except InvalidETag as error:
        raise HubArgumentInvalid(error.message) from None
    if expect is None:
        raise HubArgumentInvalid("This importMode needs an etag.")
    return expect


def _identity(item: ExportImportDevice) -> DeviceChange:
    return DeviceChange(
        status=item.status,
        status_reason=item.status_reason,
        authentication=item.authentication,
        capabilities=item.capabilities,
        device_scope=item.device_scope,
        parent_scopes=item.parent_scopes,
    )


def _initial_twin(item: ExportImportDevice) -> TwinContent:
    """One call creates the device and its twin (observed)."""
    desired = item.properties.desired if item.properties else UNSET
    return TwinContent(_content(item.tags), _content(desired))


def _content(given: Raw | UnsetType) -> Raw:
    return EMPTY if given is UNSET or is_null(given) else without_system_members(given)


def _check_items(items: Sequence[ExportImportDevice]) -> None:
    if len(items) > MAX_ITEMS:
        raise HubTooManyDevices(f"A bulk operation takes up to {MAX_ITEMS} devices.")
    twice = [device_id for device_id, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise HubDeviceDefinedTwice(f"A device may be named only once in a bulk operation: {twice[0]}")
