"""Gathers answers of every operation that is built, in every state that a client can bring about. It must not know
what they should look like."""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import re
from dataclasses import dataclass
from typing import Any

from tpm_samples import ENDORSEMENT_KEY

from idscope.frontends.http.device_api import DEVICE_OPERATIONS
from idscope.frontends.http.service_api import SERVICE_OPERATIONS
from idscope.registration import WorkflowSettings
from idscope.secret import Secret
from idscope.security.keys import derive_device_key
from idscope.testing.application import ID_SCOPE, Application, Response
from idscope.testing.certificates import CertificateMaker

KEY = base64.b64encode(b"k" * 32).decode()
SYMMETRIC = {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}
EVERYTHING = {
    "deviceId": "device-of-its-own",
    "optionalDeviceInformation": {"room": {"number": 7}},
    "capabilities": {"iotEdge": True},
    "iotHubHostName": "127.0.0.1",
    "initialTwin": {"tags": {"site": {"city": "Bern"}}, "properties": {"desired": {"fan": {"speed": 3}}}},
    "provisioningStatus": "enabled",
    "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": False},
    "allocationPolicy": "hashed",
    "iotHubs": ["127.0.0.1"],
    "customAllocationDefinition": {"webhookUrl": "https://a.example/hook?code=x", "apiVersion": "2021-10-01"},
}
_ROWS = (*DEVICE_OPERATIONS, *SERVICE_OPERATIONS)


@dataclass(frozen=True)
class Gathered:
    """One answer and the operation that gave it."""

    operation_id: str
    response: Response


class Gatherer:
    """Asks an application and keeps what it answers."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.answers: list[Gathered] = []

    async def service(self, method: str, target: str, body: Any = None, **headers: str) -> Any:
        response = await self.app.service(method, target, body, **headers)
        return self._keep(method, target, response)

    async def device(self, method: str, registration_id: str, rest: str, body: Any = None, key: str = KEY) -> Any:
        target = f"/{ID_SCOPE}/registrations/{registration_id}{rest}?api-version=2021-10-01"
        token = self.app.device_token(registration_id, key)
        return self._keep(method, target, await self.app.request(method, target, body, authorization=token))

    async def enroll(self, registration_id: str, attestation: Any = SYMMETRIC, **members: Any) -> Any:
        body = {"registrationId": registration_id, "attestation": attestation, **members}
        return await self.service("PUT", f"/enrollments/{registration_id}", body)

    def _keep(self, method: str, target: str, response: Response) -> Any:
        self.answers.append(Gathered(_operation_of(method, target), response))
        return response.json() if response.body else None


def _operation_of(method: str, target: str) -> str:
    path = target.partition("?")[0]
    fixed_first = sorted(_ROWS, key=lambda row: row.path.count("{"))
    for row in fixed_first:
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(row.path))
        if row.method == method and re.fullmatch(pattern, path, re.IGNORECASE):
            return row.operation_id
    raise LookupError(target)


def x509_attestation(name: str) -> dict[str, Any]:
    (der,) = CertificateMaker.self_signed(name).der_chain()
    slot = {"certificate": base64.b64encode(der).decode()}
    return {"type": "x509", "x509": {"clientCertificates": {"primary": slot}}}


async def _enrollments(ask: Gatherer) -> None:
    await ask.enroll("plain")
    await ask.enroll("whole", **copy.deepcopy(EVERYTHING))
    await ask.enroll("null-status", provisioningStatus=None)
    await ask.enroll(
        "scalars", initialTwin={"tags": {"floor": 3, "version": "a"}, "properties": {"desired": {"on": True}}}
    )
    await ask.enroll("scalar-information", optionalDeviceInformation={"count": "many", "metadata": [1, None]})
    await ask.enroll("tpm", {"type": "tpm", "tpm": {"endorsementKey": ENDORSEMENT_KEY}})
    await ask.enroll("x509", x509_attestation("x509"))
    await ask.enroll("references", {"type": "x509", "x509": {"caReferences": {"primary": "ca", "secondary": "ca"}}})
    await ask.enroll("none", {"type": "none"})
    for name in ("plain", "whole", "null-status", "scalars", "scalar-information", "tpm", "x509", "references", "none"):
        await ask.service("GET", f"/enrollments/{name}")
        await ask.service("POST", f"/enrollments/{name}/attestationmechanism")
    await ask.service("POST", "/enrollments/query", {"query": "SELECT *"})
    await ask.service("POST", "/enrollments/query", {"query": "SELECT *"}, x_ms_max_item_count="2")
    items = [{"registrationId": name, "attestation": SYMMETRIC} for name in ("plain", "another")]
    for mode in ("create", "update", "updateIfMatchETag", "delete"):
        await ask.service("POST", "/enrollments", {"enrollments": items, "mode": mode})
    await ask.service("DELETE", "/enrollments/none")


async def _groups(ask: Gatherer) -> None:
    whole = {name: value for name, value in EVERYTHING.items() if name not in {"deviceId", "optionalDeviceInformation"}}
    signing = x509_attestation("root")
    signing["x509"] = {"signingCertificates": signing["x509"]["clientCertificates"]}
    for name, attestation, members in (
        ("plain-group", SYMMETRIC, {}),
        ("whole-group", SYMMETRIC, copy.deepcopy(whole)),
        ("signed-group", signing, {}),
    ):
        body = {"enrollmentGroupId": name, "attestation": attestation, **members}
        await ask.service("PUT", f"/enrollmentGroups/{name}", body)
        await ask.service("PUT", f"/enrollmentGroups/{name}", body)
        await ask.service("GET", f"/enrollmentGroups/{name}")
        await ask.service("POST", f"/enrollmentGroups/{name}/attestationmechanism")
    await ask.service("POST", "/enrollmentGroups/query", {"query": "SELECT *"})
    await ask.service("POST", "/enrollmentGroups/query", {"query": "SELECT *"}, x_ms_max_item_count="2")
    items = [{"enrollmentGroupId": name, "attestation": SYMMETRIC} for name in ("plain-group", "another-group")]
    for mode in ("create", "update", "updateIfMatchETag", "delete"):
        await ask.service("POST", "/enrollmentGroups", {"enrollmentGroups": items, "mode": mode})
    for device in ("of-group-1", "of-group-2"):
        key = derive_device_key(Secret(KEY), device).reveal()
        await ask.device("PUT", device, "/register", {"registrationId": device}, key=key)
        await ask.service("GET", f"/registrations/{device}")
    await ask.service("POST", "/registrations/whole-group/query")
    await ask.service("POST", "/registrations/whole-group/query", x_ms_max_item_count="1")
    await ask.service("DELETE", "/registrations/of-group-1")
    for method, path in (
        ("GET", "/registrations/absent"),
        ("DELETE", "/registrations/absent"),
        ("POST", "/registrations/absent/query"),
        ("GET", "/enrollmentGroups/absent"),
        ("POST", "/enrollmentGroups/absent/attestationmechanism"),
        ("DELETE", "/enrollmentGroups/absent"),
    ):
        await ask.service(method, path)
    await ask.service("POST", "/enrollmentGroups/query", {"query": "DROP"})
    await ask.service("POST", "/enrollmentGroups", {"enrollmentGroups": [], "mode": "no"})
    await ask.service("DELETE", "/enrollmentGroups/whole-group")


async def _service_errors(ask: Gatherer) -> None:
    await ask.enroll("there")
    await ask.enroll("there")
    await ask.enroll("-not-an-id")
    await ask.enroll("there", {"type": "tpm"})
    for method, path in (
        ("GET", "/enrollments/absent"),
        ("DELETE", "/enrollments/absent"),
        ("POST", "/enrollments/absent/attestationmechanism"),
        ("POST", "/enrollments/query"),
        ("GET", "/enrollments/there?api-version=1999-01-01"),
    ):
        await ask.service(method, path)
    await ask.service("DELETE", "/enrollments/there", if_match="stale")
    await ask.service("POST", "/enrollments", b"{")
    await ask.service("POST", "/enrollments", {"enrollments": [], "mode": "no"})


async def _devices(ask: Gatherer) -> None:
    await ask.enroll("device", **{name: EVERYTHING[name] for name in ("deviceId", "initialTwin", "capabilities")})
    await ask.enroll("off", provisioningStatus="disabled")
    await ask.enroll("lost", iotHubs=["unlinked.example"])
    for name in ("device", "off", "lost"):
        await ask.device("POST", name, "")
        for _ in "12":
            answer = await ask.device("PUT", name, "/register", {"registrationId": name, "payload": {"a": 1}})
        await ask.device("GET", name, f"/operations/{answer['operationId']}")
        await ask.device("POST", name, "", {"registrationId": name})
        await ask.service("GET", f"/enrollments/{name}")
    await ask.device("PUT", "device", "/register", {}, key=base64.b64encode(b"w" * 32).decode())
    await ask.device("PUT", "device", "/register", {"registrationId": "other"})
    await ask.device("PUT", "absent", "/register", {})
    await ask.device("POST", "absent", "", {})
    await ask.device("GET", "device", "/operations/5.0.0")


async def _slow_devices(ask: Gatherer) -> None:
    await ask.enroll("slow")
    answer = await ask.device("PUT", "slow", "/register", {})
    await ask.device("GET", "slow", f"/operations/{answer['operationId']}")
    await ask.device("POST", "slow", "")


@functools.cache
def gathered() -> tuple[Gathered, ...]:
    """All answers, in the order in which they were given."""

    async def run() -> tuple[Gathered, ...]:
        answers: list[Gathered] = []
        for settings, scenarios in (
            (WorkflowSettings(hub_limit=0), (_enrollments, _groups, _service_errors, _devices)),
            (WorkflowSettings(azure_timing=True), (_slow_devices,)),
        ):
            for scenario in scenarios:
                async with Application(settings=settings) as app:
                    ask = Gatherer(app)
                    await scenario(ask)
                    answers += ask.answers
        return tuple(answers)

    return asyncio.run(run())
