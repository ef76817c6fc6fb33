"""One connection of the AMQP front end: who is let in, which links, which requests, which limits. It must not know how
the server reaches an answer."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import amqp_frames as amqp
import pytest
from amqp_device import Device, enroll, link
from amqp_frames import Described, Frame, Symbol, Ulong
from captured import KEY, clock_for
from captured import enroll as enroll_with

from idscope.errors import ServiceUnavailable
from idscope.frontends.amqp.limits import AmqpLimits
from idscope.registration import WorkflowSettings
from idscope.testing.application import ID_SCOPE, Application
from idscope.testing.certificates import CertificateMaker
from idscope.testing.memory_store import MemoryStore

ADDRESS = f"{ID_SCOPE}/registrations/a-device"
Play = Callable[[Device], Awaitable[None]]


def play(
    scene: Play, *, settings: WorkflowSettings | None = None, store: MemoryStore | None = None, **options: Any
) -> Device:
    """The scene, on a connection of its own."""

    async def run() -> Device:
        async with Application(settings=settings, store=store) as app:
            with Device(app, **options) as device:
                await scene(device)
            return device

    return asyncio.run(run())


def error_of(condition: Described) -> tuple[str, dict[str, Any], Any]:
    """Condition, JSON of the description, info."""
    assert condition.descriptor == amqp.ERROR
    name, description, *info = condition.value
    return name, json.loads(description), info[0] if info else None


async def rejection(device: Device, count: int = 1) -> tuple[str, dict[str, Any], Any]:
    outcome = (await device.frame(amqp.DISPOSITION, count)).field(4)
    assert outcome.descriptor == amqp.REJECTED
    return error_of(outcome.value[0])


def sections(frame: Frame) -> dict[int, Any]:
    return {one.descriptor: one.value for one in amqp.decode_all(frame.payload)}


# Being let in


@pytest.mark.parametrize(
    ("registration_id", "key", "scope"),
    [
        pytest.param("a-device", "bm90IHRoZSBrZXk=", ID_SCOPE, id="wrong key"),
        pytest.param("nobody", KEY, ID_SCOPE, id="unknown id"),
        pytest.param("-bad-", KEY, ID_SCOPE, id="bad id"),
        pytest.param("a-device", KEY, "0neFFFFFFFF", id="unknown scope"),
    ],
)
def test_a_refused_token_is_outcome_1(registration_id: str, key: str, scope: str) -> None:
    async def scene(device: Device) -> None:
        await enroll(device.app, "a-device")
        assert await device.log_in(registration_id, key=key, scope=scope) == 1
        assert not device.wire.closed, "a client that is cut off at once does not tell its user why"
        device.protocol.on_deadline()
        assert device.wire.closed

    play(scene)


def test_an_identity_of_another_form_is_outcome_1() -> None:
    async def scene(device: Device) -> None:
        assert await device.present(b"\0somebody\0something") == 1

    play(scene)


def test_a_store_that_is_down_is_a_temporary_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(device: Device) -> None:
        async def refuse(_claim: object) -> None:
            raise ServiceUnavailable

        monkeypatch.setattr(device.app.workflow, "authenticate", refuse)
        assert await device.log_in("a-device") == 4

    play(scene)


@pytest.mark.parametrize("header", [b"GET / HT", b"AMQP\x02\x01\x00\x00", b"AMQP\x00\x00\x09\x01"])
def test_another_protocol_is_told_which_header_is_wanted(header: bytes) -> None:
    async def scene(device: Device) -> None:
        device.feed(header)
        assert device.sent == [amqp.SASL]
        device.protocol.on_deadline()
        assert device.wire.closed

    play(scene)


def test_without_sasl_and_without_certificate_the_open_refuses() -> None:
    """The form is that of the real service (observed)."""

    async def scene(device: Device) -> None:
        device.open()
        opened, closed = await device.frame(amqp.OPEN), await device.frame(amqp.CLOSE)
        condition, details, _ = error_of(opened.field(9)["com.microsoft:open-error"])
        assert (condition, details["errorCode"]) == ("amqp:unauthorized-access", 401002)
        assert details["message"] == "IotHubUnauthorizedAccess"
        assert error_of(closed.field(0))[:2] == (condition, details)

    play(scene)


def test_a_certificate_is_asked_about_once_for_the_address_of_the_link() -> None:
    chain = CertificateMaker.self_signed("a-device").der_chain()

    async def scene(device: Device) -> None:
        device.open()
        assert device.frames(amqp.OPEN)
        device.attach(f"/{ADDRESS}")
        await device.frame(amqp.ATTACH, 2)
        device.ask(0, type="iotdps-register")
        device.ask(1, type="iotdps-register")
        first, second = await rejection(device, 1), await rejection(device, 2)
        assert first[0] == "amqp:unauthorized-access"
        assert first == second

    play(scene, chain=chain)


# Links


@pytest.mark.parametrize("address", [ADDRESS, f"/{ADDRESS}", f"amqps://any.host:5671/{ADDRESS}", ADDRESS.upper()])
def test_the_spellings_of_an_address(address: str) -> None:
    async def scene(device: Device) -> None:
        await enroll(device.app, "a-device")
        await device.log_in("a-device")
        device.open()
        device.attach(address.replace("REGISTRATIONS", "registrations"))
        device.ask(type="iotdps-register")
        assert (await device.frame(amqp.TRANSFER)).payload

    play(scene)


@pytest.mark.parametrize(
    ("address", "version", "condition", "code"),
    [
        (f"{ID_SCOPE}/registrations/other", "2019-03-31", "amqp:unauthorized-access", 401002),
        ("0neOTHER/registrations/a-device", "2019-03-31", "amqp:unauthorized-access", 401002),
        ("$cbs", "2019-03-31", "amqp:not-found", 404000),
        (ADDRESS, None, "com.microsoft:argument-error", 400004),
        (ADDRESS, "someday", "com.microsoft:argument-error", 400004),
    ],
)
def test_a_refused_link_is_attached_without_ends_and_detached(
    address: str, version: str | None, condition: str, code: int
) -> None:
    async def scene(device: Device) -> None:
        await enroll(device.app, "a-device")
        await device.log_in("a-device")
        device.open()
        device.feed(link(0, address, receiver=True, version=version))
        attached, detached = await device.frame(amqp.ATTACH), await device.frame(amqp.DETACH)
        assert (attached.field(5), attached.field(6)) == (None, None)
        assert detached.field(1) is True
        named, details, _ = error_of(detached.field(2))
        assert (named, details["errorCode"]) == (condition, code)

    play(scene)


def test_unlisted_versions_are_refused_when_the_operator_wants_it() -> None:
    async def scene(device: Device) -> None:
        await enroll(device.app, "a-device")
        await device.log_in("a-device")
        device.open()
        device.attach(ADDRESS, "2020-02-02")
        assert error_of((await device.frame(amqp.DETACH)).field(2))[1]["errorCode"] == 400004

    play(scene, strict=True)


# Requests

REGISTER_BODIES = {
    "data": {amqp.DATA: b'{"registrationId":"a-device","payload":{"a":1}}'},
    "data without id": {amqp.DATA: b'{"payload":"{}"}'},
    "empty data": {amqp.DATA: b""},
    "no body": {},
    "empty string": {amqp.VALUE: ""},
    "string": {amqp.VALUE: '{"registrationId":"A-DEVICE"}'},
    "null": {amqp.VALUE: None},
}


@pytest.mark.parametrize("body", REGISTER_BODIES.values(), ids=REGISTER_BODIES)
def test_every_clients_body_registers(body: dict[int, Any]) -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.ask(type="iotdps-register", body=body)
        answered = sections(await device.frame(amqp.TRANSFER))
        assert json.loads(answered[amqp.DATA])["status"] == "assigned"
        assert amqp.APPLICATION_PROPERTIES not in answered

    play(scene)


@pytest.mark.parametrize("body", [{}, {amqp.VALUE: ""}, {amqp.VALUE: "iotdps-get-operationstatus"}, {amqp.DATA: b"{"}])
def test_a_poll_reads_no_body(body: dict[int, Any]) -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.ask(0, type="iotdps-register")
        operation_id = json.loads(sections(await device.frame(amqp.TRANSFER))[amqp.DATA])["operationId"]
        device.ask(1, type="iotdps-get-operationstatus", id=operation_id, body=body)
        answered = json.loads(sections(await device.frame(amqp.TRANSFER, 2))[amqp.DATA])
        assert (answered["operationId"], answered["status"]) == (operation_id, "assigned")

    play(scene)


def test_assigning_carries_both_spellings_of_the_hint_as_ints() -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.ask(type="iotdps-register")
        answered = sections(await device.frame(amqp.TRANSFER))
        document = json.loads(answered[amqp.DATA])
        assert (document["status"], "registrationState" in document) == ("assigning", False)
        hints = answered[amqp.APPLICATION_PROPERTIES]
        assert hints == {"retry-after": 2, "Retry-After": 2}
        assert {type(value) for value in hints.values()} == {amqp.Int}

    play(scene, settings=WorkflowSettings(azure_timing=True))


@pytest.mark.parametrize(
    "correlation", ["text", b"binary", uuid.UUID(int=7), Ulong(2**40), None], ids=lambda value: type(value).__name__
)
def test_the_correlation_id_comes_back_in_its_type(correlation: Any) -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.ask(type="iotdps-register", correlation=correlation)
        properties = sections(await device.frame(amqp.TRANSFER)).get(amqp.PROPERTIES) or []
        returned = properties[5] if len(properties) > 5 else None
        assert (type(returned), returned) == (type(correlation), correlation)

    play(scene)


def test_a_registration_can_be_looked_up() -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.ask(type="iotdps-get-registration")
        document = json.loads(sections(await device.frame(amqp.TRANSFER))[amqp.DATA])
        assert document == {"registrationId": "a-device", "status": "unassigned"}

    play(scene)


REFUSED_REQUESTS: dict[str, tuple[dict[str, Any], str, int]] = {
    "malformed JSON": ({"type": "iotdps-register", "body": {amqp.DATA: b"{"}}, "com.microsoft:argument-error", 400006),
    "another id": (
        {"type": "iotdps-register", "body": {amqp.DATA: b'{"registrationId":"other"}'}},
        "com.microsoft:argument-error",
        400004,
    ),
    "a list for a body": (
        {"type": "iotdps-register", "body": {amqp.VALUE: [1]}},
        "com.microsoft:argument-error",
        400004,
    ),
    "no operation": ({}, "com.microsoft:argument-error", 400004),
    "an unknown operation": ({"type": "iotdps-dance"}, "com.microsoft:argument-error", 400004),
    "a poll without id": ({"type": "iotdps-get-operationstatus"}, "com.microsoft:argument-error", 400004),
    "a foreign poll": ({"type": "iotdps-get-operationstatus", "id": "4.0.0"}, "amqp:not-found", 404202),
    "a body too large": (
        {"type": "iotdps-register", "body": {amqp.DATA: bytes(98_305)}},
        "amqp:link:message-size-exceeded",
        413000,
    ),
}


@pytest.mark.parametrize(("words", "condition", "code"), REFUSED_REQUESTS.values(), ids=REFUSED_REQUESTS)
def test_a_refused_request_is_rejected_with_the_json(words: dict[str, Any], condition: str, code: int) -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        options = dict(words)
        device.ask(0, body=options.pop("body", None), **options)
        named, details, info = await rejection(device)
        assert (named, details["errorCode"], info) == (condition, code, None)
        assert set(details) == {"errorCode", "trackingId", "message", "timestampUtc"}
        device.ask(1, type="iotdps-register")
        await device.frame(amqp.TRANSFER)

    play(scene)


def test_what_is_worth_another_try_says_when(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(device: Device) -> None:
        await device.ready()

        async def refuse(*_: object) -> None:
            raise ServiceUnavailable

        monkeypatch.setattr(device.app.workflow, "register", refuse)
        device.ask(type="iotdps-register")
        named, details, info = await rejection(device)
        assert (named, details["errorCode"], info) == (
            "amqp:internal-error",
            503000,
            {"retry-after": 2, "Retry-After": 2},
        )
        assert {type(name) for name in info} == {Symbol}

    play(scene)


def test_an_unforeseen_failure_is_told_without_its_text(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(device: Device) -> None:
        await device.ready()

        async def fail(*_: object) -> None:
            raise RuntimeError("the secret of the server")

        monkeypatch.setattr(device.app.workflow, "register", fail)
        device.ask(type="iotdps-register")
        _, details, _ = await rejection(device)
        assert details["errorCode"] == 500000
        assert details["trackingId"] in caplog.text

    device = play(scene)
    assert b"secret" not in device.wire.written


def test_bytes_that_are_no_message_are_rejected() -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.send(b"\x00\x53\x73\xff\xff")
        assert (await rejection(device))[1]["errorCode"] == 400004

    play(scene)


def test_everything_at_once_after_the_login() -> None:
    """quirk: one client sends header, OPEN, BEGIN and both links in one record."""

    async def scene(device: Device) -> None:
        await enroll(device.app, "a-device")
        await device.log_in("a-device")
        head = amqp.AMQP + amqp.frame(amqp.OPEN, "", "host:5671") + amqp.frame(amqp.BEGIN, None, 0, 100, 100)
        device.feed(head + link(0, ADDRESS, receiver=True) + link(1, ADDRESS, receiver=False))
        assert len(device.frames(amqp.ATTACH)) == 2
        assert device.frames(amqp.FLOW)[-1].field(6) == 10

    play(scene)


@pytest.mark.parametrize("ended", [False, True])
def test_everything_at_once_with_a_certificate(ended: bool) -> None:
    """quirk: the same client without a login. Who is refused is told in the OPEN, so its BEGIN is answered later."""
    certificate = CertificateMaker.self_signed("a-device")
    head = amqp.AMQP + amqp.frame(amqp.OPEN, "", "host:5671") + amqp.frame(amqp.BEGIN, None, 0, 100, 100)
    links = link(0, ADDRESS, receiver=True) + link(1, ADDRESS, receiver=False)

    async def run() -> list[int | None]:
        async with Application(clock=clock_for(certificate)) as app:
            await enroll_with(app, "a-device", certificate)
            with Device(app, chain=certificate.der_chain()) as device:
                device.feed(head + links + (amqp.frame(amqp.END) if ended else b""))
                await device.frame(amqp.END if ended else amqp.FLOW)
                return [one.performative for one in device.sent if isinstance(one, Frame)]

    told = [one for one in asyncio.run(run()) if one != amqp.FLOW]
    assert told == [amqp.OPEN, amqp.BEGIN, *([amqp.END] if ended else [amqp.ATTACH, amqp.ATTACH])]


# Limits and ends


def test_a_message_larger_than_told_ends_the_link() -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        for _ in range(4):
            device.feed(amqp.frame(amqp.TRANSFER, 1, 0, b"0", 0, False, True, payload=bytes(40_000)))
        assert (await device.frame(amqp.DETACH)).field(2).value[0] == "amqp:link:message-size-exceeded"

    play(scene)


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"".join(amqp.frame(amqp.BEGIN, None, 0, 9, 9, channel=n) for n in range(2, 40)), id="sessions"),
        pytest.param(b"".join(link(n, ADDRESS, receiver=True) for n in range(2, 60)), id="links"),
        pytest.param(
            b"".join(amqp.frame(amqp.TRANSFER, 1, n, b"%d" % n, 0, False, False, payload=b"") for n in range(60)),
            id="messages",
        ),
        pytest.param(b"\x00\x00\x00\x08\x02\x00\x00\x00\xff\xff\xff\xff" + bytes(40), id="a frame too large"),
        pytest.param(b"\x00\x00\x00\x04\x02\x00\x00\x00" * 3, id="a frame too small"),
    ],
)
def test_more_than_a_device_needs_closes_the_connection(flood: bytes) -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.feed(flood)
        assert (await device.frame(amqp.CLOSE)).field(0).value[0].startswith("amqp:")
        device.protocol.on_deadline()
        assert device.wire.closed

    play(scene)


@pytest.mark.parametrize("stage", ["nothing", "half a header", "sasl", "logged in", "open with a certificate"])
def test_who_is_not_open_in_time_is_closed(stage: str) -> None:
    async def scene(device: Device) -> None:
        await enroll(device.app, "a-device")
        if stage == "half a header":
            device.feed(b"AMQP")
        if stage == "sasl":
            device.feed(amqp.SASL)
        if stage == "logged in":
            await device.log_in("a-device")
        if stage == "open with a certificate":
            device.open()
        assert device.protocol.deadline <= asyncio.get_running_loop().time() + 0.5
        device.protocol.on_deadline()
        assert device.wire.closed

    play(scene, limits=AmqpLimits(open_seconds=0.5), chain=(b"a certificate",) if "certificate" in stage else ())


def test_a_client_that_does_not_read_is_fed_no_more_and_then_cut() -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.protocol.pause_writing()
        assert device.wire.reading_paused
        before = len(device.wire.written)
        device.ask(type="iotdps-get-registration")
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(device.wire.written) == before
        device.protocol.resume_writing()
        await device.frame(amqp.TRANSFER)
        device.protocol.pause_writing()
        device.protocol.on_deadline()
        assert device.wire.aborted

    play(scene)


def test_an_idle_client_is_closed_and_a_beating_one_is_not() -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        session = device.protocol._session
        assert session is not None
        engine = session.engine
        now = asyncio.get_running_loop().time()
        assert engine.tick(now) > now
        device.feed(b"\0\0\0\x08\x02\0\0\0")
        engine.tick(now + 400)
        assert not engine.ended
        engine.tick(now + 1000)
        device.protocol.on_deadline()
        assert (await device.frame(amqp.CLOSE)).field(0).value[0] == "amqp:resource-limit-exceeded"

    play(scene)


def test_a_shutdown_answers_first() -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.ask(type="iotdps-register")
        device.protocol.shutdown()
        assert not device.frames(amqp.CLOSE)
        await device.frame(amqp.CLOSE)
        assert device.frames(amqp.TRANSFER)
        assert device.frames(amqp.CLOSE)[0].field(0).value[0] == "amqp:connection:forced"

    play(scene)


def test_a_client_that_just_goes_leaves_nothing_behind() -> None:
    """quirk: one client drops TCP when it has its answer, another one before."""

    async def scene(device: Device) -> None:
        await device.ready()
        device.ask(type="iotdps-register")
        device.protocol.connection_lost(None)
        await device.until(lambda: device.app.workflow._running == {})
        for _ in range(20):
            await asyncio.sleep(0)
        assert device.protocol._session is None

    device = play(scene)
    assert not device.frames(amqp.TRANSFER)


def test_a_closed_connection_is_closed_at_once() -> None:
    async def scene(device: Device) -> None:
        await device.ready()
        device.feed(amqp.frame(amqp.CLOSE))
        await device.frame(amqp.CLOSE)
        assert device.wire.closed

    play(scene)
