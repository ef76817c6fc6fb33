"""Owns the provisioning side of azure-iot-device, blocking and awaited, and one registration that it cannot send.

It must not know what a test expects.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import urllib.parse
from typing import Any

import paho.mqtt.client as mqtt
from azure.iot.device import X509, ProvisioningDeviceClient, aio

Document = dict[str, Any]

RAW_SECONDS = 20


def register(
    wire: str,
    host: str,
    id_scope: str,
    registration_id: str,
    key: str = "",
    payload: Any = None,
    asynchronous: bool = False,
    certificate_file: str = "",
    key_file: str = "",
) -> Document:
    """With a certificate where there is a file of it. Without a payload the SDK sends null."""
    kind = aio.ProvisioningDeviceClient if asynchronous else ProvisioningDeviceClient
    place = {
        "provisioning_host": host,
        "registration_id": registration_id,
        "id_scope": id_scope,
        "websockets": wire == "MqttWs",
    }
    if certificate_file:
        client = kind.create_from_x509_certificate(x509=X509(certificate_file, key_file), **place)
    else:
        client = kind.create_from_symmetric_key(symmetric_key=key, **place)
    if payload is not None:
        client.provisioning_payload = payload
    return _document(asyncio.run(client.register()) if asynchronous else client.register())


def _document(result: Any) -> Document:
    """The SDK's result in the words of the wire; it keeps nothing of a state that was not assigned."""
    document = {"operationId": result.operation_id, "status": result.status}
    if (state := result.registration_state) is None:
        return document
    document |= {
        "deviceId": state.device_id,
        "assignedHub": state.assigned_hub,
        "substatus": state.sub_status,
        "createdDateTimeUtc": state.created_date_time,
        "lastUpdatedDateTimeUtc": state.last_update_date_time,
        "etag": state.etag,
    }
    payload = json.loads(state.response_payload)
    return document if payload is None else document | {"payload": payload}


def register_raw(host: str, id_scope: str, registration_id: str, token: str, body: str) -> Document:
    """One registration by the MQTT library beneath the SDK, with a body of the test's own bytes."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client = mqtt.Client(client_id=registration_id)
    version = urllib.parse.quote_plus("raw/1")
    user_name = f"{id_scope}/registrations/{registration_id}/api-version=2019-03-31&ClientVersion={version}"
    client.username_pw_set(user_name, token)
    client.tls_set()
    client.on_connect = lambda client, *_: client.subscribe("$dps/registrations/res/#", 1)
    client.on_subscribe = lambda client, *_: client.publish("$dps/registrations/PUT/iotdps-register/?$rid=1", body, 1)
    client.on_message = lambda _client, _data, message: answers.put(message)
    client.connect(host, 8883)
    with _looping(client):
        message = answers.get(timeout=RAW_SECONDS)
    return {"topic": message.topic, **json.loads(message.payload)}


@contextlib.contextmanager
def _looping(client: mqtt.Client) -> Any:
    client.loop_start()
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()
