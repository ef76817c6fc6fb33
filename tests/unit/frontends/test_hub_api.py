"""The hub's service API without a socket: headers, statuses and bodies as observed, and the oddities of its clients."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from idscope.clock import SystemClock
from idscope.directory import EmbeddedHub, Right
from idscope.embedded_hub import BulkRegistry, Identities, Twins
from idscope.errors import (
    HubArgumentInvalid,
    HubDeviceExists,
    HubDeviceNotFound,
    HubPreconditionFailed,
)
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.hub_api import HUB_OPERATIONS, HubUseCases
from idscope.frontends.http.openapi import openapi_document
from idscope.frontends.http.operations import Api, Operation, Request
from idscope.model.api_version import parse_api_version
from idscope.model.document import decode
from idscope.security.sealing import Sealer
from idscope.testing import MemoryStore

HUB = EmbeddedHub("hub", ("127.0.0.1",), {})
ROWS: dict[tuple[str, str], Operation] = {(row.method, row.path): row for row in HUB_OPERATIONS}


class Client:
    """Calls the handlers as the router does, each in an event loop of its own."""

    def __init__(self) -> None:
        store, clock = MemoryStore(), SystemClock()
        identities, twins = Identities(store, Sealer(b"k" * 32), clock), Twins(store, clock)
        self.use_cases = HubUseCases(identities, twins, BulkRegistry(identities, twins))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        device_id: str = "d1",
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        row = ROWS[method, path]
        raw = b"" if body is None else msgspec.json.encode(body)
        request = Request(
            operation=row,
            path={"id": device_id} if "{id}" in path else {},
            query=query or {},
            headers=headers or {},
            api_version=parse_api_version("2021-04-12"),
            tracking_id="t",
            host="127.0.0.1",
            peer="127.0.0.1",
            body=decode(raw, row.request_type) if raw else None,
            hub=HUB,
        )

        async def within() -> Answer:
            async with asyncio.timeout(20):
                return await row.handler(self.use_cases, request)

        return asyncio.run(within())

    def create(self, device_id: str = "d1", **members: Any) -> dict[str, Any]:
        body = {"deviceId": device_id, **members}
        created: dict[str, Any] = shown(self.call("PUT", "/devices/{id}", body, device_id=device_id))
        return created


def shown(answer: Answer) -> Any:
    return msgspec.json.decode(answer.body)


@pytest.fixture
def client() -> Client:
    return Client()


def test_put_answers_with_a_quoted_etag_header(client: Client) -> None:
    answer = client.call("PUT", "/devices/{id}", {"deviceId": "d1"})
    assert answer.status == 200
    assert dict(answer.headers) == {b"etag": f'"{shown(answer)["etag"]}"'.encode()}


def test_quirk_put_answers_times_without_z_and_get_with_it(client: Client) -> None:
    times = ("connectionStateUpdatedTime", "statusUpdatedTime", "lastActivityTime")
    put = client.create()
    got = shown(client.call("GET", "/devices/{id}"))
    assert [put[name] for name in times] == ["0001-01-01T00:00:00"] * 3
    assert [got[name] for name in times] == ["0001-01-01T00:00:00Z"] * 3


def test_keys_are_shown_to_who_may_read_the_registry(client: Client) -> None:
    put, got = client.create(), shown(client.call("GET", "/devices/{id}"))
    assert got["authentication"] == put["authentication"]
    assert len(base64.b64decode(got["authentication"]["symmetricKey"]["primaryKey"])) == 32


@pytest.mark.parametrize("if_match", ["", '""', None])
def test_quirk_dotnet_creates_with_an_empty_if_match(client: Client, if_match: str | None) -> None:
    headers = {} if if_match is None else {"if-match": if_match}
    assert client.call("PUT", "/devices/{id}", {"deviceId": "d1"}, headers=headers).status == 200
    with pytest.raises(HubDeviceExists):
        client.call("PUT", "/devices/{id}", {"deviceId": "d1"}, headers=headers)


@pytest.mark.parametrize("form", ["*", '"*"', "{}", '"{}"', 'W/"{}"'])
def test_every_spelling_of_if_match_updates(client: Client, form: str) -> None:
    etag = client.create()["etag"]
    headers = {"if-match": form.format(etag)}
    updated = shown(client.call("PUT", "/devices/{id}", {"status": "disabled"}, headers=headers))
    assert updated["status"] == "disabled"
    assert updated["etag"] != etag


@pytest.mark.parametrize(("method", "body"), [("PUT", {"status": "disabled"}), ("DELETE", None)])
def test_a_stale_etag_changes_nothing(client: Client, method: str, body: Any) -> None:
    client.create()
    with pytest.raises(HubPreconditionFailed):
        client.call(method, "/devices/{id}", body, headers={"if-match": '"MQ=="'})
    assert shown(client.call("GET", "/devices/{id}"))["status"] == "enabled"


def test_an_if_match_that_is_no_etag_is_refused_in_hub_words(client: Client) -> None:
    with pytest.raises(HubArgumentInvalid):
        client.call("DELETE", "/devices/{id}", headers={"if-match": "x" * 2000})


def test_updating_or_deleting_what_is_not_there_is_not_found(client: Client) -> None:
    for method, body in (("PUT", {}), ("DELETE", None)):
        with pytest.raises(HubDeviceNotFound):
            client.call(method, "/devices/{id}", body, headers={"if-match": "*"})


def test_delete_answers_204_without_a_body(client: Client) -> None:
    client.create()
    assert client.call("DELETE", "/devices/{id}", headers={"if-match": '"*"'}) == Answer(204)
    with pytest.raises(HubDeviceNotFound):
        client.call("GET", "/devices/{id}")


@pytest.mark.parametrize("row", [("PUT", "/devices/{id}"), ("PUT", "/twins/{id}"), ("PATCH", "/twins/{id}")])
def test_the_ids_in_path_and_body_must_be_the_same(client: Client, row: tuple[str, str]) -> None:
    client.create()
    with pytest.raises(HubArgumentInvalid):
        client.call(*row, {"deviceId": "D1"}, headers={"if-match": "*"})


def test_quirk_node_sends_back_read_only_members_of_any_type(client: Client) -> None:
    """The defaults of azure-iothub's Device class."""
    node_device = {
        "deviceId": "d1",
        "generationId": None,
        "etag": None,
        "connectionState": "disconnected",
        "status": "enabled",
        "statusReason": None,
        "connectionStateUpdatedTime": None,
        "statusUpdatedTime": None,
        "lastActivityTime": None,
        "cloudToDeviceMessageCount": "0",
        "capabilities": {},
        "authentication": {
            "symmetricKey": {"primaryKey": None, "secondaryKey": None},
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
            "type": "sas",
        },
    }
    assert client.call("PUT", "/devices/{id}", node_device).status == 200
    assert client.call("PUT", "/devices/{id}", node_device, headers={"if-match": '"*"'}).status == 200


def test_what_was_read_can_be_put_back(client: Client) -> None:
    client.create(capabilities={"iotEdge": True}, status="disabled", statusReason="new")
    got = client.call("GET", "/devices/{id}")
    put = client.call("PUT", "/devices/{id}", shown(got), headers={"if-match": shown(got)["etag"]})
    changed = {"etag", "connectionStateUpdatedTime", "statusUpdatedTime", "lastActivityTime"}
    assert {k: v for k, v in shown(put).items() if k not in changed} == {
        k: v for k, v in shown(got).items() if k not in changed
    }


@pytest.mark.parametrize(("top", "count"), [("3", 3), ("0", 12), ("-1", 12), ("x", 12), ("1001", 12), ("9" * 50, 12)])
def test_top_is_taken_between_1_and_1000(client: Client, top: str, count: int) -> None:
    for number in range(12):
        client.create(f"d{number}")
    assert len(shown(client.call("GET", "/devices", query={"top": top}))) == count


def test_list_without_top_shows_documents_with_keys(client: Client) -> None:
    created = client.create()
    [listed] = shown(client.call("GET", "/devices"))
    assert listed["authentication"] == created["authentication"]


def test_bulk_answers_200_when_all_went_well(client: Client) -> None:
    answer = client.call("POST", "/devices", [{"id": "d1", "importMode": "create"}])
    assert (answer.status, shown(answer)) == (200, {"isSuccessful": True, "errors": [], "warnings": []})


def test_bulk_answers_400_with_the_result_and_the_header_that_dotnet_needs(client: Client) -> None:
    client.create()
    answer = client.call("POST", "/devices", [{"id": "d1", "importMode": "create"}])
    assert answer.status == 400
    assert dict(answer.headers) == {b"iothub-errorcode": b"BulkRegistryOperationFailure"}
    [error] = shown(answer)["errors"]
    assert error == {
        "deviceId": "d1",
        "errorCode": "DeviceAlreadyExists",
        "errorStatus": "A device with ID 'd1' is already registered.",
        "moduleId": None,
        "operation": "create",
    }


def test_twins_have_no_etag_header(client: Client) -> None:
    client.create()
    calls = (
        client.call("GET", "/twins/{id}"),
        client.call("PATCH", "/twins/{id}", {"tags": {"a": 1}}, headers={"if-match": '"*"'}),
        client.call("PUT", "/twins/{id}", {"tags": {"b": 2}}, headers={"if-match": '"AAAAAAAAAAI="'}),
    )
    assert [answer.headers for answer in calls] == [(), (), ()]
    assert shown(calls[-1])["tags"] == {"b": 2}


def test_a_stale_twin_etag_is_refused(client: Client) -> None:
    client.create()
    for method in ("PUT", "PATCH"):
        with pytest.raises(HubPreconditionFailed):
            client.call(method, "/twins/{id}", {"tags": {"a": 1}}, headers={"if-match": '"AAAAAAAAAAk="'})


def test_a_query_pages_until_there_is_no_continuation(client: Client) -> None:
    wanted = sorted(f"d{number}" for number in range(25))
    for name in wanted:
        client.create(name)
    met: list[str] = []
    headers = {"x-ms-max-item-count": "10"}
    for size in (10, 10, 5):
        answer = client.call("POST", "/devices/query", {"query": "SELECT * FROM devices"}, headers=headers)
        page, sent = shown(answer), dict(answer.headers)
        assert (len(page), sent[b"x-ms-item-type"]) == (size, b"twin")
        met += [twin["deviceId"] for twin in page]
        if b"x-ms-continuation" in sent:
            headers["x-ms-continuation"] = sent[b"x-ms-continuation"].decode()
    assert b"x-ms-continuation" not in sent  # Node goes on for as long as the header is there
    assert met == wanted


def test_a_full_last_page_has_no_continuation(client: Client) -> None:
    client.create()
    headers = {"x-ms-max-item-count": "1"}
    answer = client.call("POST", "/devices/query", {"query": "SELECT * FROM devices"}, headers=headers)
    assert b"x-ms-continuation" not in dict(answer.headers)


def test_a_query_for_one_device(client: Client) -> None:
    client.create()
    for device_id, count in (("d1", 1), ("d2", 0)):
        query = {"query": f"SELECT * FROM devices WHERE deviceId = '{device_id}'"}
        assert len(shown(client.call("POST", "/devices/query", query))) == count


@pytest.mark.parametrize("token", ["%%%", base64.b64encode(b"\xff").decode()])
def test_a_foreign_continuation_is_refused(client: Client, token: str) -> None:
    with pytest.raises(HubArgumentInvalid):
        client.call("POST", "/devices/query", {"query": "SELECT * FROM devices"}, headers={"x-ms-continuation": token})


def test_statistics(client: Client) -> None:
    client.create("a")
    client.create("b", status="disabled")
    assert shown(client.call("GET", "/statistics/devices")) == {
        "totalDeviceCount": 2,
        "enabledDeviceCount": 1,
        "disabledDeviceCount": 1,
    }
    assert shown(client.call("GET", "/statistics/service")) == {"connectedDeviceCount": 0}


def test_rights_are_those_published() -> None:
    """The registry is read and written with its two rights; twins take ServiceConnect (devguide-device-twins)."""
    wanted = {
        ("GET", "/devices/{id}"): Right.REGISTRY_READ,
        ("PUT", "/devices/{id}"): Right.REGISTRY_WRITE,
        ("DELETE", "/devices/{id}"): Right.REGISTRY_WRITE,
        ("GET", "/devices"): Right.REGISTRY_READ,
        ("POST", "/devices"): Right.REGISTRY_WRITE,
        ("POST", "/devices/query"): Right.REGISTRY_READ,
        ("GET", "/twins/{id}"): Right.SERVICE_CONNECT,
        ("PUT", "/twins/{id}"): Right.SERVICE_CONNECT,
        ("PATCH", "/twins/{id}"): Right.SERVICE_CONNECT,
        ("GET", "/statistics/devices"): Right.REGISTRY_READ,
        ("GET", "/statistics/service"): Right.REGISTRY_READ,
    }
    assert {key: row.right for key, row in ROWS.items()} == wanted
    assert all(row.api is Api.HUB for row in HUB_OPERATIONS)


def test_the_rows_make_an_openapi_document() -> None:
    document = openapi_document(HUB_OPERATIONS, "hub", "2021-04-12")
    assert document is not None
    assert set(document["paths"]) == {path for _, path in ROWS}
