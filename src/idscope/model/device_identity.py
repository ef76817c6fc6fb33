"""Owns what a hub's device is made of, in words of both APIs. It must not know which hub keeps it."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec
from msgspec import Raw

from idscope.errors import InvalidArgument
from idscope.secret import Secret

# IoT Hub's grammar of device ids: case-sensitive, up to 128 of these (published).
_GRAMMAR: Final = re.compile(r"[A-Za-z0-9\-.%_*?!(),:=@$']{1,128}\Z", re.ASCII)


def check_device_id(text: str) -> str:
    """The id; raises InvalidArgument where an IoT hub would refuse it."""
    if not _GRAMMAR.match(text):
        raise InvalidArgument("Invalid deviceId")
    return text


class SymmetricKeys(msgspec.Struct, frozen=True):
    """Authentication type `sas`: Base64 keys; the primary is the one the device used."""

    primary: Secret
    secondary: Secret


class Thumbprints(msgspec.Struct, frozen=True):
    """Authentication type `selfSigned`: SHA-256, upper-case hex."""

    primary: str
    secondary: str | None = None


HubCredential = SymmetricKeys | Thumbprints
AuthenticationType = Literal["sas", "selfSigned", "certificateAuthority", "none"]


class TwinContent(msgspec.Struct, frozen=True):
    """The initial content of a twin: free JSON objects, `{}` where nothing is given."""

    tags: Raw = Raw(b"{}")
    desired: Raw = Raw(b"{}")


class HubDevice(msgspec.Struct, frozen=True):
    """One device as the provisioning service wants it, or finds it, on a hub."""

    device_id: str
    credential: HubCredential
    iot_edge: bool = False
    etag: str | None = None
