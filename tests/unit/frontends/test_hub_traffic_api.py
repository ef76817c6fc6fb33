"""Methods, messages and the monitor over HTTP: statuses and words as published, documents as documented here."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from idscope.clock import format_time
from idscope.embedded_hub import BulkRegistry, Delivery, Telemetry
from idscope.embedded_hub.cloud_messages import CloudMessage
from idscope.embedded_hub.desired_changes import DesiredChange
from idscope.embedded_hub.device_access import AdmittedDevice
from idscope.embedded_hub.message import MessageProperties
from idscope.embedded_hub.methods import MethodCall
from idscope.embedded_hub.session import Session
from idscope.frontends.http.hub_api import HUB_OPERATIONS, HubUseCases
from idscope.frontends.http.hub_monitor_api import HUB_MONITOR_OPERATIONS
from idscope.frontends.http.hub_traffic_api import HUB_TRAFFIC_OPERATIONS
from idscope.frontends.http.operations import Api
from idscope.frontends.http.operator_api import HubTraffic, OperatorUseCases
from idscope.frontends.http.router import Router
from idscope.secret import Secret
from idscope.testing.application import ADMIN_TOKEN, Application, Response


class Wire:
    """A device that answers every call."""

    def __init__(self, status: int = 200, answer: bytes = b'{"ok": 1.0}') -> None:
        self.session: Session | None = None
        self.messages: list[CloudMessage] = []
        self.calls: list[MethodCall] = []
        self.answer = (status, answer)
        self.tasks: list[asyncio.Task[None]] = []

    def send_message(self, message: CloudMessage) -> bool:
        self.messages.append(message)
        return True

    def send_call(self, call: MethodCall) -> bool:
        assert self.session is not None
        self.calls.append(call)
        answering = self.session.answered(call.call_id, *self.answer)
        self.tasks.append(asyncio.get_running_loop().create_task(answering))
        return True

    def send_desired(self, change: DesiredChange) -> bool:
        raise AssertionError(change)

    def close(self, reason: str) -> None:
        raise AssertionError(reason)


class Hub:
    def __init__(self, app: Application, delivery: Delivery, telemetry: Telemetry) -> None:
        self.app = app
        self.delivery = delivery
        self.telemetry = telemetry
        self.hub_id = app.directory.snapshot.hubs[0].hub_id

    async def connect(self, *features: str) -> Wire:
        wire = Wire()
        generation = (await self.app.identities.get(self.hub_id, "d")).generation_id
        device = AdmittedDevice(self.hub_id, "d", generation, None)
        wire.session = session = await self.delivery.connect(device, wire)
        session.start()
        await session.ask(frozenset(features), {})
        return wire

    async def operator(self, method: str, target: str, body: Any = None) -> Response:
        return await self.app.request(method, target, body, authorization=f"Bearer {ADMIN_TOKEN}")


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Hub]:
    async with Application() as app:
        delivery, telemetry = Delivery(app.store, app.clock, path), Telemetry(app.store, app.clock)
        await delivery.start()
        bulk = BulkRegistry(app.identities, app.twins)
        operations = (*HUB_OPERATIONS, *HUB_TRAFFIC_OPERATIONS, *HUB_MONITOR_OPERATIONS)
        app.router = Router(
            operations,
            {
                Api.HUB: HubUseCases(app.identities, app.twins, bulk, delivery),
                Api.OPERATOR: OperatorUseCases(
                    app.store, app.directory, app.clock, operations, 0, HubTraffic(telemetry, delivery.messages)
                ),
            },
            directory=app.directory,
            clock=app.clock,
            admin_token=Secret(ADMIN_TOKEN),
        )
        assert (await app.hub("PUT", "/devices/d", {"deviceId": "d"})).status == 200
        try:
            yield Hub(app, delivery, telemetry)
        finally:
            for session in tuple(delivery._sessions.values()):
                await session.close()
            await delivery.close()


def story(path: Path, tell: Callable[[Hub], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30), served(path) as hub:
            await tell(hub)

    asyncio.run(within())


def test_a_method_is_called(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        wire = await hub.connect("methods")
        body = {"methodName": "reboot", "payload": {"delay": 1}, "responseTimeoutInSeconds": 10}
        answer = await hub.app.hub("POST", "/twins/d/methods", body)
        assert (answer.status, answer.body) == (200, b'{"status":200,"payload":{"ok": 1.0}}')
        assert json.loads(wire.calls[0].payload) == {"delay": 1}
        statistics = await hub.app.hub("GET", "/statistics/service")
        assert statistics.json() == {"connectedDeviceCount": 1}

    story(tmp_path, tell)


def test_a_method_of_a_device_that_is_not_there(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        offline = await hub.app.hub("POST", "/twins/d/methods", {"methodName": "m"})
        assert (offline.status, offline.headers["iothub-errorcode"]) == (404, "DeviceNotOnline")
        assert offline.json()["Message"].startswith("ErrorCode:DeviceNotOnline;")
        unknown = await hub.app.hub("POST", "/twins/nobody/methods", {"methodName": "m"})
        assert (unknown.status, unknown.headers["iothub-errorcode"]) == (404, "DeviceNotFound")
        for bad in ({}, {"methodName": ""}, {"methodName": "a/b"}, {"methodName": "m", "responseTimeoutInSeconds": 1}):
            assert (await hub.app.hub("POST", "/twins/d/methods", bad)).status in {400, 404}
        stranger = await hub.app.request("POST", "/twins/d/methods?api-version=2021-04-12", {"methodName": "m"})
        assert stranger.status == 401

    story(tmp_path, tell)


def test_a_message_is_queued_with_what_its_headers_say(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        wire = await hub.connect("messages")
        headers = {
            "iothub_messageid": "m1",
            "iothub_correlationid": "c1",
            "iothub_contenttype": "text/plain",
            "iothub_app_Colour": "blue",
            "iothub_expiry": format_time(hub.app.clock.now() + 60_000_000),
            "content_type": "application/octet-stream",
        }
        sent = await hub.app.hub("POST", "/devices/d/messages/devicebound", b"\x00raw", **headers)
        assert (sent.status, sent.body) == (204, b"")
        while not wire.messages:
            await asyncio.sleep(0)
        [message] = wire.messages
        assert message.body == b"\x00raw"
        assert message.properties == MessageProperties(
            {"messageId": "m1", "correlationId": "c1", "contentType": "text/plain"}, {"colour": "blue"}
        )
        assert (await hub.app.hub("GET", "/devices/d")).json()["cloudToDeviceMessageCount"] == 1
        purged = await hub.app.hub("DELETE", "/devices/d/commands")
        assert purged.json() == {"totalMessagesPurged": 1, "deviceId": "d", "moduleId": None}
        assert (await hub.app.hub("GET", "/twins/d")).json()["cloudToDeviceMessageCount"] == 0

    story(tmp_path, tell)


@pytest.mark.parametrize(
    ("device_id", "body", "expiry", "status", "word"),
    [
        ("nobody", b"x", None, 404, "DeviceNotFound"),
        ("d", bytes(64 * 1024 + 1), None, 413, "MessageTooLarge"),
        ("d", bytes(66 * 1024), None, 413, "MessageTooLarge"),
        ("d", b"x", "tomorrow", 400, "ArgumentInvalid"),
        ("d", b"x", "2001-01-01T00:00:00Z", 400, "ArgumentInvalid"),
        ("d", b"x", "2001-01-01T00:00:00", 400, "ArgumentInvalid"),
    ],
)
def test_a_message_that_is_refused(
    device_id: str, body: bytes, expiry: str | None, status: int, word: str, tmp_path: Path
) -> None:
    async def tell(hub: Hub) -> None:
        headers = {} if expiry is None else {"iothub_expiry": expiry}
        answer = await hub.app.hub("POST", f"/devices/{device_id}/messages/devicebound", body, **headers)
        assert (answer.status, answer.headers["iothub-errorcode"]) == (status, word)

    story(tmp_path, tell)


def test_the_fifty_first_message_is_one_too_many(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        for _ in range(50):
            assert (await hub.app.hub("POST", "/devices/d/messages/devicebound", b"")).status == 204
        answer = await hub.app.hub("POST", "/devices/d/messages/devicebound", b"")
        assert (answer.status, answer.headers["iothub-errorcode"]) == (403, "DeviceMaximumQueueDepthExceeded")

    story(tmp_path, tell)


def test_the_operator_reads_telemetry(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        properties = MessageProperties({"contentType": "application/json"}, {"k": "v"})
        await hub.telemetry.record(hub.hub_id, "d", properties, b'{"t":1}')
        await hub.telemetry.record(hub.hub_id, "e", MessageProperties(), b"\xff")
        answer = await hub.operator("GET", "/admin/hub/telemetry")
        now = format_time(hub.app.clock.now())
        empty: dict[str, str] = {}
        assert answer.json() == {
            "hub": "127.0.0.1",
            "last": 1,
            "messages": [
                {
                    "sequence": 0,
                    "deviceId": "d",
                    "enqueuedTimeUtc": now,
                    "systemProperties": {"contentType": "application/json"},
                    "properties": {"k": "v"},
                    "body": '{"t":1}',
                },
                {
                    "sequence": 1,
                    "deviceId": "e",
                    "enqueuedTimeUtc": now,
                    "systemProperties": empty,
                    "properties": empty,
                    "bodyBase64": "/w==",
                },
            ],
        }
        one = await hub.operator("GET", "/admin/hub/telemetry?device=e&limit=1")
        assert [message["sequence"] for message in one.json()["messages"]] == [1]
        latest = await hub.operator("GET", "/admin/hub/telemetry?after=latest&hub=127.0.0.1")
        assert (latest.json()["last"], latest.json()["messages"]) == (1, [])
        waiting = asyncio.ensure_future(hub.operator("GET", "/admin/hub/telemetry?after=1&wait=5"))
        while not hub.app.clock.waiting:
            await asyncio.sleep(0)
        await hub.telemetry.record(hub.hub_id, "d", MessageProperties(), b"new")
        hub.app.clock.advance(0.2)
        assert [message["body"] for message in (await waiting).json()["messages"]] == ["new"]
        for bad in ("after=x", "after=-2", "limit=0", "wait=-1", "wait=x", "wait=nan", "after=" + "9" * 30):
            assert (await hub.operator("GET", f"/admin/hub/telemetry?{bad}")).status == 400, bad
        assert (await hub.operator("GET", "/admin/hub/telemetry?hub=other")).status == 404
        assert (await hub.app.request("GET", "/admin/hub/telemetry")).status == 401

    story(tmp_path, tell)


def test_the_operator_sends_a_message(tmp_path: Path) -> None:
    async def tell(hub: Hub) -> None:
        wire = await hub.connect("messages")
        body = {"deviceId": "d", "body": "hé", "properties": {"K": "v"}, "systemProperties": {"messageId": "m"}}
        assert (await hub.operator("POST", "/admin/hub/messages", body)).status == 204
        raw = {"deviceId": "d", "bodyBase64": base64.b64encode(b"\xff\x00").decode()}
        assert (await hub.operator("POST", f"/admin/hub/messages?hub={hub.hub_id}", raw)).status == 204
        while len(wire.messages) < 2:
            await asyncio.sleep(0)
        assert [message.body for message in wire.messages] == ["hé".encode(), b"\xff\x00"]
        assert wire.messages[0].properties == MessageProperties({"messageId": "m"}, {"K": "v"})
        assert (await hub.operator("POST", "/admin/hub/messages", {"deviceId": "nobody"})).status == 404
        assert (await hub.operator("POST", "/admin/hub/messages", {"body": "x"})).status == 400
        assert (await hub.app.request("POST", "/admin/hub/messages", body)).status == 401

    story(tmp_path, tell)
