"""Each refusal of a TPM: the device is told what the real service says and no more, the operator why, where and what to
do; and a challenge is an attempt too."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from refused_world import STRANGE_KEY, UNAUTHORIZED, World, play, resource, secrets_in

from idscope.testing.application import Response
from idscope.testing.software_tpm import SoftwareTpm

ENROLLED, OTHER = SoftwareTpm(), SoftwareTpm()


class TpmWorld(World):
    """`chip` is enrolled with a TPM."""

    async def prepare(self) -> None:
        await super().prepare()
        tpm = {"endorsementKey": ENROLLED.endorsement_key}
        await self.app.enroll("chip", attestation={"type": "tpm", "tpm": tpm})

    async def ask(self, tpm: dict[str, str] | None, token: str | None = None) -> Response:
        return await self.register("chip", token, body={} if tpm is None else {"tpm": tpm})

    async def challenged(self) -> Response:
        return await self.ask(ENROLLED.document)


@dataclass(frozen=True)
class Row:
    name: str
    act: Callable[[TpmWorld], Awaitable[Response]]
    told: tuple[int, int, str]
    cause: str
    why: str
    advice: str
    refused_at: str


async def _late(world: TpmWorld) -> Response:
    answer = await world.challenged()
    ENROLLED.activate(base64.b64decode(answer.json()["authenticationKey"]))
    await world.app.attempts.close()
    token = ENROLLED.token("0ne00ABCDEF%2Fregistrations%2Fchip", world.app.expiry + 7200)
    world.app.clock.advance(3600)
    return await world.ask(ENROLLED.document, token)


ROWS = (
    Row(
        "another endorsement key",
        lambda w: w.ask(OTHER.document),
        UNAUTHORIZED,
        "tpm-key-differs",
        "not the enrolled one",
        "this very TPM",
        "endorsement key",
    ),
    Row(
        "neither keys nor a token",
        lambda w: w.ask(None),
        UNAUTHORIZED,
        "no-credential",
        "attests by TPM",
        "send its token",
        "kind of credential",
    ),
    Row(
        "a key of its own instead of the nonce",
        lambda w: w.ask(ENROLLED.document, w.token(resource("chip"), STRANGE_KEY)),
        UNAUTHORIZED,
        "tpm-nonce-differs",
        "none of the nonces",
        "begin anew",
        "nonce",
    ),
    Row(
        "the nonce of an hour ago",
        _late,
        UNAUTHORIZED,
        "tpm-nonce-differs",
        "none of the nonces",
        "begin anew",
        "nonce",
    ),
    Row(
        "a token that expired",
        lambda w: w.ask(ENROLLED.document, w.token(resource("chip"), STRANGE_KEY, late=600)),
        UNAUTHORIZED,
        "token-expired",
        "expired 10 min ago",
        "check its clock",
        "expiry",
    ),
    Row(
        "a storage root key that is none",
        lambda w: w.ask({**ENROLLED.document, "storageRootKey": "AAEA"}),
        (400, 400004, ""),
        "tpm-key-unusable",
        "storageRootKey",
        "RSA with 2048 bits",
        "endorsement key",
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_device_is_told_what_the_real_service_says_and_the_operator_why(row: Row) -> None:
    async def scenario(world: World) -> Any:
        assert isinstance(world, TpmWorld)
        answer = await row.act(world)
        found = await world.app.operator("GET", f"/admin/attempts/{answer.headers['x-ms-request-id']}")
        tokens = [] if not ENROLLED.key else [f"sig={base64.b64encode(ENROLLED.key).decode()}"]
        return answer, found.json()["attempts"], secrets_in(world, tokens)

    answer, [attempt], secrets = asyncio.run(play(scenario, world_type=TpmWorld))
    body = answer.json()
    assert (answer.status, body["errorCode"]) == row.told[:2]
    assert body["message"] == row.told[2] or not row.told[2]
    assert (attempt["cause"], attempt["refusedStep"]) == (row.cause, row.refused_at)
    assert row.why in attempt["reason"]
    assert row.advice in attempt["advice"]
    assert attempt["enrollment"] == {"id": "chip", "kind": "individual"}
    assert not secrets, "no nonce either"


def test_a_challenge_is_an_attempt_without_a_cause() -> None:
    async def scenario(world: World) -> Any:
        assert isinstance(world, TpmWorld)
        answer = await world.challenged()
        return answer, (await world.app.operator("GET", "/admin/registrations/chip/attempts")).json()["attempts"]

    answer, [attempt] = asyncio.run(play(scenario, world_type=TpmWorld))
    assert (answer.status, attempt["verdict"]) == (401, "challenged")
    assert attempt["trackingId"] == answer.headers["x-ms-request-id"]
    assert "cause" not in attempt
