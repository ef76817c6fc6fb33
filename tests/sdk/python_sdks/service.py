"""Owns azure-iot-deviceprovisioning, whose documents are plain JSON; must not know what a test expects."""

from __future__ import annotations

import functools
from typing import Any

from azure.iot.deviceprovisioning import DeviceProvisioningClient

Document = dict[str, Any]

ID_NAMES = {"individual": "registrationId", "group": "enrollmentGroupId"}
BULK_MEMBERS = {"individual": "enrollments", "group": "enrollmentGroups"}


@functools.cache
def _client(connection_string: str) -> DeviceProvisioningClient:
    return DeviceProvisioningClient.from_connection_string(connection_string)


def _operations(connection_string: str, kind: str) -> Any:
    client = _client(connection_string)
    return {"individual": client.enrollment, "group": client.enrollment_group}[kind]


def _if_match(etag: str | None) -> Document:
    return {} if etag is None else {"if_match": etag}


def put(connection_string: str, kind: str, enrollment: Document, if_match: str | None = None) -> Any:
    operations = _operations(connection_string, kind)
    return operations.create_or_update(enrollment[ID_NAMES[kind]], enrollment, **_if_match(if_match))


def get(connection_string: str, kind: str, id: str) -> Any:  # noqa: A002
    return _operations(connection_string, kind).get(id)


def delete(connection_string: str, kind: str, id: str, if_match: str | None = None) -> None:  # noqa: A002
    _operations(connection_string, kind).delete(id, **_if_match(if_match))


def attestation(connection_string: str, kind: str, id: str) -> Any:  # noqa: A002
    return _operations(connection_string, kind).get_attestation_mechanism(id)


def query(connection_string: str, kind: str, query: str, page_size: int | None = None) -> list[Any]:
    pages = _operations(connection_string, kind).query({"query": query}, top=page_size).by_page()
    return [list(page) for page in pages]


def bulk(connection_string: str, kind: str, mode: str, enrollments: list[Document]) -> Any:
    operation = {"mode": mode, BULK_MEMBERS[kind]: enrollments}
    return _operations(connection_string, kind).run_bulk_operation(operation)


def get_state(connection_string: str, id: str) -> Any:  # noqa: A002
    return _client(connection_string).device_registration_state.get(id)


def delete_state(connection_string: str, id: str, if_match: str | None = None) -> None:  # noqa: A002
    _client(connection_string).device_registration_state.delete(id, **_if_match(if_match))


def query_states(connection_string: str, id: str, page_size: int | None = None) -> list[Any]:  # noqa: A002
    pages = _client(connection_string).device_registration_state.query(id, top=page_size).by_page()
    return [list(page) for page in pages]
