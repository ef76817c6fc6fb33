"""A TPM on an AMQP connection: challenged first, whoever it is, and told after its proof. It must not know how the
server reaches an answer."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import amqp_frames as amqp
import pytest
from amqp_device import Device
from amqp_frames import Symbol
from captured import clock_for
from tpm_samples import changed

from idscope.errors import ServiceUnavailable
from idscope.frontends.amqp.limits import AmqpLimits
from idscope.storage import AttemptRow, Key, RegistrationRow
from idscope.testing.application import ID_SCOPE, Application
from idscope.testing.certificates import CertificateMaker
from idscope.testing.manual_clock import ManualClock
from idscope.testing.software_tpm import SoftwareTpm

ADDRESS = f"{ID_SCOPE}/registrations/device"
Play = Callable[[Device], Awaitable[None]]


@functools.cache
def made(name: str) -> SoftwareTpm:
    return SoftwareTpm()


def chip() -> SoftwareTpm:
    return made("the device's")


def play(scene: Play, *, clock: ManualClock | None = None, **options: Any) -> None:
    """The scene, on a connection of its own; `device` is enrolled with `chip()`."""

    async def run() -> None:
        async with Application(clock=clock) as app:
            tpm = {"endorsementKey": chip().endorsement_key}
            await app.enroll("device", attestation={"type": "tpm", "tpm": tpm})
            with Device(app, **options) as device:
                await scene(device)

    asyncio.run(run())


def respond(device: Device, response: bytes) -> None:
    device.feed(amqp.frame(amqp.RESPONSE, response, kind=1))


async def challenge(
    device: Device, tpm: SoftwareTpm, name: str = "device", *, scope: str = ID_SCOPE, keys: dict[str, str] | None = None
) -> bytes | int:
    """Up to the challenge: the blob; or the outcome that came instead."""
    document = tpm.document | (keys or {})
    endorsement_key = base64.b64decode(document["endorsementKey"])
    device.feed(amqp.SASL)
    initial = f"\0{scope}\0{name}\0".encode() + endorsement_key
    device.feed(amqp.frame(amqp.INIT, Symbol("TPM"), initial, "127.0.0.1", kind=1))
    assert (await device.frame(amqp.CHALLENGE)).field(0) == b"\0"
    respond(device, b"\0" + base64.b64decode(document["storageRootKey"]))
    await device.until(lambda: len(device.frames(amqp.CHALLENGE)) == 2 or device.frames(amqp.OUTCOME))
    if device.frames(amqp.OUTCOME):
        return int(device.frames(amqp.OUTCOME)[0].field(0))
    respond(device, b"\0")
    first, second = (await device.frame(amqp.CHALLENGE, 2)).field(0), (await device.frame(amqp.CHALLENGE, 3)).field(0)
    return bytes(first[1:] + second[1:])


async def prove(device: Device, token: str) -> int:
    respond(device, b"\0" + token.encode())
    return int((await device.frame(amqp.OUTCOME)).field(0))


def token_of(device: Device, tpm: SoftwareTpm, name: str = "device") -> str:
    return tpm.token(f"{ID_SCOPE}%2Fregistrations%2F{name}", device.app.expiry)


async def log_in(device: Device, tpm: SoftwareTpm, name: str = "device", **options: Any) -> int:
    """The whole of SASL; the outcome."""
    blob = await challenge(device, tpm, name, **options)
    if isinstance(blob, int):
        return blob
    tpm.activate(blob)
    return await prove(device, token_of(device, tpm, name))


async def register(device: Device, name: str = "device") -> None:
    device.open()
    device.attach(f"{ID_SCOPE}/registrations/{name}")
    await device.frame(amqp.ATTACH, 2)
    device.ask(type="iotdps-register", body={amqp.DATA: b"{}"})


async def answer(device: Device) -> Any:
    transfer = await device.frame(amqp.TRANSFER)
    sections = {one.descriptor: one.value for one in amqp.decode_all(transfer.payload)}
    return json.loads(sections[amqp.DATA])


async def attempts(app: Application) -> list[Any]:
    await app.attempts.close()
    return list(await app.store.page(AttemptRow, (), None, 100))


def test_a_tpm_registers_and_takes_its_hubs_key_in() -> None:
    async def scene(device: Device) -> None:
        assert await log_in(device, chip()) == 0
        await register(device)
        document = await answer(device)
        assert document["status"] == "assigned"
        chip().activate(base64.b64decode(document["registrationState"]["tpm"]["authenticationKey"]))
        identity = (await device.app.hub("GET", "/devices/device")).json()["authentication"]
        assert identity["type"] == "sas"
        assert identity["symmetricKey"]["primaryKey"] == base64.b64encode(chip().key).decode()

    play(scene)


def test_a_disabled_tpm_is_told_so_once_it_proved_itself() -> None:
    async def scene(device: Device) -> None:
        tpm = {"type": "tpm", "tpm": {"endorsementKey": chip().endorsement_key}}
        await device.app.enroll("off", attestation=tpm, provisioningStatus="disabled")
        assert await log_in(device, chip(), "off") == 0
        await register(device, "off")
        assert (await answer(device))["status"] == "disabled"

    play(scene)


def test_an_unknown_id_is_told_in_every_request() -> None:
    """As the real service does (observed); the trackingId leads the operator to the attempt."""

    async def scene(device: Device) -> None:
        assert await log_in(device, chip(), "unknown") == 0
        await register(device, "unknown")
        outcome = (await device.frame(amqp.DISPOSITION)).field(4)
        assert outcome.descriptor == amqp.REJECTED
        condition, description, *_ = outcome.value[0].value
        details = json.loads(description)
        assert (condition, details["errorCode"]) == ("amqp:not-found", 404201)
        assert not device.frames(amqp.TRANSFER)
        (attempt,) = await attempts(device.app)
        assert (attempt.attempt_id, attempt.verdict) == (details["trackingId"], "refused")
        assert await device.app.store.fetch((Key(RegistrationRow, (ID_SCOPE, "unknown")),)) == [None]

    play(scene)


def test_an_unknown_tpm_does_not_stay() -> None:
    async def scene(device: Device) -> None:
        assert await log_in(device, chip(), "unknown") == 0
        device.open()
        await device.frame(amqp.OPEN)
        assert device.protocol.deadline <= asyncio.get_running_loop().time() + 0.5
        device.protocol.on_deadline()
        assert device.wire.closed

    play(scene, limits=AmqpLimits(open_seconds=0.5))


async def no_more_than(outcome: int, device: Device) -> None:
    assert outcome == 1
    (attempt,) = await attempts(device.app)
    assert attempt.verdict == "refused"


def test_another_endorsement_key_is_challenged_and_then_refused() -> None:
    async def scene(device: Device) -> None:
        await no_more_than(await log_in(device, made("another's")), device)

    play(scene)


def test_an_unknown_scope_is_challenged_and_then_refused() -> None:
    async def scene(device: Device) -> None:
        await no_more_than(await log_in(device, chip(), scope="0neFFFFFFFF"), device)

    play(scene)


def test_a_bad_id_is_challenged_and_then_refused() -> None:
    async def scene(device: Device) -> None:
        await no_more_than(await log_in(device, chip(), "-bad-"), device)

    play(scene)


def test_a_tpm_is_no_proof_where_another_mechanism_is_enrolled() -> None:
    async def scene(device: Device) -> None:
        await device.app.enroll("symmetric")
        await no_more_than(await log_in(device, chip(), "symmetric"), device)

    play(scene)


def test_a_certificate_beside_the_tpm_proves_nothing() -> None:
    certificate = CertificateMaker.self_signed("certified")

    async def scene(device: Device) -> None:
        leaf = base64.b64encode(certificate.der_chain()[0]).decode()
        x509 = {"clientCertificates": {"primary": {"certificate": leaf}}}
        await device.app.enroll("certified", attestation={"type": "x509", "x509": x509})
        assert await log_in(device, chip(), "certified") == 1
        with Device(device.app, chain=certificate.der_chain()) as again:
            await register(again, "certified")
            assert (await answer(again))["status"] == "assigned", "without SASL it does"

    play(scene, chain=certificate.der_chain(), clock=clock_for(certificate))


@pytest.mark.parametrize("member", ["endorsementKey", "storageRootKey"])
@pytest.mark.parametrize("key", [changed(2, b"\x00\x23"), "AAEA", "AA=="], ids=["elliptic", "tiny", "no structure"])
def test_keys_for_which_no_challenge_can_be_made_are_outcome_1(member: str, key: str) -> None:
    async def scene(device: Device) -> None:
        outcome = await challenge(device, chip(), keys={member: key})
        assert isinstance(outcome, int)
        await no_more_than(outcome, device)

    play(scene)


def test_a_store_that_is_down_is_a_temporary_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(device: Device) -> None:
        blob = await challenge(device, chip())
        assert isinstance(blob, bytes)
        chip().activate(blob)

        async def refuse(_claim: object) -> None:
            raise ServiceUnavailable

        monkeypatch.setattr(device.app.workflow, "authenticate", refuse)
        assert await prove(device, token_of(device, chip())) == 4

    play(scene)


# Attacks


def test_a_token_of_another_connection_is_refused() -> None:
    """A nonce lives as long as its connection."""

    async def scene(device: Device) -> None:
        assert await log_in(device, chip()) == 0
        heard = token_of(device, chip())
        with Device(device.app) as again:
            await challenge(again, chip())
            assert await prove(again, heard) == 1

    play(scene)


def test_a_nonce_of_another_id_is_refused() -> None:
    async def scene(device: Device) -> None:
        await device.app.enroll("other", attestation={"type": "tpm", "tpm": {"endorsementKey": chip().endorsement_key}})
        blob = await challenge(device, chip(), "other")
        assert isinstance(blob, bytes)
        chip().activate(blob)
        assert await prove(device, token_of(device, chip(), "device")) == 1
        with Device(device.app) as again:
            await challenge(again, chip(), "device")
            assert await prove(again, token_of(again, chip(), "device")) == 1

    play(scene)


def test_nonces_of_https_and_amqp_are_two_things() -> None:
    async def scene(device: Device) -> None:
        app, path = device.app, f"/{ADDRESS}/register?api-version=2021-06-01"
        challenged = await app.request("PUT", path, {"tpm": chip().document})
        chip().activate(base64.b64decode(challenged.json()["authenticationKey"]))
        of_https = token_of(device, chip())
        await challenge(device, chip())
        assert await prove(device, of_https) == 1
        with Device(app) as again:
            assert await again.present(f"\0{ADDRESS}\0{of_https}".encode()) == 1
        assert (await app.request("PUT", path, {}, authorization=of_https)).status == 202
        with Device(app) as third:
            assert await log_in(third, chip()) == 0
            refused = await app.request("PUT", path, {}, authorization=token_of(third, chip()))
        assert (refused.status, refused.json()["errorCode"]) == (401, 401002)

    play(scene)


def test_a_connection_that_lives_on_is_refused_once_its_tpm_was_replaced() -> None:
    async def scene(device: Device) -> None:
        assert await log_in(device, chip()) == 0
        attestation = {"type": "tpm", "tpm": {"endorsementKey": made("another's").endorsement_key}}
        body = {"registrationId": "device", "attestation": attestation}
        assert (await device.app.service("PUT", "/enrollments/device", body, if_match="*")).status == 200
        await register(device)
        outcome = (await device.frame(amqp.DISPOSITION)).field(4)
        assert outcome.descriptor == amqp.REJECTED
        assert json.loads(outcome.value[0].value[1])["errorCode"] == 401002

    play(scene)


def test_a_connection_that_lives_on_survives_a_change_of_its_enrollment() -> None:
    async def scene(device: Device) -> None:
        assert await log_in(device, chip()) == 0
        attestation = {"type": "tpm", "tpm": {"endorsementKey": chip().endorsement_key}}
        body = {"registrationId": "device", "attestation": attestation, "initialTwin": {"tags": {"moved": True}}}
        assert (await device.app.service("PUT", "/enrollments/device", body, if_match="*")).status == 200
        await register(device)
        assert (await answer(device))["status"] == "assigned"

    play(scene)
