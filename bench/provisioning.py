"""Owns what is asked of idscope: devices, their enrollments, and the bytes of each request as a client writes them.
It must not know how the requests are sent or measured."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from idscope.testing.application import sas_token
from idscope.testing.server import Ready

BULK: Final = 10  # published limit
_DEVICE_VERSION: Final = "2021-06-01"
_SERVICE_VERSION: Final = "2021-10-01"
_CONTROL_VERSION: Final = "2022-12-12"
_HOUR: Final = 3600
_TWIN: Final = {"tags": {"site": "1"}, "properties": {"desired": {"reportEverySeconds": 60}}}


class Requests:
    """Makes requests for the running server that `ready` describes."""

    def __init__(self, ready: Ready) -> None:
        self.host = ready.host_name
        self.hub_host = ready.hub_host_name
        self._id_scope = ready.id_scope
        self._expiry = int(time.time()) + _HOUR
        self._admin_token = str(ready.document["admin_token"])
        parts = dict(part.split("=", 1) for part in ready.service_connection_string.split(";"))
        self._service_token = sas_token(
            parts["HostName"], parts["SharedAccessKey"], self._expiry, parts["SharedAccessKeyName"]
        )

    def identity(self, device: str) -> str:
        """Who the device is, on every wire."""
        return f"{self._id_scope}/registrations/{device}"

    def device_token(self, device: str) -> str:
        return sas_token(self.identity(device), _key(device, "primary"), self._expiry, "registration")

    def hub_token(self, device: str) -> str:
        """For the hub that the device was given."""
        return sas_token(f"{self.hub_host}/devices/{device}", _key(device, "primary"), self._expiry)

    def register(self, device: str) -> bytes:
        """One whole visit of a device: the server closes after the answer."""
        return self._register(device, self.device_token(device))

    def register_by_group(self, device: str, group: str) -> bytes:
        """The same of a device that derives its key from a group's."""
        key = base64.b64decode(_key(group, "primary"))
        derived = base64.b64encode(hmac.digest(key, device.encode(), "sha256")).decode()
        return self._register(device, sas_token(self.identity(device), derived, self._expiry, "registration"))

    def register_by_certificate(self, device: str) -> bytes:
        """The same of a device whose certificate speaks for it."""
        return self._register(device, None)

    def create_group(self, group: str, attestation: dict[str, Any] | None = None) -> bytes:
        """With symmetric keys, or with the attestation."""
        keys = {"primaryKey": _key(group, "primary"), "secondaryKey": _key(group, "secondary")}
        body = {
            "enrollmentGroupId": group,
            "attestation": attestation or {"type": "symmetricKey", "symmetricKey": keys},
            "initialTwin": _TWIN,
        }
        target = f"/enrollmentGroups/{group}?api-version={_SERVICE_VERSION}"
        return self._request("PUT", target, self._service_token, body)

    def trust(self, name: str, pem: str) -> bytes:
        """Upload a CA certificate as a verified one; for the operator listener."""
        target = (
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/provisioningServices/idscope"
            f"/certificates/{name}?api-version={_CONTROL_VERSION}"
        )
        properties = {"certificate": base64.b64encode(pem.encode()).decode(), "isVerified": True}
        return self._request("PUT", target, f"Bearer {self._admin_token}", {"properties": properties})

    def create_in_bulk(self, devices: Sequence[str]) -> Iterator[bytes]:
        target = f"/enrollments?api-version={_SERVICE_VERSION}"
        for start in range(0, len(devices), BULK):
            items = [_enrollment(device) for device in devices[start : start + BULK]]
            yield self._request("POST", target, self._service_token, {"mode": "create", "enrollments": items})

    def create(self, device: str) -> bytes:
        return self._request("PUT", self._enrollment_target(device), self._service_token, _enrollment(device))

    def read(self, device: str) -> bytes:
        return self._request("GET", self._enrollment_target(device), self._service_token, None)

    def _register(self, device: str, token: str | None) -> bytes:
        target = f"/{self.identity(device)}/register?api-version={_DEVICE_VERSION}"
        return self._request("PUT", target, token, {"registrationId": device}, "Connection: close\r\n")

    def _enrollment_target(self, device: str) -> str:
        return f"/enrollments/{device}?api-version={_SERVICE_VERSION}"

    def _request(self, method: str, target: str, token: str | None, body: Any, more: str = "") -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        if token is not None:
            more = f"Authorization: {token}\r\n{more}"
        if content:
            more += f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(content)}\r\n"
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: idscope-bench\r\n"
            f"Accept: application/json\r\n{more}\r\n"
        )
        return head.encode() + content


def scattered_names(kind: str, count: int) -> list[str]:
    """Names that stand far apart in every order, as those of real devices do among many."""
    return [hashlib.sha256(f"{kind}-{number}".encode()).hexdigest()[:20] for number in range(count)]


def device_names(kind: str, count: int) -> list[str]:
    return [f"{kind}-{number:06d}" for number in range(count)]


def _enrollment(device: str) -> dict[str, Any]:
    """With an initial twin, as enrollments have; no two have the same content."""
    keys = {"primaryKey": _key(device, "primary"), "secondaryKey": _key(device, "secondary")}
    return {
        "registrationId": device,
        "attestation": {"type": "symmetricKey", "symmetricKey": keys},
        "initialTwin": {
            "tags": {"site": device[-3:]},
            "properties": {"desired": {"name": device, "reportEverySeconds": 60}},
        },
        "provisioningStatus": "enabled",
    }


def _key(device: str, slot: str) -> str:
    return base64.b64encode(hashlib.sha512(f"{device}/{slot}".encode()).digest()).decode()
