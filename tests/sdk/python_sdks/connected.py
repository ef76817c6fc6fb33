"""Owns the devices that azure-iot-device has connected to a hub, by name, and what has reached each of them.

It must not know what a test expects.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from dataclasses import dataclass, field
from typing import Any

from azure.iot.device import X509, IoTHubDeviceClient, Message, MethodResponse, aio

Document = dict[str, Any]
Arrivals = queue.SimpleQueue  # of documents

ARRIVAL_SECONDS = 40

_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, daemon=True).start()


def _result(value: Any) -> Any:
    """What a call of either client came to: the awaited one hands out coroutines."""
    return asyncio.run_coroutine_threadsafe(value, _loop).result() if inspect.iscoroutine(value) else value


@dataclass
class Device:
    """A connected device; what arrives waits until a test takes it."""

    client: Any
    messages: Arrivals[Document] = field(default_factory=queue.SimpleQueue)
    desired: Arrivals[Document] = field(default_factory=queue.SimpleQueue)

    def listen(self) -> None:
        """The SDK subscribes when a handler is set."""
        self.client.on_message_received = lambda message: self.messages.put(_message_document(message))
        self.client.on_twin_desired_properties_patch_received = self.desired.put
        awaited = isinstance(self.client, aio.IoTHubDeviceClient)
        self.client.on_method_request_received = self._answer_soon if awaited else self._answer

    def _answer(self, request: Any) -> None:
        self.client.send_method_response(_echo(request))

    async def _answer_soon(self, request: Any) -> None:
        await self.client.send_method_response(_echo(request))


_devices: dict[str, Device] = {}


def _echo(request: Any) -> MethodResponse:
    payload = {"name": request.name, "payload": request.payload}
    return MethodResponse.create_from_method_request(request, 207, payload)


def _message_document(message: Message) -> Document:
    return {
        "body": message.data.decode(),
        "message_id": message.message_id,
        "properties": dict(message.custom_properties),
    }


def connect(
    wire: str,
    host: str,
    device_id: str,
    key: str = "",
    asynchronous: bool = False,
    certificate_file: str = "",
    key_file: str = "",
) -> None:
    """With a certificate where there is a file of it."""
    kind = aio.IoTHubDeviceClient if asynchronous else IoTHubDeviceClient
    place = {
        "hostname": host,
        "device_id": device_id,
        "websockets": wire == "MqttWs",
        "connection_retry_interval": 1,
    }
    if certificate_file:
        client = kind.create_from_x509_certificate(x509=X509(certificate_file, key_file), **place)
    else:
        client = kind.create_from_symmetric_key(symmetric_key=key, **place)
    _result(client.connect())
    _devices[device_id] = Device(client)


def listen(device_id: str) -> None:
    _devices[device_id].listen()


def send(device_id: str, body: str, message_id: str, properties: Document) -> None:
    message = Message(body, message_id=message_id, content_encoding="utf-8", content_type="application/json")
    message.custom_properties = properties
    _result(_devices[device_id].client.send_message(message))


def twin(device_id: str) -> Document:
    return dict(_result(_devices[device_id].client.get_twin()))


def report(device_id: str, patch: Document) -> None:
    _result(_devices[device_id].client.patch_twin_reported_properties(patch))


def next_desired(device_id: str) -> Document:
    return _devices[device_id].desired.get(timeout=ARRIVAL_SECONDS)


def next_message(device_id: str) -> Document:
    return _devices[device_id].messages.get(timeout=ARRIVAL_SECONDS)


def disconnect(device_id: str) -> None:
    _result(_devices[device_id].client.disconnect())


def connect_again(device_id: str) -> None:
    """The SDK goes on with the session that it left, and subscribes to nothing."""
    _result(_devices[device_id].client.connect())


def close(device_id: str) -> None:
    _result(_devices.pop(device_id).client.shutdown())
