"""The client side of what Microsoft's device SDKs sent over HTTPS, replayed: every rule that a client depends on holds
for every answer. It must not know how the server reaches an answer."""

from __future__ import annotations

import asyncio
import base64
import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from captured import KEY, certificate_of, clock_for, enroll, load_captures, sign_anew, tpm_of
from replay import Answered, Connection, Replay, load_connections, split_requests, with_operation_id, with_tpm

from idscope.frontends.websocket import WebSocketEndpoints
from idscope.registration import WorkflowSettings
from idscope.testing.application import ID_SCOPE, Application
from idscope.testing.fake_hub import FakeHubConnector, FaultyHubConnector
from idscope.testing.software_tpm import SoftwareTpm

CONNECTIONS = load_connections()
ACCEPTED = [one for one in CONNECTIONS if one.row.verdict == "assigned"]
SIGNED = [one for one in ACCEPTED if one.row.proof == "symmetricKey"]
NO_SUCH_PATH = [one for one in load_captures("MqttWs", "AmqpWs") if one.row.verdict == "404000"]
TPMS = [one for one in CONNECTIONS if one.row.proof == "tpm"]
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
OPERATION_ID = re.compile(r"[A-Za-z0-9.-]+\Z")  # three clients do not percent-encode it
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,7})?Z\Z")


def by_name(one: Connection) -> str:
    return one.name


def earlier(connection: Connection) -> list[bytes]:
    """What the client asked on earlier connections of the same scenario, if this one depends on it: one that polls
    registered before, a TPM was challenged before."""
    if connection.requests[0].startswith(b"PUT ") and connection.row.proof != "tpm":
        return []
    same = [one for one in CONNECTIONS if one.group == connection.group and one.row.scenario == connection.row.scenario]
    before = same[: same.index(connection)]
    return [request for one in before for request in one.requests if request.startswith(b"PUT ")]


def proved(request: bytes, expiry: int, tpm: SoftwareTpm | None) -> bytes:
    """With a token of the test's key, or of what the TPM was challenged with."""
    if tpm is None:
        return sign_anew(request, expiry)
    return sign_anew(with_tpm(request, tpm), expiry, base64.b64encode(tpm.key).decode())


def take_in(answer: Answered, tpm: SoftwareTpm | None) -> bool:
    """Whether the answer is a TPM's challenge; what is in it is in the TPM then."""
    if tpm is None or answer.status != 401 or "authenticationKey" not in answer.json():
        return False
    tpm.activate(base64.b64decode(answer.json()["authenticationKey"]))
    return True


async def replay(
    connection: Connection,
    *,
    settings: WorkflowSettings | None = None,
    cut: Callable[[bytes], Iterable[bytes]] | None = None,
    enrolled: bool = True,
) -> list[tuple[bytes, Answered]]:
    """All requests of the connection with their answers; not those by which a TPM was challenged."""
    answers = []
    certificate, tpm = certificate_of(connection.capture), tpm_of(connection.capture)
    chain = certificate.der_chain() if certificate else ()
    async with Application(clock=clock_for(certificate), settings=settings) as app:
        if enrolled:
            await enroll(app, connection.row.scenario, certificate, tpm.endorsement_key if tpm else "")
        operation_id = ""
        with Replay(app, chain) as before:
            for request in earlier(connection):
                answer = await before.ask(proved(request, app.expiry, tpm))
                take_in(answer, tpm)
                operation_id = answer.json().get("operationId", "")
                await finish(app)
        with Replay(app, chain) as wire:
            for request in connection.requests:
                sent = with_operation_id(proved(request, app.expiry, tpm), operation_id or "5.0.0")
                answer = await wire.ask(sent, cut)
                if not take_in(answer, tpm):
                    answers.append((request, answer))
                operation_id = answer.json().get("operationId", operation_id)
                await finish(app)
            assert not wire.closed, "every client keeps its connection"
    return answers


async def finish(app: Application) -> None:
    """Let the registration that is under way end, as it does while a device waits."""
    async with asyncio.timeout(10):
        while app.workflow._running:
            await asyncio.sleep(0)


def assert_every_answer(answer: Answered) -> None:
    """What holds for all answers, whatever they say."""
    assert answer.header("content-type") == "application/json; charset=utf-8"  # rule 7: or Node and Rust refuse it
    assert answer.header("strict-transport-security") == "max-age=31536000; includeSubDomains"
    assert GUID.match(answer.header("x-ms-request-id") or "")
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("date")
    assert isinstance(answer.json(), dict)
    assert_no_null(answer.json())


def assert_no_null(document: Any) -> None:
    """Rule 4: a null breaks Java and the embedded client."""
    assert document is not None
    children = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    for child in children:
        assert_no_null(child)


def assert_error(answer: Answered, code: int) -> None:
    """Rule 7: a JSON object with all four members."""
    assert_every_answer(answer)
    assert answer.status == code // 1000
    assert answer.header("x-ms-error-code") == str(code)
    body = answer.json()
    assert list(body) == ["errorCode", "trackingId", "message", "timestampUtc"]
    assert body["errorCode"] == code
    assert body["trackingId"] == answer.header("x-ms-request-id")
    assert body["message"]
    assert TIME.match(body["timestampUtc"])


def assert_operation(request: bytes, answer: Answered, connection: Connection) -> str:
    """The rules for an answer with an operation; its status."""
    assert_every_answer(answer)
    body = answer.json()
    assert OPERATION_ID.match(body["operationId"])  # rule 2: Java and the embedded client need it always
    status = body["status"]
    assert status in ("assigning", "assigned", "failed", "disabled")
    registered = request.startswith(b"PUT ")
    # Rule 1: register answers 202, also when finished; rules of A.3: a finished poll 200, a pending one 202.
    assert answer.status == (202 if registered or status == "assigning" else 200)
    without_state = registered and status == "assigning"
    assert list(body) == ["operationId", "status", *([] if without_state else ["registrationState"])]
    if "registrationState" in body:  # rule 3
        assert body["registrationState"]["registrationId"] == connection.row.scenario
        assert body["registrationState"]["status"] == status
    retry_after = answer.header("retry-after")
    if status == "assigning":
        assert retry_after is not None  # rule 8: integer seconds; Java takes only 2 to 5
        assert retry_after.isdigit()
        assert 2 <= int(retry_after) <= 5
    else:
        assert retry_after is None
    if answer.status == 202:
        host = re.search(rb"\r\nhost: *([^\r]+)", request, re.IGNORECASE)
        assert host
        location = f"https://{host[1].decode()}/{ID_SCOPE}/registrations/{connection.row.scenario}/register"
        assert answer.header("location") == location
    else:
        assert answer.header("location") is None
    return str(status)


def assert_assigned(state: dict[str, Any], connection: Connection) -> None:
    assert state["assignedHub"] == "127.0.0.1"  # rule 16: a dot, no port
    assert state["deviceId"] == connection.row.scenario
    assert state["substatus"] in ("initialAssignment", "reprovisionedToInitialAssignment")
    assert TIME.match(state["createdDateTimeUtc"])
    assert TIME.match(state["lastUpdatedDateTimeUtc"])
    assert isinstance(state.get("payload", {}), dict)  # rule 5


@pytest.mark.parametrize("connection", ACCEPTED, ids=by_name)
def test_a_registering_device_is_assigned_in_its_first_answer(connection: Connection) -> None:
    for request, answer in asyncio.run(replay(connection)):
        assert assert_operation(request, answer, connection) == "assigned"
        assert_assigned(answer.json()["registrationState"], connection)


@pytest.mark.parametrize("connection", ACCEPTED, ids=by_name)
def test_with_the_timing_of_azure_a_device_polls_until_it_is_assigned(connection: Connection) -> None:
    settings = WorkflowSettings(azure_timing=True)
    for request, answer in asyncio.run(replay(connection, settings=settings)):
        status = assert_operation(request, answer, connection)
        assert status == ("assigning" if request.startswith(b"PUT ") else "assigned")


@pytest.mark.parametrize("connection", ACCEPTED, ids=by_name)
def test_one_byte_at_a_time_gives_the_same_answers(connection: Connection) -> None:
    answers = asyncio.run(replay(connection, cut=lambda request: (bytes((byte,)) for byte in request)))
    for request, answer in answers:
        assert assert_operation(request, answer, connection) == "assigned"


@pytest.mark.parametrize("name", ["c-dps/001-443.txt", "java-dps/001-443.txt", "node-dps/001-443.txt"])
def test_cut_at_every_position_gives_the_same_answers(name: str) -> None:
    connection = next(one for one in CONNECTIONS if one.name == name)

    async def run() -> None:
        async with Application() as app:
            await enroll(app, connection.row.scenario, None)
            signed = sign_anew(connection.requests[0], app.expiry)
            with Replay(app) as wire:
                for position in range(1, len(signed)):
                    answer = await wire.ask(signed, functools.partial(cut_at, position))
                    assert assert_operation(signed, answer, connection) == "assigned"

    asyncio.run(run())


def cut_at(position: int, request: bytes) -> tuple[bytes, bytes]:
    return request[:position], request[position:]


def test_pipelined_requests_of_one_client_are_answered_in_order() -> None:
    connection = next(one for one in CONNECTIONS if one.name == "node-dps/001-443.txt")

    async def run() -> list[Answered]:
        async with Application() as app:
            await enroll(app, connection.row.scenario, None)
            signed = [sign_anew(request, app.expiry) for request in connection.requests]
            with Replay(app) as wire:
                first = await wire.ask(b"".join(signed))
                return [first, *[await wire.ask(b"") for _ in signed[1:]]]

    statuses = [answer.status for answer in asyncio.run(run())]
    assert statuses == [202, 404, 404]  # the polls ask for the stand-in's operation, which is not one of ours


@pytest.mark.parametrize("connection", [one for one in TPMS if one.requests[0].startswith(b"PUT ")], ids=by_name)
def test_a_tpms_first_request_is_a_challenge(connection: Connection) -> None:
    """C wants a key name and no status, the others the authentication key; Node an answer of 401."""
    tpm = tpm_of(connection.capture)
    assert tpm

    async def run() -> Answered:
        async with Application() as app:
            await enroll(app, connection.row.scenario, None, tpm.endorsement_key)
            with Replay(app) as wire:
                return await wire.ask(with_tpm(registering(connection), tpm))

    answer = asyncio.run(run())
    assert_every_answer(answer)
    body = answer.json()
    assert (answer.status, body["message"], body["keyName"]) == (401, "Authorization required", "registration")
    assert "status" not in body
    assert take_in(answer, tpm)


def registering(connection: Connection) -> bytes:
    """The scenario's first request."""
    return [*earlier(connection), *connection.requests][0]


@pytest.mark.parametrize("connection", [one for one in TPMS if one.row.verdict == "assigned"], ids=by_name)
def test_a_tpm_takes_the_key_of_its_hub_in(connection: Connection) -> None:
    answers = asyncio.run(replay(connection))
    assert answers
    for _, answer in answers:
        tpm = tpm_of(connection.capture)
        assert tpm
        state = answer.json()["registrationState"]
        assert tpm.activate(base64.b64decode(state["tpm"]["authenticationKey"])) == state["assignedHub"]


@pytest.mark.parametrize("connection", SIGNED, ids=by_name)
def test_an_unknown_device_or_an_expired_foreign_token_is_unauthorized(connection: Connection) -> None:
    for _, answer in asyncio.run(replay(connection, enrolled=False)):
        assert_error(answer, 401002)
        assert answer.json()["message"] == "Unauthorized"

    async def as_captured() -> Answered:
        async with Application() as app:
            await enroll(app, connection.row.scenario, None)
            with Replay(app) as wire:
                return await wire.ask(connection.requests[0])

    assert_error(asyncio.run(as_captured()), 401002)


@pytest.mark.parametrize("connection", [one for one in ACCEPTED if one.row.proof == "x509"], ids=by_name)
def test_a_certificate_that_nobody_enrolled_is_refused(connection: Connection) -> None:
    for _, answer in asyncio.run(replay(connection, enrolled=False)):
        assert_error(answer, 401002)


def test_a_tpm_with_an_unknown_id_is_told_so() -> None:
    connection = TPMS[0]
    first = asyncio.run(replay(connection, enrolled=False))[0][1]
    assert_error(first, 404201)


def test_quirk_nodes_port_in_the_path_of_a_websocket_is_not_found() -> None:
    def inside() -> asyncio.Protocol:
        raise AssertionError("nothing is opened there")

    async def run(request: bytes) -> Answered:
        async with Application() as app:
            with Replay(app, websocket=WebSocketEndpoints({"mqtt": inside})) as wire:
                return await wire.ask(request)

    (capture,) = NO_SUCH_PATH
    assert capture.upgrade.startswith(b"GET /:10443/$iothub/websocket HTTP/1.1\r\n")
    assert_error(asyncio.run(run(capture.upgrade)), 404000)


@pytest.mark.parametrize(("verb", "status"), [("disabled", "disabled"), ("failed", "failed")])
def test_disabled_and_failed_registrations_keep_the_same_rules(verb: str, status: str) -> None:
    connection = next(one for one in CONNECTIONS if one.name == "node-dps/001-443.txt")

    async def run() -> list[tuple[bytes, Answered]]:
        answers = []
        async with Application(settings=WorkflowSettings(hub_limit=0)) as app:
            members: dict[str, Any] = {"provisioningStatus": "disabled"} if verb == "disabled" else {"iotHubs": ["x.y"]}
            keys = {"primaryKey": KEY, "secondaryKey": KEY}
            attestation = {"type": "symmetricKey", "symmetricKey": keys}
            await app.enroll(connection.row.scenario, attestation=attestation, **members)
            operation_id = ""
            with Replay(app) as wire:
                for request in connection.requests:
                    sent = with_operation_id(sign_anew(request, app.expiry), operation_id)
                    answers.append((request, await wire.ask(sent)))
                    operation_id = answers[-1][1].json()["operationId"]
        return answers

    for request, answer in asyncio.run(run()):
        assert assert_operation(request, answer, connection) == status
        state = answer.json()["registrationState"]
        assert {"etag", "lastUpdatedDateTimeUtc"} <= set(state)  # a refused registration leaves a record
        assert "assignedHub" not in state
        if status == "failed":  # the Rust client needs both
            assert state["errorCode"] == 400208
            assert state["errorMessage"]


def test_a_hub_that_is_down_never_becomes_a_server_error() -> None:
    connection = next(one for one in CONNECTIONS if one.name == "c-dps/001-443.txt")

    async def run() -> Answered:
        hub = FaultyHubConnector(FakeHubConnector())
        async with Application(connector=hub, settings=WorkflowSettings(assign_wait=0.01)) as app:
            await enroll(app, connection.row.scenario, None)
            held = hub.hold_next()
            with Replay(app) as wire:
                answer = await wire.ask(sign_anew(connection.requests[0], app.expiry))
            held.release()
            return answer

    answer = asyncio.run(run())
    assert assert_operation(connection.requests[0], answer, connection) == "assigning"


def test_requests_are_split_where_the_client_ended_them() -> None:
    for connection in CONNECTIONS:
        assert connection.requests
        assert all(request.startswith((b"PUT ", b"GET ")) for request in connection.requests)
        assert list(split_requests(b"".join(connection.requests))) == list(connection.requests)


@pytest.mark.parametrize("authority", ["dps.example", "dps.example:8443", "127.0.0.5"])
def test_an_absolute_target_is_answered_for_its_own_authority(authority: str) -> None:
    """Java's WebSocket client sends such targets; a proxy may make one of any request (RFC 9112, 3.2.2)."""
    connection = next(one for one in CONNECTIONS if one.name == "java-dps/001-443.txt")

    async def run() -> Answered:
        async with Application() as app:
            await enroll(app, connection.row.scenario, None)
            signed = sign_anew(connection.requests[0], app.expiry)
            with Replay(app) as wire:
                return await wire.ask(signed.replace(b"PUT /", b"PUT https://" + authority.encode() + b"/", 1))

    answer = asyncio.run(run())
    assert (answer.status, answer.json()["status"]) == (202, "assigned")
    assert (answer.header("location") or "").startswith(f"https://{authority}/{ID_SCOPE}/registrations/")
