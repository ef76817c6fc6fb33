"""What Microsoft's device SDKs sent on port 8883, signed anew and served: the verdict of each row in captures.toml."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from mqtt_device import CAPTURES, DISCONNECT, Device, Said, front_end, sign_anew, split, topic_of, with_operation_id

from idscope.frontends.mqtt.front_end import MqttFrontEnd
from idscope.testing.application import Application

# Any 32 bytes: the devices' own keys are not known.
KEY = base64.b64encode(bytes(range(32))).decode()
_REGISTRATION = re.compile(rb"0ne00ABCDEF/registrations/([^/]+)/")


@dataclass(frozen=True)
class Capture:
    name: str
    verdict: str
    chain: tuple[bytes, ...]
    packets: tuple[bytes, ...]

    @property
    def registration_id(self) -> str | None:
        named = _REGISTRATION.search(self.packets[0])
        return named[1].decode() if named else None


def load() -> list[Capture]:
    rows = tomllib.loads((CAPTURES / "captures.toml").read_text())["capture"]
    verdicts = {row["file"]: row["verdict"] for row in rows}
    found = []
    for path in sorted(CAPTURES.glob("*.json")):
        document = json.loads(path.read_text())
        for one in document["connections"]:
            name = f"{document['group']}/{one['file']}"
            packets = split("".join(one["sent"]).encode("latin-1"))
            chain = tuple(subject.encode() for subject in one["chain"])  # no certificate that anybody enrolled
            found.append(Capture(name, verdicts[name], chain, tuple(packets)))
    return found


ALL = load()


def whole(sent: bytes) -> list[bytes]:
    return [sent]


def bytewise(sent: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in sent]


class Served:
    """Sends a capture packet by packet, waiting for what each is owed, and keeps the answers."""

    def __init__(self, device: Device, expiry: int, cut: Callable[[bytes], list[bytes]]) -> None:
        self.device = device
        self.expiry = expiry
        self.cut = cut
        self.connack = b""
        self.answers: list[Said] = []

    async def send(self, sent: bytes) -> None:
        kind = sent[0] >> 4
        if kind == 1:
            sent = sign_anew(sent, KEY, self.expiry)
        elif kind == 3 and self.answers and b"&operationId=" in sent:
            sent = with_operation_id(sent, self.answers[0].json().get("operationId", "none"))
        for piece in self.cut(sent):
            self.device.send(piece)
        match kind:
            case 1:
                self.connack = (await self.device.said()).body
            case 3:
                if sent[0] & 0x06:
                    assert (await self.device.said()).first == 0x40, "PUBACK before the answer"
                self.answers.append(await self.device.said())
            case 8:
                granted = await self.device.said()
                assert (granted.first, granted.body[2:]) == (0x90, b"\x01")
            case 10:
                assert (await self.device.said()).first == 0xB0


async def serve(app: Application, front: MqttFrontEnd, capture: Capture, cut: Callable[[bytes], list[bytes]]) -> Served:
    with Device(front, capture.chain) as device:
        served = Served(device, app.expiry, cut)
        for sent in capture.packets:
            await served.send(sent)
            if served.connack != b"\0\0":
                break
        if capture.packets[-1] == DISCONNECT or served.connack != b"\0\0":
            await device.ended()
        assert device.silent, "nothing is pushed"
    return served


def rid(sent: bytes) -> str:
    return re.findall(r"\$rid=([^&]+)", topic_of(sent))[0]  # type: ignore[no-any-return]


def without_nulls(value: Any) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is not None and all(map(without_nulls, children))


@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize("capture", ALL, ids=lambda capture: capture.name)
def test_the_capture_gets_its_verdict(capture: Capture, cut: Callable[[bytes], list[bytes]]) -> None:
    async def run() -> None:
        async with Application() as app, asyncio.timeout(20):
            if capture.verdict == "assigned":
                keys = {"primaryKey": KEY, "secondaryKey": KEY}
                attestation = {"type": "symmetricKey", "symmetricKey": keys}
                await app.enroll(capture.registration_id, attestation=attestation)  # type: ignore[arg-type]
            judge(capture, await serve(app, front_end(app), capture, cut))

    asyncio.run(run())


def judge(capture: Capture, served: Served) -> None:
    if capture.verdict == "connack 3":
        assert served.connack == b"\0\3"
        return
    assert served.connack == b"\0\0"
    asked = [sent for sent in capture.packets if sent[0] >> 4 == 3]
    assert len(served.answers) == len(asked)
    status, wanted = (200, "assigned") if capture.verdict == "assigned" else (401, 401002)
    for sent, answer in zip(asked, served.answers, strict=True):
        document = answer.json()
        assert answer.topic == f"$dps/registrations/res/{status}/?$rid={rid(sent)}"
        assert without_nulls(document)
        assert document.get("errorCode", document.get("status")) == wanted
        if wanted == "assigned":
            assert document["operationId"]
            assert document["registrationState"]["registrationId"] == capture.registration_id
