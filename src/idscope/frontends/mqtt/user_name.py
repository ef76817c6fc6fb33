"""Owns the two grammars of an MQTT user name, which say whom a client wants: the provisioning service or a hub.
It must not know whether there is one.

    {idScope}/registrations/{registrationId}/api-version={V}[&ClientVersion={…}]
    {host}/{deviceId}[/{moduleId}]/?api-version={V}[&DeviceClientType={…}]…

They are disjoint: the last segment of a hub's begins with a `?`, that of the provisioning service's with none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

MAX_LENGTH: Final = 4096


class ProvisioningName(msgspec.Struct, frozen=True):
    """`api_version` as it was sent, None where it was not."""

    id_scope: str
    registration_id: str
    api_version: str | None


class HubName(msgspec.Struct, frozen=True):
    """`host` in lower case, without a port; `module_id` is None for a device; `query` is decoded, names as spelled."""

    host: str
    device_id: str
    module_id: str | None
    query: Mapping[str, str]


def parse_user_name(text: str | None) -> ProvisioningName | HubName | None:
    """Whom the client wants, None where the text is of neither grammar."""
    if text is None or len(text) > MAX_LENGTH:
        return None
    *path, last = text.split("/")
    if not all(path):
        return None
    if last.startswith("?"):
        return _hub_name(path, last[1:])
    if len(path) == 3 and path[1].lower() == "registrations" and "=" in last:
        return ProvisioningName(path[0], path[2], fields_of(last).get("api-version"))
    return None


def _hub_name(path: list[str], query: str) -> HubName | None:
    if len(path) not in (2, 3):
        return None
    host = path[0].lower()
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isdigit() else host
    return HubName(bare, path[1], path[2] if len(path) == 3 else None, fields_of(query))


def fields_of(query: str) -> dict[str, str]:
    """The first value of each name, decoded, in any order; what has no `=` has an empty value.

    quirk: one client writes a `+` for itself, so it is no blank here.
    """
    fields: dict[str, str] = {}
    for field in query.split("&"):
        name, _, value = field.partition("=")
        fields.setdefault(unquote(name), unquote(value))
    return fields
