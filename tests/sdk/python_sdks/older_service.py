"""Owns azure-iothub-provisioningserviceclient, whose documents are models, built as its samples build them.

It must not know what a test expects.
"""

from __future__ import annotations

import functools
from typing import Any

import provisioningserviceclient as sdk
from msrest.serialization import full_restapi_key_transformer
from provisioningserviceclient import models

Document = dict[str, Any]


@functools.cache
def _client(connection_string: str) -> sdk.ProvisioningServiceClient:
    return sdk.ProvisioningServiceClient.create_from_connection_string(connection_string)


def _attestation_model(document: Document) -> models.AttestationMechanism:
    mechanism = models.AttestationMechanism
    if document["type"] == "tpm":
        return mechanism.create_with_tpm(document["tpm"]["endorsementKey"])
    if document["type"] == "x509":
        return _x509_model(document["x509"])
    keys = document.get("symmetricKey", {})
    symmetric_key = models.SymmetricKeyAttestation(
        primary_key=keys.get("primaryKey"), secondary_key=keys.get("secondaryKey")
    )
    return mechanism(type="symmetricKey", symmetric_key=symmetric_key)


def _x509_model(document: Document) -> models.AttestationMechanism:
    ((kind, slots),) = document.items()
    mechanism = models.AttestationMechanism
    if kind == "caReferences":
        return mechanism.create_with_x509_ca_refs(slots["primary"], slots.get("secondary"))
    create = {
        "clientCertificates": mechanism.create_with_x509_client_certs,
        "signingCertificates": mechanism.create_with_x509_signing_certs,
    }[kind]
    return create(slots["primary"]["certificate"], slots.get("secondary", {}).get("certificate"))


def _shared_members(document: Document) -> Document:
    twin, reprovision = document.get("initialTwin"), document.get("reprovisionPolicy")
    return {
        "attestation": _attestation_model(document["attestation"]),
        "initial_twin": twin and models.InitialTwin.create(twin["tags"], twin["properties"]["desired"]),
        "provisioning_status": document.get("provisioningStatus", "enabled"),
        "reprovision_policy": reprovision
        and models.ReprovisionPolicy(
            update_hub_assignment=reprovision["updateHubAssignment"],
            migrate_device_data=reprovision["migrateDeviceData"],
        ),
        "allocation_policy": document.get("allocationPolicy"),
        "iot_hubs": document.get("iotHubs"),
    }


def _individual_model(document: Document) -> models.IndividualEnrollment:
    capabilities = document.get("capabilities")
    model = models.IndividualEnrollment.create(
        document["registrationId"],
        device_id=document.get("deviceId"),
        device_capabilities=capabilities and models.DeviceCapabilities.create(capabilities["iotEdge"]),
        **_shared_members(document),
    )
    model.etag = document.get("etag")
    return model


def _group_model(document: Document) -> models.EnrollmentGroup:
    return models.EnrollmentGroup.create(document["enrollmentGroupId"], **_shared_members(document))


def _wire(model: Any) -> Document:
    return dict(model.as_dict(key_transformer=full_restapi_key_transformer))


def _enrollment_document(model: Any) -> Document:
    # The SDK wraps the twin in a class that its own serializer does not know.
    twin, model.initial_twin = model.initial_twin, None
    document = _wire(model)
    model.initial_twin = twin
    if twin is not None:
        document["initialTwin"] = {"tags": twin.tags, "properties": {"desired": twin.desired_properties}}
    return document


MODELS = {"individual": _individual_model, "group": _group_model}


def put(connection_string: str, kind: str, enrollment: Document, if_match: str | None = None) -> Document:
    model = MODELS[kind](enrollment)
    model.etag = if_match
    return _enrollment_document(_client(connection_string).create_or_update(model))


def put_back(connection_string: str, kind: str, id: str) -> Document:  # noqa: A002
    return _enrollment_document(_client(connection_string).create_or_update(_read(connection_string, kind, id)))


def get(connection_string: str, kind: str, id: str) -> Document:  # noqa: A002
    return _enrollment_document(_read(connection_string, kind, id))


def _read(connection_string: str, kind: str, id: str) -> Any:  # noqa: A002
    client = _client(connection_string)
    return {"individual": client.get_individual_enrollment, "group": client.get_enrollment_group}[kind](id)


def delete(connection_string: str, kind: str, id: str, if_match: str | None = None) -> None:  # noqa: A002
    client = _client(connection_string)
    deletes = {
        "individual": client.delete_individual_enrollment_by_param,
        "group": client.delete_enrollment_group_by_param,
    }
    deletes[kind](id, if_match)


def attestation(connection_string: str, kind: str, id: str) -> Document:  # noqa: A002
    client = _client(connection_string)
    reads = {
        "individual": client.get_individual_enrollment_attestation_mechanism,
        "group": client.get_enrollment_group_attestation_mechanism,
    }
    return _wire(reads[kind](id))


def query(connection_string: str, kind: str, query: str, page_size: int | None = None) -> list[list[Document]]:
    client = _client(connection_string)
    queries = {"individual": client.create_individual_enrollment_query, "group": client.create_enrollment_group_query}
    pages = queries[kind](sdk.QuerySpecification(query), page_size)
    return [[_enrollment_document(model) for model in page] for page in pages]


def bulk(connection_string: str, kind: str, mode: str, enrollments: list[Document]) -> Document:
    operation = sdk.BulkEnrollmentOperation(mode, [MODELS[kind](item) for item in enrollments])
    return _wire(_client(connection_string).run_bulk_operation(operation))


def get_state(connection_string: str, id: str) -> Document:  # noqa: A002
    return _wire(_client(connection_string).get_registration_state(id))


def delete_state(connection_string: str, id: str, if_match: str | None = None) -> None:  # noqa: A002
    _client(connection_string).delete_registration_state_by_param(id, if_match)


def query_states(connection_string: str, id: str, page_size: int | None = None) -> list[list[Document]]:  # noqa: A002
    pages = _client(connection_string).create_registration_state_query(id, page_size)
    return [[_wire(model) for model in page] for page in pages]
