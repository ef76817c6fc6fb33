"""Owns azure-iot-hub: identities, twins and direct methods; must not know what a test expects."""

from __future__ import annotations

import functools
from typing import Any

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties
from azure.iot.hub.protocol.models import AuthenticationMechanism as HubAuthentication
from azure.iot.hub.protocol.models import ExportImportDevice, SymmetricKey
from msrest.serialization import full_restapi_key_transformer

Document = dict[str, Any]


def _wire(model: Any) -> Document:
    return dict(model.as_dict(key_transformer=full_restapi_key_transformer))


@functools.cache
def _hub(connection_string: str) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(connection_string)


def get_device(connection_string: str, device_id: str) -> Document:
    return _wire(_hub(connection_string).get_device(device_id))


def create_device(connection_string: str, device: Document) -> Document:
    keys = device["authentication"]["symmetricKey"]
    return _wire(
        _hub(connection_string).create_device_with_sas(
            device["deviceId"],
            keys["primaryKey"],
            keys["secondaryKey"],
            device["status"],
            iot_edge=device.get("capabilities", {}).get("iotEdge", False),
        )
    )


def update_device(connection_string: str, device: Document, etag: str | None = None) -> Document:
    keys = device["authentication"]["symmetricKey"]
    return _wire(
        _hub(connection_string).update_device_with_sas(
            device["deviceId"], etag, keys["primaryKey"], keys["secondaryKey"], device["status"]
        )
    )


def delete_device(connection_string: str, device_id: str, etag: str | None = None) -> None:
    _hub(connection_string).delete_device(device_id, etag)


def list_devices(connection_string: str, top: int | None = None) -> list[Document]:
    return [_wire(device) for device in _hub(connection_string).get_devices(top)]


def _import_model(device: Document, mode: str) -> ExportImportDevice:
    keys = device["authentication"]["symmetricKey"]
    symmetric_key = SymmetricKey(primary_key=keys["primaryKey"], secondary_key=keys["secondaryKey"])
    return ExportImportDevice(
        id=device["deviceId"],
        import_mode=mode,
        status="enabled",
        authentication=HubAuthentication(type="sas", symmetric_key=symmetric_key),
    )


def bulk(connection_string: str, mode: str, devices: list[Document]) -> Document:
    models = [_import_model(device, mode) for device in devices]
    return _wire(_hub(connection_string).bulk_create_or_update_devices(models))


def get_twin(connection_string: str, device_id: str) -> Document:
    return _wire(_hub(connection_string).get_twin(device_id))


def _twin_model(patch: Document) -> Twin:
    return Twin(tags=patch.get("tags"), properties=TwinProperties(desired=patch.get("properties", {}).get("desired")))


def update_twin(connection_string: str, device_id: str, patch: Document, etag: str | None = None) -> Document:
    return _wire(_hub(connection_string).update_twin(device_id, _twin_model(patch), etag))


def replace_twin(connection_string: str, device_id: str, twin: Document, etag: str | None = None) -> Document:
    return _wire(_hub(connection_string).replace_twin(device_id, _twin_model(twin), etag))


def invoke_method(
    connection_string: str, device_id: str, method: str, payload: Any, connect_seconds: int = 0
) -> Document:
    request = CloudToDeviceMethod(
        method_name=method,
        payload=payload,
        response_timeout_in_seconds=15,
        connect_timeout_in_seconds=connect_seconds,
    )
    return _wire(_hub(connection_string).invoke_device_method(device_id, request))
