"""A server in-process with certificates: enrolling, uploading and registering in one line each."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.clock import MICROSECONDS
from idscope.events import Attempt
from idscope.model.etag import new_etag
from idscope.records import CaCertificateRecord, ca_certificate_row
from idscope.registration import WorkflowSettings
from idscope.storage import AttemptRow, Put, Unit
from idscope.testing.application import ID_SCOPE, Application, Response
from idscope.testing.certificates import CertificateMaker
from idscope.testing.manual_clock import ManualClock

Result = TypeVar("Result")


def pem(maker: CertificateMaker) -> str:
    return maker.certificate.public_bytes(Encoding.PEM).decode()


def der(maker: CertificateMaker) -> bytes:
    return maker.certificate.public_bytes(Encoding.DER)


def thumbprint(maker: CertificateMaker) -> str:
    return hashlib.sha256(der(maker)).hexdigest().upper()


def certificates(kind: str, *makers: CertificateMaker) -> dict[str, Any]:
    """An attestation by client or signing certificates, primary and secondary."""
    slots = dict(zip(("primary", "secondary"), ({"certificate": pem(maker)} for maker in makers), strict=False))
    return {"type": "x509", "x509": {kind: slots}}


def references(*names: str) -> dict[str, Any]:
    return {"type": "x509", "x509": {"caReferences": dict(zip(("primary", "secondary"), names, strict=False))}}


class World:
    """`Application` with the clock at the present, since test certificates are valid around it."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def upload(self, name: str, maker: CertificateMaker | bytes, *, verified: bool = True) -> None:
        now = self.app.clock.now()
        content = maker if isinstance(maker, bytes) else der(maker)
        record = CaCertificateRecord(
            name=name, certificate=content, is_verified=verified, etag=new_etag(now), created=now, updated=now
        )
        await self.app.store.commit(Unit.of(Put(ca_certificate_row(ID_SCOPE, record))))

    async def enroll(self, registration_id: str, attestation: dict[str, Any], **members: Any) -> None:
        body = {"registrationId": registration_id, "attestation": attestation, **members}
        answer = await self.app.service("PUT", f"/enrollments/{registration_id}", body, if_match="*")
        if answer.status == 412:
            answer = await self.app.service("PUT", f"/enrollments/{registration_id}", body)
        assert answer.status == 200, answer.body

    async def group(self, group_id: str, attestation: dict[str, Any], **members: Any) -> None:
        body = {"enrollmentGroupId": group_id, "attestation": attestation, **members}
        answer = await self.app.service("PUT", f"/enrollmentGroups/{group_id}", body, if_match="*")
        if answer.status == 412:
            answer = await self.app.service("PUT", f"/enrollmentGroups/{group_id}", body)
        assert answer.status == 200, answer.body

    async def delete_group(self, group_id: str) -> None:
        assert (await self.app.service("DELETE", f"/enrollmentGroups/{group_id}")).status == 204

    async def register(self, registration_id: str, *chain: CertificateMaker | bytes, **more: Any) -> Response:
        path = f"/{ID_SCOPE}/registrations/{registration_id}/register?api-version=2021-06-01"
        sent = tuple(one if isinstance(one, bytes) else der(one) for one in chain)
        return await self.app.request("PUT", path, {}, chain=sent, **more)

    async def outcome(self, registration_id: str, *chain: CertificateMaker | bytes, **more: Any) -> str:
        """`assigned by <group>`, `assigned`, `disabled`, or the message of a 401."""
        answer = await self.register(registration_id, *chain, **more)
        body = answer.json()
        if answer.status != 202:
            assert (answer.status, body["errorCode"]) == (401, 401002)
            return str(body["message"])
        group = body["registrationState"].get("x509", {}).get("enrollmentGroupId")
        return body["status"] if group is None else f"{body['status']} by {group}"

    async def hub_device(self, device_id: str) -> dict[str, Any]:
        answer = await self.app.hub("GET", f"/devices/{device_id}")
        assert answer.status == 200, answer.body
        return dict(answer.json()["authentication"])

    async def last_attempt(self, registration_id: str) -> dict[str, Any]:
        await self.app.attempts.close()
        rows = [
            row
            for bucket in (registration_id.lower(), "")
            for row in await self.app.store.page(AttemptRow, (ID_SCOPE, bucket), None, 100)
            if row.registration_key == registration_id.lower()
        ]
        last = max(rows, key=lambda row: (row.at, row.attempt_id))
        return msgspec.structs.asdict(msgspec.json.decode(last.document, type=Attempt))


def play(scenario: Callable[[World], Awaitable[Result]], *, now: float | None = None, **options: Any) -> Result:
    """Run an async scenario with a `World`; returns its result."""

    async def inside() -> Result:
        clock = ManualClock(round((time.time() if now is None else now) * MICROSECONDS))
        async with Application(clock=clock, settings=WorkflowSettings(hub_limit=0, **options)) as app:
            return await scenario(World(app))

    return asyncio.run(inside())
