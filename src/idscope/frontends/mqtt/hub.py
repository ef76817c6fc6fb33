"""Owns an embedded hub over MQTT: who may connect, what a publish is, how what waits for a device goes out. It must not
decide anything: the embedded hub does.

A refused CONNECT gets CONNACK 5. Telemetry with QoS 1 is acknowledged once it is durable, several at a time, in order.
Messages go out with the QoS that was granted, and count as taken with PUBACK, or at once where that is 0; all else goes
out with QoS 0. With CleanSession 0 the subscriptions of the last session are there again: clients count on it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Mapping
from typing import Any, Final

import structlog
from msgspec import Raw

from idscope.clock import Clock
from idscope.embedded_hub import Delivery, DeviceAccess, Telemetry, Twins
from idscope.embedded_hub.cloud_messages import CloudMessage
from idscope.embedded_hub.desired_changes import DesiredChange
from idscope.embedded_hub.device_access import AdmittedDevice, HubLogin
from idscope.embedded_hub.message import DEVICE_TO_CLOUD_LIMIT, MessageProperties
from idscope.embedded_hub.methods import MethodCall
from idscope.embedded_hub.session import Session
from idscope.errors import HubUnauthorized, IdscopeError, InternalError
from idscope.frontends.http.answers import error_body, new_tracking_id
from idscope.frontends.mqtt.hub_topics import (
    Asks,
    DevicePublish,
    call_topic,
    desired_topic,
    feature_of,
    message_topic,
    messages_prefix,
    parse_publish,
    twin_answer_topic,
)
from idscope.frontends.mqtt.side import ConnectRefused, Outlet, Peer, SessionSide
from idscope.frontends.mqtt.user_name import HubName
from idscope.protocols.mqtt import Connect, ConnectCode, Delivered, Publish, Subscribe, Unsubscribe, Will

_log = structlog.get_logger(__name__)

_PACKET_BYTES: Final = DEVICE_TO_CLOUD_LIMIT + 32 * 1024  # the topic holds the properties, percent-encoded
_LONGEST_TOPIC: Final = 65_535
_WILL: Final = ("iothub-MessageType", "Will")  # published: how a will looks among the telemetry


class HubMqtt:
    """Opens the sessions of hub devices; `open` is a `HubDoor`."""

    def __init__(
        self, access: DeviceAccess, delivery: Delivery, twins: Twins, telemetry: Telemetry, clock: Clock
    ) -> None:
        self.delivery = delivery
        self.twins = twins
        self.telemetry = telemetry
        self.clock = clock
        self._access = access
        self._running: set[asyncio.Task[None]] = set()

    async def open(self, connect: Connect, name: HubName, peer: Peer, outlet: Outlet) -> SessionSide:
        """Raises ConnectRefused, HubUnavailable, StoreUnavailable."""
        login = HubLogin(name.host, name.device_id, name.module_id, name.query.get("api-version", ""))
        try:
            device = await self._access.admit(login, connect.client_id, connect.password or None, peer.chain)
        except HubUnauthorized as error:
            raise ConnectRefused(ConnectCode.NOT_AUTHORIZED, error.reason or error.message) from None
        side = HubSession(self, device, outlet, connect.will)
        await side.begin(clean=connect.clean_session)
        return side

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside everything else; a store that is away is only logged."""
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Finish what sessions have left to do."""
        while self._running:
            await asyncio.gather(*self._running)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except IdscopeError as error:
        _log.warning("the end of something at a hub was not kept", reason=error.reason or error.message)


class HubSession:
    """One device on one connection: a `SessionSide` of the connection, and the `Wire` of the hub's session.

    `restored` are the filters, each with its QoS, that the session begins with.
    """

    packet_bytes = _PACKET_BYTES
    seconds = math.inf  # a token's end is watched by the hub's session

    def __init__(self, hub: HubMqtt, device: AdmittedDevice, outlet: Outlet, will: Will | None) -> None:
        self._hub = hub
        self._device = device
        self._outlet = outlet
        self._will = will
        self._session: Session | None = None
        self._filters: dict[str, int] = {}
        self.restored: Mapping[str, int] = {}

    async def begin(self, *, clean: bool) -> None:
        self._session = session = await self._hub.delivery.connect(self._device, self, clean=clean)
        self._filters = dict(session.asked.filters)
        self.restored = dict(self._filters)
        session.start()  # its task does not run before the connection has said CONNACK

    def closed(self, *, orderly: bool) -> None:
        if self._will is not None and not orderly:
            self._leave_will(self._will)
        if self._session is not None:
            self._hub.run(self._session.close())

    async def handle(self, event: Publish | Subscribe | Unsubscribe | Delivered) -> None:
        if self._session is None:
            return
        self._session.touch()
        match event:
            case Publish():
                await self._take(event)
            case Subscribe():
                await self._subscribe(event, self._session)
            case Unsubscribe():
                for text in event.filters:
                    self._filters.pop(text, None)
                await self._ask(self._session)
            case Delivered(delivery=CloudMessage() as message):
                await self._session.completed(message)

    # What the device does

    async def _subscribe(self, packet: Subscribe, session: Session) -> None:
        """Granted once it is stored: whoever asks then, in whatever worker, finds the device reachable."""
        accepted = [feature_of(text, self._device.device_id) is not None for text, _ in packet.filters]
        self._filters |= {text: qos for (text, qos), yes in zip(packet.filters, accepted, strict=True) if yes}
        await self._ask(session)
        self._outlet.grant(packet, accepted)

    async def _ask(self, session: Session) -> None:
        features = {feature_of(text, self._device.device_id) for text in self._filters}
        await session.ask(frozenset(feature for feature in features if feature), self._filters)

    async def _take(self, packet: Publish) -> None:
        asked = parse_publish(packet.topic, self._device.device_id)
        if asked is None:
            self._outlet.close("a publish to a topic that is not this device's")
            return
        if asked.asks is Asks.TELEMETRY:
            self._take_telemetry(packet, asked.properties)
            return
        self._outlet.acknowledge(packet)  # before the answer
        if asked.asks is Asks.METHOD_ANSWER and self._session is not None:
            await self._session.answered(asked.request_id, asked.status, packet.payload)
        else:
            await self._answer_twin(asked, packet.payload)

    def _take_telemetry(self, packet: Publish, properties: MessageProperties) -> None:
        hub_id, device_id = self._device.hub_id, self._device.device_id
        try:
            if packet.qos == 0:
                self._hub.telemetry.offer(hub_id, device_id, properties, packet.payload)
                return
            written = self._hub.telemetry.record(hub_id, device_id, properties, packet.payload)
        except IdscopeError as error:
            self._outlet.close(error.reason or error.message)
            return
        written.add_done_callback(lambda done: self._acknowledge(packet, done))

    def _acknowledge(self, packet: Publish, written: asyncio.Future[None]) -> None:
        if written.cancelled() or written.exception() is not None:
            self._outlet.close("a message could not be kept")  # the device sends it again
        else:
            self._outlet.acknowledge(packet)

    def _leave_will(self, will: Will) -> None:
        asked = parse_publish(will.topic, self._device.device_id)
        if asked is None or asked.asks is not Asks.TELEMETRY:
            return
        properties = MessageProperties(asked.properties.system, dict([*asked.properties.application.items(), _WILL]))
        try:
            self._hub.telemetry.offer(self._device.hub_id, self._device.device_id, properties, will.payload)
        except IdscopeError as error:
            _log.debug("a will was not taken", reason=error.message)

    async def _answer_twin(self, asked: DevicePublish, payload: bytes) -> None:
        try:
            topic, body = await self._twin(asked, payload)
        except IdscopeError as error:
            topic, body = self._twin_error(asked, error)
        except Exception:  # noqa: BLE001 - the catch-all: no request is left without an answer
            _log.exception("a twin request failed inside the server")
            topic, body = self._twin_error(asked, InternalError())
        self._outlet.publish(topic, body, 0)

    async def _twin(self, asked: DevicePublish, payload: bytes) -> tuple[str, bytes]:
        hub_id, device_id, twins = self._device.hub_id, self._device.device_id, self._hub.twins
        if asked.asks is Asks.TWIN_GET:
            return twin_answer_topic(200, asked.request_id), await twins.properties(hub_id, device_id)
        version = await twins.patch_reported(hub_id, device_id, Raw(payload))
        return twin_answer_topic(204, asked.request_id, version), b""

    def _twin_error(self, asked: DevicePublish, error: IdscopeError) -> tuple[str, bytes]:
        tracking_id = new_tracking_id()
        _log.debug("refused", tracking_id=tracking_id, code=error.error_code, reason=error.reason or error.message)
        body = error_body(error, tracking_id, self._hub.clock.now())
        return twin_answer_topic(error.status, asked.request_id), body

    # What waits for the device

    def send_message(self, message: CloudMessage) -> bool:
        prefix, qos = self._messages_filter()
        topic = message_topic(prefix, self._device.device_id, message.properties)
        fits = len(topic) <= _LONGEST_TOPIC
        taken = not fits or self._outlet.publish(topic, message.body, qos, message)
        if not fits:
            _log.warning("a message was dropped: its properties do not fit a topic", device_id=message.device_id)
        if self._session is not None and taken and (qos == 0 or not fits):
            self._hub.run(self._session.completed(message))
        return taken

    def _messages_filter(self) -> tuple[str, int]:
        for text, qos in self._filters.items():
            prefix = messages_prefix(text, self._device.device_id)
            if prefix is not None:
                return prefix, min(qos, 1)
        return f"devices/{self._device.device_id}/messages/devicebound/", 1

    def send_call(self, call: MethodCall) -> bool:
        return self._outlet.publish(call_topic(call.name, call.call_id), call.payload, 0)

    def send_desired(self, change: DesiredChange) -> bool:
        return self._outlet.publish(desired_topic(change.version), change.patch, 0)

    def close(self, reason: str) -> None:
        self._outlet.close(reason)
