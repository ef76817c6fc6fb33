"""Owns one process that holds Microsoft's unmodified Python SDKs and does with them what the tests ask.

One JSON line in (id, operation, arguments), one JSON line out (id and result or error); it must not know what a test
expects, and runs in the SDKs' own environment, without idscope.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

import provisioningserviceclient as old
from azure.core.exceptions import HttpResponseError
from azure.iot.deviceprovisioning import DeviceProvisioningClient
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import Twin, TwinProperties
from azure.iot.hub.protocol.models import AuthenticationMechanism as HubAuthentication
from azure.iot.hub.protocol.models import ExportImportDevice, SymmetricKey
from msrest.exceptions import HttpOperationError
from msrest.serialization import full_restapi_key_transformer
from provisioningserviceclient import models as old_models

Document = dict[str, Any]


# azure-iot-deviceprovisioning: documents are plain JSON


@functools.cache
def _new(connection_string: str) -> DeviceProvisioningClient:
    return DeviceProvisioningClient.from_connection_string(connection_string)


def _if_match(etag: str | None) -> Document:
    return {} if etag is None else {"if_match": etag}


def put(connection_string: str, enrollment: Document, if_match: str | None = None) -> Any:
    client = _new(connection_string)
    return client.enrollment.create_or_update(enrollment["registrationId"], enrollment, **_if_match(if_match))


def get(connection_string: str, registration_id: str) -> Any:
    return _new(connection_string).enrollment.get(registration_id)


def delete(connection_string: str, registration_id: str, if_match: str | None = None) -> None:
    _new(connection_string).enrollment.delete(registration_id, **_if_match(if_match))


def attestation(connection_string: str, registration_id: str) -> Any:
    return _new(connection_string).enrollment.get_attestation_mechanism(registration_id)


def query(connection_string: str, query: str, page_size: int | None = None) -> list[Any]:
    pages = _new(connection_string).enrollment.query({"query": query}, top=page_size).by_page()
    return [list(page) for page in pages]


def bulk(connection_string: str, mode: str, enrollments: list[Document]) -> Any:
    return _new(connection_string).enrollment.run_bulk_operation({"mode": mode, "enrollments": enrollments})


# azure-iothub-provisioningserviceclient: documents are models, built as its samples build them


@functools.cache
def _old(connection_string: str) -> old.ProvisioningServiceClient:
    return old.ProvisioningServiceClient.create_from_connection_string(connection_string)


def _attestation_model(document: Document) -> old_models.AttestationMechanism:
    mechanism = old_models.AttestationMechanism
    if document["type"] == "tpm":
        return mechanism.create_with_tpm(document["tpm"]["endorsementKey"])
    if document["type"] == "x509":
        certificates = document["x509"]["clientCertificates"]
        secondary = certificates.get("secondary", {}).get("certificate")
        return mechanism.create_with_x509_client_certs(certificates["primary"]["certificate"], secondary)
    keys = document.get("symmetricKey", {})
    symmetric_key = old_models.SymmetricKeyAttestation(
        primary_key=keys.get("primaryKey"), secondary_key=keys.get("secondaryKey")
    )
    return mechanism(type="symmetricKey", symmetric_key=symmetric_key)


def _enrollment_model(document: Document) -> old_models.IndividualEnrollment:
    twin, capabilities = document.get("initialTwin"), document.get("capabilities")
    reprovision = document.get("reprovisionPolicy")
    model = old_models.IndividualEnrollment.create(
        document["registrationId"],
        _attestation_model(document["attestation"]),
        device_id=document.get("deviceId"),
        initial_twin=twin and old_models.InitialTwin.create(twin["tags"], twin["properties"]["desired"]),
        provisioning_status=document.get("provisioningStatus", "enabled"),
        device_capabilities=capabilities and old_models.DeviceCapabilities.create(capabilities["iotEdge"]),
        reprovision_policy=reprovision
        and old_models.ReprovisionPolicy(
            update_hub_assignment=reprovision["updateHubAssignment"],
            migrate_device_data=reprovision["migrateDeviceData"],
        ),
        allocation_policy=document.get("allocationPolicy"),
        iot_hubs=document.get("iotHubs"),
    )
    model.etag = document.get("etag")
    return model


def _wire(model: Any) -> Document:
    return dict(model.as_dict(key_transformer=full_restapi_key_transformer))


def _enrollment_document(model: old_models.IndividualEnrollment) -> Document:
    # The SDK wraps the twin in a class that its own serializer does not know.
    twin, model.initial_twin = model.initial_twin, None
    document = _wire(model)
    model.initial_twin = twin
    if twin is not None:
        document["initialTwin"] = {"tags": twin.tags, "properties": {"desired": twin.desired_properties}}
    return document


def old_put(connection_string: str, enrollment: Document, if_match: str | None = None) -> Document:
    model = _enrollment_model(enrollment)
    model.etag = if_match
    return _enrollment_document(_old(connection_string).create_or_update(model))


def old_put_back(connection_string: str, registration_id: str) -> Document:
    client = _old(connection_string)
    return _enrollment_document(client.create_or_update(client.get_individual_enrollment(registration_id)))


def old_get(connection_string: str, registration_id: str) -> Document:
    return _enrollment_document(_old(connection_string).get_individual_enrollment(registration_id))


def old_delete(connection_string: str, registration_id: str, if_match: str | None = None) -> None:
    _old(connection_string).delete_individual_enrollment_by_param(registration_id, if_match)


def old_attestation(connection_string: str, registration_id: str) -> Document:
    return _wire(_old(connection_string).get_individual_enrollment_attestation_mechanism(registration_id))


def old_query(connection_string: str, query: str, page_size: int | None = None) -> list[list[Document]]:
    specification = old.QuerySpecification(query)
    pages = _old(connection_string).create_individual_enrollment_query(specification, page_size)
    return [[_enrollment_document(model) for model in page] for page in pages]


def old_bulk(connection_string: str, mode: str, enrollments: list[Document]) -> Document:
    operation = old.BulkEnrollmentOperation(mode, [_enrollment_model(item) for item in enrollments])
    return _wire(_old(connection_string).run_bulk_operation(operation))


# azure-iot-hub


@functools.cache
def _hub(connection_string: str) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(connection_string)


def hub_get_device(connection_string: str, device_id: str) -> Document:
    return _wire(_hub(connection_string).get_device(device_id))


def hub_create_device(connection_string: str, device: Document) -> Document:
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


def hub_update_device(connection_string: str, device: Document, etag: str | None = None) -> Document:
    keys = device["authentication"]["symmetricKey"]
    return _wire(
        _hub(connection_string).update_device_with_sas(
            device["deviceId"], etag, keys["primaryKey"], keys["secondaryKey"], device["status"]
        )
    )


def hub_delete_device(connection_string: str, device_id: str, etag: str | None = None) -> None:
    _hub(connection_string).delete_device(device_id, etag)


def hub_list_devices(connection_string: str, top: int | None = None) -> list[Document]:
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


def hub_bulk(connection_string: str, mode: str, devices: list[Document]) -> Document:
    models = [_import_model(device, mode) for device in devices]
    return _wire(_hub(connection_string).bulk_create_or_update_devices(models))


def hub_get_twin(connection_string: str, device_id: str) -> Document:
    return _wire(_hub(connection_string).get_twin(device_id))


def _twin_model(patch: Document) -> Twin:
    return Twin(tags=patch.get("tags"), properties=TwinProperties(desired=patch.get("properties", {}).get("desired")))


def hub_update_twin(connection_string: str, device_id: str, patch: Document, etag: str | None = None) -> Document:
    return _wire(_hub(connection_string).update_twin(device_id, _twin_model(patch), etag))


def hub_replace_twin(connection_string: str, device_id: str, twin: Document, etag: str | None = None) -> Document:
    return _wire(_hub(connection_string).replace_twin(device_id, _twin_model(twin), etag))


def ping() -> str:
    return sys.version


OPERATIONS: dict[str, Callable[..., Any]] = {
    "ping": ping,
    "new.put": put,
    "new.get": get,
    "new.delete": delete,
    "new.attestation": attestation,
    "new.query": query,
    "new.bulk": bulk,
    "old.put": old_put,
    "old.put_back": old_put_back,
    "old.get": old_get,
    "old.delete": old_delete,
    "old.attestation": old_attestation,
    "old.query": old_query,
    "old.bulk": old_bulk,
    "hub.get_device": hub_get_device,
    "hub.create_device": hub_create_device,
    "hub.update_device": hub_update_device,
    "hub.delete_device": hub_delete_device,
    "hub.list_devices": hub_list_devices,
    "hub.bulk": hub_bulk,
    "hub.get_twin": hub_get_twin,
    "hub.update_twin": hub_update_twin,
    "hub.replace_twin": hub_replace_twin,
}


def _described(error: Exception) -> Document:
    cause = error.cause if isinstance(error, old.ProvisioningServiceError) else error
    description = {"name": type(error).__name__, "message": str(error), "status": None, "body": None}
    response = getattr(cause, "response", None)
    if isinstance(cause, HttpResponseError) and response is not None:
        description |= {"status": response.status_code, "body": response.text()}
    elif isinstance(cause, HttpOperationError) and response is not None:
        description |= {"status": response.status_code, "body": response.text}
    return description


def _answer(line: str) -> Document:
    request = json.loads(line)
    try:
        result = OPERATIONS[request["operation"]](**request["arguments"])
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what the test wants to see
        return {"id": request["id"], "error": _described(error)}
    return {"id": request["id"], "result": result}


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
