"""The client side of what Microsoft's device SDKs sent over AMQP, on port 5671 and inside WebSockets, replayed: every
rule that a client depends on holds for every answer. It must not know how the server reaches an answer."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import re
from dataclasses import dataclass, field
from typing import Any

import amqp_frames as amqp
import pytest
from amqp_device import Device
from amqp_frames import Described, Frame
from captured import Capture, certificate_of, clock_for, enroll, load_captures, sign_anew, tpm_of, with_keys_of
from websocket_tunnel import CUTS, Cut, Tunnel, whole

from idscope.protocols.amqp.mechanisms import TpmToken, tpm
from idscope.protocols.amqp.sasl import Outcome, SaslServer, State
from idscope.testing.application import Application
from idscope.testing.software_tpm import SoftwareTpm

CAPTURES = load_captures("Amqp", "AmqpWs")
_OPERATION = re.compile(rb"(?<=iotdps-operation-id\xa1\x37)[45]\.[0-9a-f.-]{53}")


def with_verdict(*verdicts: str) -> list[Capture]:
    return [one for one in CAPTURES if one.row.verdict in verdicts]


SERVED = with_verdict("assigned", "let in")
CERTIFIED = [one for one in SERVED if one.row.proof == "x509"]
each_served = pytest.mark.parametrize("capture", SERVED, ids=lambda one: one.name)


@dataclass
class Replayed:
    """Both sides of a replayed connection."""

    capture: Capture
    client: list[bytes | Frame] = field(default_factory=list)
    server: list[bytes | Frame] = field(default_factory=list)
    closed: bool = False

    def of_client(self, performative: int) -> list[Frame]:
        return _frames(self.client, performative)

    def of_server(self, performative: int) -> list[Frame]:
        return _frames(self.server, performative)


def _frames(side: list[bytes | Frame], performative: int) -> list[Frame]:
    return [one for one in side if isinstance(one, Frame) and one.performative == performative]


@functools.cache
def replay(capture: Capture, cut: Cut = whole, *, enrolled: bool = True) -> Replayed:
    """The connection again: the token signed anew, and polls for the operation that this server made."""
    return asyncio.run(_replay(capture, cut, enrolled=enrolled))


def device_of(app: Application, capture: Capture, chain: tuple[bytes, ...] = (), cut: Cut = whole) -> Device:
    if not capture.upgrade:
        return Device(app, chain=chain, cut=cut)
    tunnel = functools.partial(Tunnel, app, capture, capture.sent, cut)
    return Device(app, chain=chain, wire="AmqpWs", tunnel=tunnel)


async def _replay(capture: Capture, cut: Cut, *, enrolled: bool) -> Replayed:
    certificate, tpm = certificate_of(capture), tpm_of(capture)
    async with Application(clock=clock_for(certificate)) as app:
        if enrolled:
            await enroll(app, capture.row.scenario, certificate, tpm.endorsement_key if tpm else "")
        with device_of(app, capture, certificate.der_chain() if certificate else (), cut) as device:
            client = b""
            for segment in capture.sent:
                await _settled(device)
                signed = sign_anew(segment, app.expiry) if tpm is None else _proved(tpm, device, segment)
                data = _renewed(device, signed)
                client += data
                device.feed(data)
            await _settled(device)
            said = list(amqp.split(client))
            if _frames(said, amqp.CLOSE):
                await device.until(lambda: device.wire.closed)
            return Replayed(capture, said, device.sent, device.wire.closed)


def _proved(tpm: SoftwareTpm, device: Device, segment: bytes) -> bytes:
    """With the TPM's own keys, and signed with what it was challenged with."""
    challenges = device.frames(amqp.CHALLENGE)
    if len(challenges) == 3 and b"SharedAccessSignature" in segment:
        tpm.activate(b"".join(challenge.field(0)[1:] for challenge in challenges[1:]))
        return sign_anew(segment, device.app.expiry, base64.b64encode(tpm.key).decode())
    return with_keys_of(tpm, segment)


def _renewed(device: Device, data: bytes) -> bytes:
    answers = device.frames(amqp.TRANSFER)
    if not answers:
        return data
    return _OPERATION.sub(document(answers[0])["operationId"].encode(), data)


async def _settled(device: Device) -> None:
    """Until the device has what it waits for before it goes on."""
    await device.until(lambda: device.wire.closed or not device.wire.reading_paused)
    session = device.inside._session
    if session is not None:
        await device.until(lambda: not session.is_busy)


def sections(frame: Frame) -> dict[int, Any]:
    """The sections of a message; none stands there twice."""
    values = amqp.decode_all(frame.payload)
    assert len({one.descriptor for one in values}) == len(values)
    return {one.descriptor: one.value for one in values}


def document(frame: Frame) -> Any:
    return json.loads(sections(frame)[amqp.DATA])


@each_served
def test_served_connections_are_let_in(capture: Capture) -> None:
    replayed = replay(capture)
    signed = capture.row.proof != "x509"
    assert [frame.field(0) for frame in replayed.of_server(amqp.MECHANISMS)] == ([["PLAIN", "TPM"]] if signed else [])
    assert [frame.field(0) for frame in replayed.of_server(amqp.OUTCOME)] == ([0] if signed else [])
    assert next(one for one in replayed.server if isinstance(one, bytes)) == (amqp.SASL if signed else amqp.AMQP)


@each_served
def test_the_open_tells_the_observed_limits(capture: Capture) -> None:
    opened = replay(capture).of_server(amqp.OPEN)
    assert len(opened) == len(replay(capture).of_client(amqp.OPEN))
    for frame in opened:
        assert re.fullmatch("IoTDPSGW_[0-9a-f]{32}", frame.field(0))
        assert (frame.field(2), frame.field(4)) == (65536, 240000)


@each_served
def test_attach_replies_echo_source_and_target(capture: Capture) -> None:
    replayed = replay(capture)
    asked = {frame.field(0): frame for frame in replayed.of_client(amqp.ATTACH)}
    replies = replayed.of_server(amqp.ATTACH)
    assert {frame.field(0) for frame in replies} == set(asked)
    for reply in replies:
        request = asked[reply.field(0)]
        assert reply.field(2) is not bool(request.field(2))
        assert address(reply.field(5)) == address(request.field(5))
        assert address(reply.field(6)) == address(request.field(6))


def address(terminus: Described | None) -> str | None:
    return terminus.value[0] if terminus is not None and terminus.value else None


@each_served
def test_attach_replies_have_a_delivery_count_and_a_message_size(capture: Capture) -> None:
    for reply in replay(capture).of_server(amqp.ATTACH):
        server_sends = reply.field(2) is False
        assert not server_sends or reply.field(9) == 0
        assert reply.field(10) >= 96 * 1024


@each_served
def test_credit_comes_with_the_attach_of_the_clients_sender(capture: Capture) -> None:
    replayed = replay(capture)
    frames = [one for one in replayed.server if isinstance(one, Frame)]
    for at, reply in enumerate(frames):
        if reply.performative == amqp.ATTACH and reply.field(2) is True:
            handle = reply.field(1)
            flow = frames[at + 1]
            assert (flow.performative, flow.field(4)) == (amqp.FLOW, handle)
            assert flow.field(6) >= 1


@each_served
def test_a_request_is_settled_accepted_before_its_answer(capture: Capture) -> None:
    replayed = replay(capture)
    order = [
        one.performative
        for one in replayed.server
        if isinstance(one, Frame) and one.performative in (amqp.DISPOSITION, amqp.TRANSFER)
    ]
    requests = len(replayed.of_client(amqp.TRANSFER))
    assert order == [amqp.DISPOSITION, amqp.TRANSFER] * requests
    for frame in replayed.of_server(amqp.DISPOSITION):
        assert (frame.field(0), frame.field(3), frame.field(4).descriptor) == (True, True, amqp.ACCEPTED)


@each_served
def test_an_answer_is_one_data_section_with_the_documented_members(capture: Capture) -> None:
    replayed = replay(capture)
    answers = replayed.of_server(amqp.TRANSFER)
    assert len(answers) == len(replayed.of_client(amqp.TRANSFER))
    for frame in answers:
        assert set(sections(frame)) <= {0x70, amqp.PROPERTIES, amqp.DATA}
        answered = document(frame)
        assert re.fullmatch(r"4\.[0-9a-f]{16}\.[0-9a-f-]{36}", answered["operationId"])
        assert answered["status"] == answered["registrationState"]["status"] == "assigned"
        assert answered["registrationState"]["registrationId"] == capture.row.scenario
        assert "payload" not in answered["registrationState"]
        assert b":null" not in sections(frame)[amqp.DATA]


@each_served
def test_correlation_ids_come_back_in_their_type(capture: Capture) -> None:
    replayed = replay(capture)

    def correlations(frames: list[Frame]) -> list[tuple[type, Any]]:
        properties = [sections(frame).get(amqp.PROPERTIES) or [] for frame in frames]
        return [(type(one[5]), one[5]) if len(one) > 5 else (type(None), None) for one in properties]

    assert correlations(replayed.of_server(amqp.TRANSFER)) == correlations(replayed.of_client(amqp.TRANSFER))


@each_served
def test_a_close_is_answered(capture: Capture) -> None:
    replayed = replay(capture)
    closed = len(replayed.of_client(amqp.CLOSE))
    assert len(replayed.of_server(amqp.CLOSE)) == closed
    assert replayed.closed is bool(closed)


@each_served
@pytest.mark.parametrize("cut", [cut for cut in CUTS if cut is not whole])
def test_cuts_change_nothing(capture: Capture, cut: Cut) -> None:
    pieces, at_once = replay(capture, cut), replay(capture)
    ours = (amqp.ATTACH, amqp.DISPOSITION, amqp.TRANSFER, amqp.DETACH, amqp.END, amqp.CLOSE)
    assert [len(pieces.of_server(one)) for one in ours] == [len(at_once.of_server(one)) for one in ours]


@each_served
def test_whoever_asks_is_answered_and_nobody_else(capture: Capture) -> None:
    asked = len(replay(capture).of_client(amqp.TRANSFER))
    assert bool(asked) is (capture.row.verdict == "assigned")
    assert len(replay(capture).of_server(amqp.TRANSFER)) == asked


@pytest.mark.parametrize("capture", [one for one in CERTIFIED if one.row.sdk != "Java"], ids=lambda one: one.name)
def test_a_certificate_that_nobody_enrolled_is_refused_in_the_request(capture: Capture) -> None:
    replayed = replay(capture, enrolled=False)
    assert not replayed.of_server(amqp.MECHANISMS)
    assert len(replayed.of_server(amqp.OPEN)) == 1
    outcomes = [frame.field(4) for frame in replayed.of_server(amqp.DISPOSITION)]
    assert len(outcomes) == len(replayed.of_client(amqp.TRANSFER))
    for outcome in outcomes:
        error = outcome.value[0]
        assert (outcome.descriptor, error.value[0]) == (amqp.REJECTED, "amqp:unauthorized-access")
        assert json.loads(error.value[1])["errorCode"] == 401002


@pytest.mark.parametrize("capture", [one for one in CERTIFIED if one.row.sdk == "Java"], ids=lambda one: one.name)
def test_quirk_java_sends_its_links_along_with_the_open_and_is_refused_there(capture: Capture) -> None:
    """The form is that of the real service (observed)."""
    replayed = replay(capture, enrolled=False)
    (opened,), (closed,) = replayed.of_server(amqp.OPEN), replayed.of_server(amqp.CLOSE)
    error = opened.field(9)["com.microsoft:open-error"]
    assert error.descriptor == amqp.ERROR
    assert error.value[0] == closed.field(0).value[0] == "amqp:unauthorized-access"
    assert error.value[1] == closed.field(0).value[1]
    assert json.loads(error.value[1])["errorCode"] == 401002


TPMS = [one for one in SERVED if one.row.proof == "tpm"]


@pytest.mark.parametrize("capture", TPMS, ids=lambda one: one.name)
def test_a_tpm_is_challenged_in_the_form_that_all_clients_take(capture: Capture) -> None:
    """Exactly two segments, with exactly these bytes before them: Java knows no others."""
    replayed = replay(capture)
    asked, first, second = [frame.field(0) for frame in replayed.of_server(amqp.CHALLENGE)]
    assert asked == b"\0"
    assert (first[:1], second[:1]) == (b"\x80", b"\xc1")
    assert max(len(first), len(second)) <= 512 - 32  # a SASL frame holds no more, its own head included


@pytest.mark.parametrize("capture", TPMS, ids=lambda one: one.name)
def test_a_tpm_takes_the_key_of_its_hub_in(capture: Capture) -> None:
    replayed = replay(capture)
    for frame in replayed.of_server(amqp.TRANSFER):
        blob = base64.b64decode(document(frame)["registrationState"]["tpm"]["authenticationKey"])
        device = tpm_of(capture)
        assert device is not None
        assert device.activate(blob) == "127.0.0.1"


@pytest.mark.parametrize("capture", TPMS, ids=lambda one: one.name)
def test_a_tpm_that_nobody_enrolled_is_let_in_and_told_so_in_its_request(capture: Capture) -> None:
    replayed = replay(capture, enrolled=False)
    assert [frame.field(0) for frame in replayed.of_server(amqp.OUTCOME)] == [0]
    assert not replayed.of_server(amqp.TRANSFER)
    rejected = [frame.field(4) for frame in replayed.of_server(amqp.DISPOSITION)]
    assert rejected
    for outcome in rejected:
        error = outcome.value[0]
        assert (outcome.descriptor, error.value[0]) == (amqp.REJECTED, "amqp:not-found")
        assert json.loads(error.value[1])["errorCode"] == 404201


@pytest.mark.parametrize("capture", TPMS, ids=lambda one: one.name)
def test_a_tpms_own_words_lead_the_machine_to_its_token(capture: Capture) -> None:
    machine = SaslServer({"TPM": tpm})
    blob = bytes(range(256)) * 3 + bytes(19)
    stream = capture.stream
    challenges: list[bytes] = []
    for at in range(len(stream)):
        machine.receive(stream[at : at + 1])
        if machine.state is State.BLOB:
            assert machine.wanted is not None
            assert machine.wanted.name == capture.row.scenario
            assert len(machine.wanted.endorsement_key) == 316
            machine.provide(blob)
        challenges += [one.field(0) for one in _frames(list(amqp.split(machine.take_output())), amqp.CHALLENGE)]
        if machine.state is State.PRESENTED:
            break
    presented = machine.presented
    assert isinstance(presented, TpmToken)
    assert presented.token.startswith("SharedAccessSignature sr=")
    assert "SharedAccessSignature" not in repr(presented)
    machine.conclude(Outcome.OK)
    assert challenges == [b"\0", b"\x80" + blob[:394], b"\xc1" + blob[394:]]
