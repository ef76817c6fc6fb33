"""A connection that lives on after its device proved itself: whatever changed meanwhile that would refuse the device
now refuses its next request, though its own enrollment is as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from x509_world import World, certificates, der, play, references

from idscope.attestation import Authenticated, Claim
from idscope.errors import ProvisioningError
from idscope.model.api_version import parse_api_version
from idscope.registration import RegisterRequest
from idscope.secret import Secret
from idscope.storage import CaCertificateRow, Delete, Key, Unit
from idscope.testing.application import ID_SCOPE
from idscope.testing.certificates import CertificateMaker

ROOT = CertificateMaker.authority("root")
LOW = ROOT.intermediate("low")
DEVICE = LOW.device("device")
DISABLED = {"provisioningStatus": "disabled"}
KEYS = {"type": "symmetricKey"}


async def let_in(world: World, *, sas: str | None = None) -> Authenticated:
    """As a front end does at the beginning of a connection."""
    verdict = await world.app.workflow.authenticate(
        Claim(
            id_scope=ID_SCOPE,
            registration_id="device",
            api_version=parse_api_version("2019-03-31"),
            wire="Mqtt",
            peer="127.0.0.1",
            tracking_id="connect",
            sas=None if sas is None else Secret(sas),
            chain=() if sas is not None else (der(DEVICE), der(LOW)),
        )
    )
    assert isinstance(verdict, Authenticated)
    return verdict


async def asked(world: World, device: Authenticated) -> list[str]:
    """What the connection is told when it registers, and when it looks its registration up."""
    told: list[str] = []
    for ask in (
        lambda: world.app.workflow.register(device, RegisterRequest("register")),
        lambda: world.app.workflow.look_up(device, None),
    ):
        try:
            told.append((await ask()).status)
        except ProvisioningError as error:
            told.append(f"{error.error_code} {error.message}")
    return told


async def nothing(world: World) -> None:
    pass


async def the_ca_is_not_verified_any_more(world: World) -> None:
    await world.upload("root", ROOT, verified=False)


async def the_ca_is_deleted(world: World) -> None:
    await world.app.store.commit(Unit.of(Delete(Key(CaCertificateRow, (ID_SCOPE, "root")))))


async def a_nearer_group_blocks_it(world: World) -> None:
    await world.group("near", certificates("signingCertificates", LOW), **DISABLED)


async def the_group_is_disabled(world: World) -> None:
    await world.group("far", certificates("signingCertificates", ROOT), **DISABLED)


async def the_group_is_deleted(world: World) -> None:
    await world.delete_group("far")


async def an_enrollment_of_its_own_blocks_it(world: World) -> None:
    await world.enroll("device", KEYS, **DISABLED)


REFUSED = "401002 Unauthorized"
CHANGES: dict[str, tuple[Callable[[World], Awaitable[None]], list[str]]] = {
    "nothing": (nothing, ["assigned", "assigned"]),
    "the CA is not verified any more": (the_ca_is_not_verified_any_more, [REFUSED] * 2),
    "the CA is deleted": (the_ca_is_deleted, [REFUSED] * 2),
    "a nearer group blocks it": (a_nearer_group_blocks_it, [REFUSED] * 2),
    "the group is disabled": (the_group_is_disabled, ["disabled"] * 2),
    "the group is deleted": (the_group_is_deleted, [REFUSED] * 2),
    "an enrollment of its own blocks it": (an_enrollment_of_its_own_blocks_it, ["disabled"] * 2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_device_of_a_group(name: str) -> None:
    change, expected = CHANGES[name]

    async def scenario(world: World) -> list[str]:
        await world.upload("root", ROOT)
        await world.group("far", certificates("signingCertificates", ROOT))
        device = await let_in(world)
        assert await asked(world, device) == ["assigned", "assigned"]
        await change(world)
        return await asked(world, device)

    assert play(scenario) == expected


def test_a_device_by_reference() -> None:
    async def scenario(world: World) -> list[Any]:
        await world.upload("root", ROOT)
        await world.enroll("device", references("root"))
        device = await let_in(world)
        before = await asked(world, device)
        await the_ca_is_not_verified_any_more(world)
        return [before, await asked(world, device)]

    assert play(scenario) == [["assigned", "assigned"], [REFUSED, REFUSED]]


def test_a_device_whose_key_was_replaced() -> None:
    async def scenario(world: World) -> list[Any]:
        keys = (await world.app.enroll("device"))["attestation"]["symmetricKey"]
        device = await let_in(world, sas=world.app.device_token("device", keys["primaryKey"]))
        before = await asked(world, device)
        new = {"primaryKey": keys["secondaryKey"], "secondaryKey": keys["secondaryKey"]}
        await world.enroll("device", {"type": "symmetricKey", "symmetricKey": new})
        return [before, await asked(world, device)]

    assert play(scenario) == [["assigned", "assigned"], [REFUSED, REFUSED]]


def test_a_device_that_would_wait_for_the_registration_of_its_successor() -> None:
    """Another connection registers with the new key at that moment."""

    async def scenario(world: World) -> tuple[str, list[str]]:
        keys = (await world.app.enroll("device"))["attestation"]["symmetricKey"]
        old = await let_in(world, sas=world.app.device_token("device", keys["primaryKey"]))
        new = {"primaryKey": keys["secondaryKey"], "secondaryKey": keys["secondaryKey"]}
        await world.enroll("device", {"type": "symmetricKey", "symmetricKey": new})
        successor = await let_in(world, sas=world.app.device_token("device", keys["secondaryKey"]))
        under_way = asyncio.create_task(world.app.workflow.register(successor, RegisterRequest("successor")))
        await asyncio.sleep(0)
        assert world.app.workflow._running
        told = await asked(world, old)
        return (await under_way).status, told

    assert play(scenario) == ("assigned", [REFUSED, REFUSED])
