"""The table of who decides about a claim, row by row: decisions on finding the enrollment, and what the published
pages say of blocking (individual before group, nearest group first, disabled stops, deleted falls through)."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from x509_world import World, certificates, play, references

from idscope.secret import Secret
from idscope.security.keys import derive_device_key
from idscope.testing.application import ID_SCOPE
from idscope.testing.certificates import CertificateMaker
from idscope.testing.software_tpm import SoftwareTpm

ROOT = CertificateMaker.authority("root")
HIGH = ROOT.intermediate("high")
LOW = HIGH.intermediate("low")
DEVICE = LOW.device("device")
OWN = CertificateMaker.self_signed("device")
OTHER = CertificateMaker.self_signed("device")
STRANGER = CertificateMaker.authority("root").intermediate("high").intermediate("low").device("device")
GROUP_KEY = base64.b64encode(b"g" * 64).decode()
TOKEN_GROUP = {"type": "symmetricKey", "symmetricKey": {"primaryKey": GROUP_KEY, "secondaryKey": GROUP_KEY}}
DISABLED = {"provisioningStatus": "disabled"}

INVALID = "Invalid certificate."
NO_CA = "CA certificate not found."
UNAUTHORIZED = "Unauthorized"


class Enrolled(NamedTuple):
    """What stands in the service; "individual" is that of the registration id `device`."""

    individual: dict[str, Any] | None = None
    disabled: bool = False
    groups: tuple[tuple[str, CertificateMaker, bool], ...] = ()
    token_group: bool = False
    verified: tuple[CertificateMaker, ...] = (ROOT,)
    unverified: tuple[CertificateMaker, ...] = ()


async def prepare(world: World, enrolled: Enrolled) -> None:
    for number, maker in enumerate(enrolled.verified):
        await world.upload(f"verified-{number}", maker)
    for number, maker in enumerate(enrolled.unverified):
        await world.upload(f"unverified-{number}", maker, verified=False)
    for name, maker, enabled in enrolled.groups:
        members = {} if enabled else DISABLED
        await world.group(name, certificates("signingCertificates", maker), **members)
    if enrolled.token_group:
        await world.group("tokens", TOKEN_GROUP)
    if enrolled.individual is not None:
        await world.enroll("device", enrolled.individual, **(DISABLED if enrolled.disabled else {}))


Ask = Callable[[World], Awaitable[str]]


def chain(*makers: CertificateMaker | bytes) -> Ask:
    return lambda world: world.outcome("device", *makers)


def token(key: str = GROUP_KEY) -> Ask:
    device_key = derive_device_key(Secret(key), "device").reveal()
    return lambda world: world.outcome("device", authorization=world.app.device_token("device", device_key))


def tpm(chip: SoftwareTpm) -> Ask:
    """Both rounds over HTTPS; the message where the first one is refused."""

    async def ask(world: World) -> str:
        path = f"/{ID_SCOPE}/registrations/device/register?api-version=2021-06-01"
        challenged = await world.app.request("PUT", path, {"tpm": chip.document})
        if "authenticationKey" not in challenged.json():
            return str(challenged.json()["message"])
        chip.activate(base64.b64decode(challenged.json()["authenticationKey"]))
        token = chip.token(f"{ID_SCOPE}/registrations/device", world.app.expiry)
        return await world.outcome("device", authorization=token)

    return ask


async def nothing(world: World) -> str:
    return await world.outcome("device")


CHIP, OTHER_CHIP = SoftwareTpm(), SoftwareTpm()
BY_TPM = {"type": "tpm", "tpm": {"endorsementKey": CHIP.endorsement_key}}
CLIENT = certificates("clientCertificates", OWN)
SYMMETRIC = {"type": "symmetricKey"}
FULL = chain(DEVICE, LOW, HIGH)
STRANGERS = chain(*STRANGER.der_chain())
ROWS: dict[str, tuple[Enrolled, Ask, str]] = {
    # Individual enrollments
    "individual: the enrolled leaf": (Enrolled(CLIENT), chain(OWN), "assigned"),
    "individual: the enrolled leaf needs no CA": (Enrolled(CLIENT, verified=()), chain(OWN), "assigned"),
    "individual: another leaf": (Enrolled(CLIENT), chain(OTHER), INVALID),
    "individual by certificate, a token": (Enrolled(CLIENT), token(), UNAUTHORIZED),
    "individual by certificate, nothing": (Enrolled(CLIENT), nothing, UNAUTHORIZED),
    "individual by certificate, disabled": (Enrolled(CLIENT, disabled=True), chain(OWN), "disabled"),
    "individual by certificate, disabled, a stranger": (Enrolled(CLIENT, disabled=True), chain(OTHER), INVALID),
    "individual: an enrolled leaf that a CA issued, sent alone": (
        Enrolled(certificates("clientCertificates", DEVICE)),
        chain(DEVICE),
        "assigned",
    ),
    "individual: the secondary leaf": (
        Enrolled(certificates("clientCertificates", OTHER, OWN)),
        chain(OWN),
        "assigned",
    ),
    "individual by signer: directly": (
        Enrolled(certificates("signingCertificates", LOW), verified=()),
        chain(DEVICE),
        "assigned",
    ),
    "individual by signer: through what was sent": (
        Enrolled(certificates("signingCertificates", ROOT), verified=()),
        chain(DEVICE, LOW, HIGH),
        "assigned",
    ),
    "individual by signer: a link is missing": (
        Enrolled(certificates("signingCertificates", ROOT), verified=()),
        chain(DEVICE, LOW),
        INVALID,
    ),
    "individual by signer: the secondary one": (
        Enrolled(certificates("signingCertificates", STRANGER, LOW), verified=()),
        chain(DEVICE),
        "assigned",
    ),
    "individual by signer: same names, other keys": (
        Enrolled(certificates("signingCertificates", ROOT)),
        STRANGERS,
        INVALID,
    ),
    "individual by reference": (Enrolled(references("VERIFIED-0")), FULL, "assigned"),
    "individual by reference: not verified": (
        Enrolled(references("unverified-0"), verified=(), unverified=(ROOT,)),
        FULL,
        NO_CA,
    ),
    "individual by reference: not uploaded": (Enrolled(references("gone")), FULL, NO_CA),
    "individual by reference: not below it": (Enrolled(references("verified-0")), chain(OTHER), INVALID),
    "individual by TPM: the enrolled one": (Enrolled(BY_TPM), tpm(CHIP), "assigned"),
    "individual by TPM: another one": (Enrolled(BY_TPM), tpm(OTHER_CHIP), UNAUTHORIZED),
    "individual by TPM, a token of somebody": (Enrolled(BY_TPM), token(), UNAUTHORIZED),
    "individual by TPM, a certificate": (Enrolled(BY_TPM), chain(OWN), UNAUTHORIZED),
    "individual by TPM, nothing": (Enrolled(BY_TPM), nothing, UNAUTHORIZED),
    "individual by TPM, disabled": (Enrolled(BY_TPM, disabled=True), tpm(CHIP), "disabled"),
    "individual by TPM, disabled, another one": (Enrolled(BY_TPM, disabled=True), tpm(OTHER_CHIP), UNAUTHORIZED),
    "individual by certificate, a TPM": (Enrolled(CLIENT), tpm(CHIP), UNAUTHORIZED),
    "individual by symmetric key, a TPM": (Enrolled(SYMMETRIC), tpm(CHIP), UNAUTHORIZED),
    # Individual before group
    "individual by TPM beats the group that would let in": (
        Enrolled(BY_TPM, groups=(("group", ROOT, True),), token_group=True),
        token(),
        UNAUTHORIZED,
    ),
    "a disabled individual by TPM blocks a device of a group": (
        Enrolled(BY_TPM, disabled=True, groups=(("group", ROOT, True),)),
        FULL,
        "disabled",
    ),
    "a TPM where there are groups": (
        Enrolled(groups=(("group", ROOT, True),), token_group=True),
        tpm(CHIP),
        "Enrollment not found.",
    ),
    "individual beats the group that would let in": (
        Enrolled(CLIENT, groups=(("group", ROOT, True),)),
        FULL,
        INVALID,
    ),
    "individual lets in, whatever the group says": (
        Enrolled(CLIENT, groups=(("group", ROOT, False),)),
        chain(OWN),
        "assigned",
    ),
    "a disabled individual blocks a device of the group, and says so": (
        Enrolled(SYMMETRIC, disabled=True, groups=(("group", ROOT, True),)),
        FULL,
        "disabled",
    ),
    "a disabled individual says so to no stranger": (
        Enrolled(CLIENT, disabled=True, groups=(("group", ROOT, True),)),
        STRANGERS,
        INVALID,
    ),
    "a disabled individual blocks a device of a symmetric-key group": (
        Enrolled(CLIENT, disabled=True, token_group=True),
        token(),
        "disabled",
    ),
    "an individual without attestation admits nobody": (Enrolled({"type": "none"}), FULL, INVALID),
    "a disabled individual without attestation blocks": (
        Enrolled({"type": "none"}, disabled=True, groups=(("group", ROOT, True),)),
        FULL,
        "disabled",
    ),
    # Groups
    "group by root": (Enrolled(groups=(("group", ROOT, True),)), FULL, "assigned by group"),
    "group by root, the root sent too": (
        Enrolled(groups=(("group", ROOT, True),)),
        chain(DEVICE, LOW, HIGH, ROOT),
        "assigned by group",
    ),
    "group by intermediate, the root verified": (
        Enrolled(groups=(("group", LOW, True),)),
        FULL,
        "assigned by group",
    ),
    "group by intermediate, itself verified, leaf only": (
        Enrolled(groups=(("group", LOW, True),), verified=(LOW,)),
        chain(DEVICE),
        "assigned by group",
    ),
    "group by intermediate, verified above, all known here": (
        Enrolled(groups=(("group", LOW, True),), unverified=(HIGH,)),
        chain(DEVICE),
        "assigned by group",
    ),
    "group, no CA verified": (Enrolled(groups=(("group", ROOT, True),), verified=()), FULL, NO_CA),
    "group, its CA uploaded only": (
        Enrolled(groups=(("group", ROOT, True),), verified=(), unverified=(ROOT,)),
        FULL,
        NO_CA,
    ),
    "group, verified below it only": (
        Enrolled(groups=(("group", ROOT, True),), verified=(LOW,)),
        chain(DEVICE, LOW, HIGH),
        NO_CA,
    ),
    "group by root, the intermediates not sent": (Enrolled(groups=(("group", ROOT, True),)), chain(DEVICE), NO_CA),
    "no group, a verified CA": (Enrolled(), FULL, INVALID),
    "no group, self-signed": (Enrolled(), chain(OTHER), INVALID),
    "unverified CAs with the names of verified ones": (
        Enrolled(groups=(("group", ROOT, True),)),
        STRANGERS,
        NO_CA,
    ),
    "the nearest of two groups": (
        Enrolled(groups=(("far", ROOT, True), ("near", LOW, True))),
        FULL,
        "assigned by near",
    ),
    "the nearest of two groups, names the other way": (
        Enrolled(groups=(("a-near", LOW, True), ("b-far", ROOT, True))),
        FULL,
        "assigned by a-near",
    ),
    "the nearest group, disabled, stops": (
        Enrolled(groups=(("far", ROOT, True), ("near", LOW, False))),
        FULL,
        "disabled",
    ),
    "a farther group, disabled, does not matter": (
        Enrolled(groups=(("far", ROOT, False), ("near", LOW, True))),
        FULL,
        "assigned by near",
    ),
    "a disabled group is told to no stranger": (
        Enrolled(groups=(("group", ROOT, False),)),
        STRANGERS,
        NO_CA,
    ),
    "a disabled group without a verified CA": (
        Enrolled(groups=(("group", ROOT, False),), verified=()),
        FULL,
        NO_CA,
    ),
    "a token where there are X.509 groups": (
        Enrolled(groups=(("group", ROOT, True),)),
        token(),
        UNAUTHORIZED,
    ),
    "a chain where there are symmetric-key groups": (Enrolled(token_group=True), chain(OTHER), INVALID),
}


@pytest.mark.parametrize(("enrolled", "ask", "expected"), ROWS.values(), ids=ROWS.keys())
def test_who_decides(enrolled: Enrolled, ask: Ask, expected: str) -> None:
    async def scenario(world: World) -> str:
        await prepare(world, enrolled)
        return await ask(world)

    assert play(scenario) == expected


def test_a_deleted_group_falls_through_to_the_one_above_and_a_disabled_one_stops() -> None:
    async def scenario(world: World) -> list[str]:
        await prepare(world, Enrolled(groups=(("far", ROOT, True), ("near", LOW, True))))
        seen = [await FULL(world)]
        await world.group("near", certificates("signingCertificates", LOW), **DISABLED)
        seen.append(await FULL(world))
        await world.delete_group("near")
        seen.append(await FULL(world))
        await world.delete_group("far")
        return [*seen, await FULL(world)]

    assert play(scenario) == ["assigned by near", "disabled", "assigned by far", INVALID]


def test_groups_by_reference_follow_what_is_uploaded() -> None:
    async def scenario(world: World) -> list[str]:
        await world.group("group", references("the-root"))
        seen = [await FULL(world)]
        await world.upload("The-Root", ROOT, verified=False)
        seen.append(await FULL(world))
        await world.upload("The-Root", ROOT)
        return [*seen, await FULL(world), await chain(DEVICE, LOW)(world), await STRANGERS(world)]

    assert play(scenario) == [NO_CA, NO_CA, "assigned by group", NO_CA, NO_CA]
