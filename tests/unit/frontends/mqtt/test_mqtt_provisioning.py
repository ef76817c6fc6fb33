"""The provisioning service over MQTT: the rules of device-protocols.md, sections 0 and B, one assertion each, and what
a refused device sees."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mqtt_device import (
    ANSWERS,
    DISCONNECT,
    REGISTER,
    Device,
    Said,
    connect,
    front_end,
    packet,
    publish,
    subscribe,
    text,
    user_name,
)
from tpm_samples import ENDORSEMENT_KEY, STORAGE_ROOT_KEY

from idscope.frontends.mqtt.addresses import DeviceCall, Verb, answer_topic, parse_call
from idscope.frontends.mqtt.provisioning import ProvisioningOptions
from idscope.frontends.mqtt.user_name import HubName, ProvisioningName, parse_user_name
from idscope.registration import WorkflowSettings
from idscope.storage import AttemptRow, RegistrationRow
from idscope.testing import FakeHubConnector, FaultyHubConnector
from idscope.testing.application import ID_SCOPE, Application
from idscope.testing.software_tpm import SoftwareTpm

POLL = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid={}&operationId={}"
OTHER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Case:
    """An application with the enrollment `device`, and a device at its front end."""

    def __init__(self, app: Application, key: str, device: Device, hub: FaultyHubConnector | None) -> None:
        self.app, self.key, self.device = app, key, device
        self.token = app.device_token("device", key)
        self._hub = hub

    @property
    def hub(self) -> FaultyHubConnector:
        assert self._hub is not None
        return self._hub

    async def stand(self) -> Device:
        await self.device.stand("device", self.token)
        return self.device

    async def attempts(self) -> list[dict[str, Any]]:
        await self.app.attempts.close()
        return [json.loads(row.document) for row in await self.app.store.page(AttemptRow, (ID_SCOPE,), None, 9)]


def served(
    *,
    azure_timing: bool = False,
    strict: bool = False,
    options: ProvisioningOptions | None = None,
    chain: tuple[bytes, ...] = (),
    websocket: bool = False,
    hub: FaultyHubConnector | None = None,
) -> Callable[[Callable[[Case], Awaitable[None]]], Callable[[], None]]:
    """Runs the test on a fresh application."""

    def decorate(test: Callable[[Case], Awaitable[None]]) -> Callable[[], None]:
        async def run() -> None:
            settings = WorkflowSettings(azure_timing=azure_timing)
            given = options or ProvisioningOptions(strict_api_versions=strict)
            async with Application(settings=settings, connector=hub) as app, asyncio.timeout(20):
                enrollment = await app.enroll("device")
                key = enrollment["attestation"]["symmetricKey"]["primaryKey"]
                with Device(front_end(app, options=given), chain, websocket=websocket) as device:
                    await test(Case(app, key, device, hub))

        def sync() -> None:
            asyncio.run(run())

        sync.__name__ = test.__name__
        sync.__doc__ = test.__doc__
        return sync

    return decorate


def without_nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(without_nulls, value.values()))
    if isinstance(value, list):
        return all(map(without_nulls, value))
    return value is not None


# What an enrolled device sees


@served()
async def test_assigned_in_the_first_answer_with_topic_status_200(case: Case) -> None:
    device = await case.stand()
    answer = await device.ask(REGISTER, b'{"registrationId":"device"}')
    assert answer.topic == "$dps/registrations/res/200/?$rid=r1"
    document = answer.json()
    state = document["registrationState"]
    assert document["status"] == state["status"] == "assigned"
    assert document["operationId"]
    assert (state["registrationId"], state["deviceId"]) == ("device", "device")
    assert re.fullmatch(r"[^:/]+\.[^:/]+", state["assignedHub"]), "a bare host name with a dot"
    assert without_nulls(document)
    assert device.silent, "nothing is pushed"


@served(azure_timing=True)
async def test_assigning_is_202_with_retry_after_and_no_state_then_the_poll_has_one(case: Case) -> None:
    device = await case.stand()
    answer = await device.ask()
    assert answer.topic == "$dps/registrations/res/202/?$rid=r1&retry-after=2"
    assert sorted(answer.json()) == ["operationId", "status"]
    assert answer.json()["status"] == "assigning"
    operation = answer.json()["operationId"]
    assert re.fullmatch(r"[A-Za-z0-9.-]+", operation), "clients put it into the topic as it is"
    for number in range(10_000):
        answer = await device.ask(POLL.format(number, operation), b" ")
        state = answer.json()["registrationState"]
        assert (state["registrationId"], state["status"]) == ("device", answer.json()["status"])
        if answer.json()["status"] != "assigning":
            break
        assert answer.topic == f"$dps/registrations/res/202/?$rid={number}&retry-after=2"
    assert answer.topic == f"$dps/registrations/res/200/?$rid={number}"
    assert answer.json()["status"] == "assigned"


@served()
async def test_session_present_is_0_and_subscribe_is_granted_qos_1(case: Case) -> None:
    device = case.device
    device.send(packet(0x10, b"\0\4MQTT\4\xc0\0\x3c" + text("device") + text(user_name("device")) + text(case.token)))
    assert await device.said() == Said(0x20, b"\0\0"), "CleanSession 0 is accepted"
    device.send(subscribe(ANSWERS, 2))
    assert await device.said() == Said(0x90, b"\0\1\1")
    device.send(subscribe("$iothub/twin/res/#"), subscribe("#"))
    assert (await device.said()).body == (await device.said()).body == b"\0\1\x80"


@served()
async def test_the_puback_comes_before_the_answer_even_if_all_is_sent_at_once(case: Case) -> None:
    """quirk: C#'s state machine takes the packets in no other order."""
    case.device.send(
        connect("device", user_name("device"), case.token), subscribe(ANSWERS), publish(REGISTER), DISCONNECT
    )
    kinds = [(await case.device.said()).first for _ in range(4)]
    assert kinds == [0x20, 0x90, 0x40, 0x32]
    await case.device.ended()


@served()
async def test_the_empty_body_of_csharp_and_the_null_payload_of_python_register(case: Case) -> None:
    device = await case.stand()
    for body in (b"", b" ", b'{"payload": null, "registrationId": "device"}', b'{"payload":{"a":1}}', b"{}"):
        assert (await device.ask(REGISTER, body)).json()["status"] == "assigned"


@served()
async def test_the_payload_of_java_is_kept_and_never_echoed(case: Case) -> None:
    device = await case.stand()
    answer = await device.ask(REGISTER, b'{"registrationId":"DEVICE","payload":"{\\"a\\":1}"}')
    assert answer.json()["status"] == "assigned"
    assert "payload" not in answer.json()["registrationState"]


@served()
async def test_a_poll_may_say_anything_and_is_answered_200(case: Case) -> None:
    device = await case.stand()
    operation = (await device.ask()).json()["operationId"]
    for body in (b"", b" ", b'{"registrationId":"device"}', b"\xff"):
        answer = await device.ask(POLL.format("p", operation), body)
        assert answer.topic == "$dps/registrations/res/200/?$rid=p"
        assert answer.json()["status"] == "assigned"


@served()
async def test_the_same_request_id_may_come_again(case: Case) -> None:
    device = await case.stand()
    answers = [await device.ask("$dps/registrations/PUT/iotdps-register/?$rid=1") for _ in range(3)]
    assert {answer.topic for answer in answers} == {"$dps/registrations/res/200/?$rid=1"}
    assert [answer.number for answer in answers] == [1, 2, 3]


@served()
async def test_publishes_are_answered_in_their_order(case: Case) -> None:
    device = await case.stand()
    device.send(*(publish(REGISTER.replace("r1", f"r{number}"), number=number) for number in range(1, 6)))
    for number in range(1, 6):
        assert (await device.said()).number == number
        assert (await device.said()).topic.endswith(f"?$rid=r{number}")


@served()
async def test_unsubscribe_is_answered_and_a_disconnect_closes(case: Case) -> None:
    """quirk: Node calls back only after the UNSUBACK."""
    device = await case.stand()
    await device.ask()
    device.send(packet(0xA2, b"\0\7" + text(ANSWERS)), DISCONNECT)
    assert await device.said() == Said(0xB0, b"\0\7")
    await device.ended()
    assert device.silent


@served(websocket=True)
async def test_inside_a_websocket_the_attempt_says_so(case: Case) -> None:
    device = await case.stand()
    await device.ask()
    attempts = await case.attempts()
    assert {attempt["wire"] for attempt in attempts} == {"MqttWs"}


@served()
async def test_each_request_of_a_connection_is_an_attempt_of_its_own(case: Case) -> None:
    device = await case.stand()
    await device.ask()
    await device.ask()
    attempts = await case.attempts()
    assert [(one["wire"], one["verb"], one["verdict"], one["peer"]) for one in attempts] == [
        ("Mqtt", "register", "assigned", "127.0.0.9")
    ] * 2
    assert len({attempt["attempt_id"] for attempt in attempts}) == 2


@served()
async def test_a_disabled_device_is_told_so_with_topic_status_200(case: Case) -> None:
    device = await case.stand()
    stored = (await case.app.service("GET", "/enrollments/device")).json()
    stored["provisioningStatus"] = "disabled"
    answer = await case.app.service("PUT", "/enrollments/device", stored, if_match="*")
    assert answer.status == 200
    told = await device.ask()
    assert told.topic == "$dps/registrations/res/200/?$rid=r1"
    document = told.json()
    assert document["status"] == document["registrationState"]["status"] == "disabled"
    assert document["operationId"]


@served()
async def test_an_enrollment_that_is_gone_is_401_on_an_open_connection(case: Case) -> None:
    device = await case.stand()
    assert (await case.app.service("DELETE", "/enrollments/device")).status == 204
    assert_error(await device.ask(), 401, 401002)


def assert_error(answer: Said, status: int, code: int, *, retry_after: int | None = None) -> dict[str, Any]:
    """The catalogue's JSON object, on the topic of its status."""
    wanted = f"$dps/registrations/res/{status}/?$rid=r1"
    assert answer.topic == (wanted if retry_after is None else f"{wanted}&retry-after={retry_after}")
    document: dict[str, Any] = answer.json()
    assert sorted(document) == ["errorCode", "message", "timestampUtc", "trackingId"]
    assert document["errorCode"] == code
    assert str(uuid.UUID(document["trackingId"])) == document["trackingId"]
    assert document["message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", document["timestampUtc"])
    return document


# What a refused device sees


@served()
async def test_a_bad_token_is_accepted_and_told_401_on_the_answers_topic(case: Case) -> None:
    device = case.device
    await device.stand("device", case.app.device_token("device", OTHER_KEY))
    first = assert_error(await device.ask(), 401, 401002)
    again = assert_error(await device.ask(), 401, 401002)
    assert first["message"] == "Unauthorized"
    assert first["trackingId"] == again["trackingId"]
    attempts = await case.attempts()
    assert [attempt["attempt_id"] for attempt in attempts] == [first["trackingId"]]
    assert not await case.app.store.page(RegistrationRow, (ID_SCOPE,), None, 9)


@pytest.mark.parametrize(
    ("registration_id", "token", "status", "code"),
    [
        ("unknown", "good", 401, 401002),
        ("device", None, 401, 401002),
        ("device", "", 401, 401002),
        ("device", "nonsense", 401, 401002),
        ("-bad-", "good", 400, 400004),
    ],
)
def test_every_other_refusal_is_told_on_the_answers_topic(
    registration_id: str, token: str | None, status: int, code: int
) -> None:
    @served()
    async def run(case: Case) -> None:
        given = case.app.device_token(registration_id, case.key) if token == "good" else token
        await case.device.stand(registration_id, given)
        assert_error(await case.device.ask(), status, code)

    run()


@served(chain=(b"not even a certificate",))
async def test_a_certificate_that_admits_nobody_is_told_on_the_answers_topic(case: Case) -> None:
    await case.device.stand("unknown", None)
    assert assert_error(await case.device.ask(), 401, 401002)["message"] == "Invalid certificate."


@served()
async def test_a_tpm_cannot_prove_itself_over_mqtt(case: Case) -> None:
    tpm = {"endorsementKey": ENDORSEMENT_KEY, "storageRootKey": STORAGE_ROOT_KEY}
    await case.app.enroll("chip", attestation={"type": "tpm", "tpm": tpm})
    await case.device.stand("chip", None)
    assert_error(await case.device.ask(REGISTER, json.dumps({"tpm": tpm}).encode()), 401, 401002)


@served()
async def test_a_token_that_a_tpm_signed_for_https_is_no_proof_over_mqtt(case: Case) -> None:
    tpm = SoftwareTpm()
    await case.app.enroll("chip", attestation={"type": "tpm", "tpm": {"endorsementKey": tpm.endorsement_key}})
    path = f"/{ID_SCOPE}/registrations/chip/register?api-version=2019-03-31"
    challenged = await case.app.request("PUT", path, {"tpm": tpm.document})
    tpm.activate(base64.b64decode(challenged.json()["authenticationKey"]))
    token = tpm.token(f"{ID_SCOPE}/registrations/chip", case.app.expiry)
    await case.device.stand("chip", token)
    assert_error(await case.device.ask(), 401, 401002)
    assert (await case.app.request("PUT", path, {}, authorization=token)).status == 202


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (("device", user_name("device", id_scope="0ne00FFFFFF")), 3),  # observed
        (("mqttpkj", user_name("device")), 5),  # observed
        (("device", "device"), 4),
        (("device", ""), 4),
        (("device", None), 4),
        (("device", f"{ID_SCOPE}/registrations/device"), 4),
        (("device", f"{ID_SCOPE}/registrations/device/ClientVersion=1"), 4),
        (("device", user_name("device", version="yesterday")), 4),
        (("device", user_name("device", version="2019-02-31")), 4),
        (("device", "127.0.0.1/device/?api-version=2021-04-12"), 3),  # no hub serves MQTT here
    ],
)
def test_what_is_refused_at_connect(sent: tuple[str, str | None], code: int) -> None:
    @served()
    async def run(case: Case) -> None:
        client_id, name = sent
        case.device.send(connect(client_id, name, None if name is None else case.token), subscribe(ANSWERS))
        assert await case.device.said() == Said(0x20, bytes((0, code)))
        await case.device.ended()
        assert case.device.wire.finished, "not cut off before it is read"
        assert case.device.silent

    run()


@pytest.mark.parametrize("level", [3, 5, 132])
def test_another_protocol_level_is_connack_1(level: int) -> None:
    @served()
    async def run(case: Case) -> None:
        case.device.send(connect("device", user_name("device"), case.token, level=level))
        assert await case.device.said() == Said(0x20, b"\0\1")
        await case.device.ended()

    run()


@served(options=ProvisioningOptions(connack_bad_credentials=True))
async def test_a_setting_refuses_bad_credentials_at_connect(case: Case) -> None:
    told = await case.device.connect("device", case.app.device_token("device", OTHER_KEY))
    assert told == Said(0x20, b"\0\5")
    await case.device.ended()


@served(strict=True)
async def test_a_setting_refuses_unpublished_api_versions(case: Case) -> None:
    case.device.send(connect("device", user_name("device", version="2020-01-01"), case.token))
    assert await case.device.said() == Said(0x20, b"\0\4")


@served(options=ProvisioningOptions(refused_publishes=2, refused_packet_bytes=300, refused_sessions=1))
async def test_a_refused_session_is_small(case: Case) -> None:
    token = case.app.device_token("device", OTHER_KEY)
    await case.device.stand("device", token)
    await case.device.ask()
    await case.device.ask()
    await case.device.ended()


def test_a_refused_session_is_short_and_there_are_only_so_many() -> None:
    async def run() -> None:
        async with Application() as app, asyncio.timeout(20):
            await app.enroll("device")
            token = app.device_token("device", OTHER_KEY)
            options = ProvisioningOptions(refused_sessions=1, refused_seconds=0.2, refused_packet_bytes=300)
            front = front_end(app, options=options)
            with Device(front) as device:
                await device.stand("device", token)
                with Device(front) as other:
                    assert (await other.connect("device", token)).body == b"\0\5"
                await device.ended()
            with Device(front) as device:
                await device.stand("device", token)
                device.send(publish(REGISTER, bytes(400)))
                await device.ended()
                assert device.silent

    asyncio.run(run())


# What a request may not be


@pytest.mark.parametrize(
    ("topic", "body", "status", "code"),
    [
        (REGISTER, b"{", 400, 400006),
        (REGISTER, b"\xff", 400, 400006),
        (REGISTER, b"[]", 400, 400004),
        (REGISTER, b'{"registrationId":"other"}', 400, 400004),
        (REGISTER, b'{"payload":"' + b"x" * 98_304 + b'"}', 413, 413000),
        ("$dps/registrations/POST/iotdps-register/?$rid=r1", b"", 404, 404000),
        ("$dps/registrations/?$rid=r1", b"", 404, 404000),
        ("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=r1", b"", 400, 400004),
        (POLL.format("r1", "4.0123456789abcdef.00000000-0000-4000-8000-000000000000"), b"", 404, 404202),
        (POLL.format("r1", "x" * 5000), b"", 404, 404202),
    ],
    ids=str,
)
def test_a_wrong_request_is_told_so(topic: str, body: bytes, status: int, code: int) -> None:
    @served()
    async def run(case: Case) -> None:
        device = await case.stand()
        assert_error(await device.ask(topic, body), status, code)
        assert (await device.ask()).json()["status"] == "assigned", "and the connection goes on"

    run()


@pytest.mark.parametrize(
    "topic", ["devices/device/messages/events/", "$dps/registrations/PUT/iotdps-register/?$rid=" + "r" * 257]
)
def test_a_publish_that_cannot_be_answered_ends_the_connection(topic: str) -> None:
    @served()
    async def run(case: Case) -> None:
        device = await case.stand()
        device.send(publish(topic))
        assert (await device.said()).first == 0x40
        await device.ended()
        assert device.silent

    run()


@served()
async def test_without_subscription_the_device_registers_and_hears_nothing(case: Case) -> None:
    assert (await case.device.connect("device", case.token)).body == b"\0\0"
    case.device.send(publish(REGISTER), b"\xc0\x00")
    assert (await case.device.said()).first == 0x40
    assert (await case.device.said()).first == 0xD0
    assert len(await case.app.store.page(RegistrationRow, (ID_SCOPE,), None, 9)) == 1


@served(azure_timing=True, hub=FaultyHubConnector(FakeHubConnector()))
async def test_a_second_register_meanwhile_is_409203_without_retry_after(case: Case) -> None:
    device = await case.stand()
    held = case.hub.hold_next()
    assert (await device.ask()).json()["status"] == "assigning"
    assert_error(await device.ask(), 409, 409203)
    held.release()


@served(hub=FaultyHubConnector(FakeHubConnector()))
async def test_a_connection_that_is_lost_cancels_nothing(case: Case) -> None:
    device = await case.stand()
    held = case.hub.hold_next()
    device.send(publish(REGISTER))
    await held.reached.wait()
    device.protocol.connection_lost(None)
    assert not await case.app.store.page(RegistrationRow, (ID_SCOPE,), None, 9)
    held.release()
    while not await case.app.store.page(RegistrationRow, (ID_SCOPE,), None, 9):
        await asyncio.sleep(0)


@served(hub=FaultyHubConnector(FakeHubConnector()))
async def test_a_stopping_server_finishes_the_request_under_way(case: Case) -> None:
    device = await case.stand()
    held = case.hub.hold_next()
    device.send(publish(REGISTER), publish(REGISTER))
    await held.reached.wait()
    device.protocol.shutdown()
    assert not device.wire.closed
    held.release()
    assert (await device.said()).first == 0x40
    assert (await device.said()).json()["status"] == "assigned"
    await device.ended()
    assert device.silent, "the second request was not begun"


# The grammars


@pytest.mark.parametrize(
    ("topic", "call"),
    [
        ("$dps/registrations/PUT/iotdps-register/?$rid=1", DeviceCall(Verb.REGISTER, "1", "")),
        ("$dps/registrations/PUT/iotdps-register?$rid=1", DeviceCall(Verb.REGISTER, "1", "")),
        ("$dps/registrations/put/IotDps-Register/?$rid=a&$rid=b", DeviceCall(Verb.REGISTER, "a", "")),
        ("$dps/registrations/PUT/iotdps-register/", DeviceCall(Verb.REGISTER, "", "")),
        (POLL.format("1", "4.a.b"), DeviceCall(Verb.LOOK_UP, "1", "4.a.b")),
        (
            "$dps/registrations/GET/iotdps-get-operationstatus/?operationId=4%2Ea&$rid=x%20y",
            DeviceCall(Verb.LOOK_UP, "x%20y", "4.a"),
        ),
        ("$dps/registrations/GET/other/?$rid=1", DeviceCall(Verb.UNKNOWN, "1", "")),
        ("$dps/other", None),
    ],
)
def test_topics_are_read_leniently(topic: str, call: DeviceCall | None) -> None:
    assert parse_call(topic) == call


def test_answers_are_written_as_every_client_parses_them() -> None:
    # The published example: $dps/registrations/res/202/?$rid=1&retry-after=3
    assert answer_topic(202, "1", 3) == "$dps/registrations/res/202/?$rid=1&retry-after=3"
    assert answer_topic(200, "1") == "$dps/registrations/res/200/?$rid=1"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("0ne/registrations/x/api-version=2019-03-31", ProvisioningName("0ne", "x", "2019-03-31")),
        ("0ne/Registrations/x/ClientVersion=a%2F1&api-version=v", ProvisioningName("0ne", "x", "v")),
        ("0ne/registrations/x/api-version=1&api-version=2", ProvisioningName("0ne", "x", "1")),
        ("Hub.Local:8883/d/?api-version=1", HubName("hub.local", "d", None, {"api-version": "1"})),
        (
            "h.b/d/m/?api-version=1&model-id=dtmi%3Aa%3B1",
            HubName("h.b", "d", "m", {"api-version": "1", "model-id": "dtmi:a;1"}),
        ),
        ("0ne/registrations/x/?api-version=1", HubName("0ne", "registrations", "x", {"api-version": "1"})),
        ("0ne//x/api-version=1", None),
        ("0ne/registrations/x/y/api-version=1", None),
        ("h/?api-version=1", None),
        ("h/d/m/n/?api-version=1", None),
        ("h" * 5000 + "/d/?api-version=1", None),
        (None, None),
    ],
)
def test_the_two_grammars_of_a_user_name(given: str | None, name: ProvisioningName | HubName | None) -> None:
    assert parse_user_name(given) == name
