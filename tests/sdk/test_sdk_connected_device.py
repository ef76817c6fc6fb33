"""A device goes on to the hub that it was assigned, with the key that it registered with: telemetry, twin, methods,
messages, reconnecting; with one worker and with two."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sdk_documents import new_key, symmetric_key_enrollment
from sdk_drivers import NODE_WIRES, PYTHON_WIRES, SdkError, Wire
from sdk_monitor import telemetry

from idscope.testing.server_client import ServerClient

Document = dict[str, Any]

HUB_WIRES = [wire for wire in NODE_WIRES + PYTHON_WIRES if wire.transport.startswith("Mqtt")]
HUB_SDKS = ("azure-iothub", "azure-iot-hub")

TWIN: Document = {"tags": {"floor": 3}, "properties": {"desired": {"interval": 10, "nested": {"on": True}}}}
PROPERTIES = {"alert": "yes", "a b/c?": "v=1&w=Grüße %41+#"}
SECONDS = 20.0


@dataclass(frozen=True)
class Device:
    """A provisioned device and the SDK that connects it."""

    deployment: Any
    wire: Wire
    device_id: str
    key: str
    host: str

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **arguments: self.call(operation, **arguments)

    def call(self, operation: str, **arguments: Any) -> Any:
        driver = self.deployment.driver(self.wire)
        return driver.call(f"connected.{operation}", device_id=self.device_id, **arguments)

    def open(self, key: str | None = None) -> None:
        """Connect, and subscribe to all that comes from the hub."""
        self.call("connect", host=self.host, key=key or self.key, **self.wire.arguments())
        self.call("listen")

    @contextmanager
    def opened(self) -> Iterator[None]:
        self.open()
        yield
        self.call("close")


@pytest.fixture(scope="module", params=[1, 2], ids=["one-worker", "two-workers"])
def deployment(request: pytest.FixtureRequest, deploy: Any) -> Any:
    """A server with one worker, and one with two."""
    return deploy(workers=request.param)


@pytest.fixture(params=HUB_WIRES, ids=str)
def hub_wire(request: pytest.FixtureRequest) -> Wire:
    """Each device SDK over each transport on which the hub takes devices."""
    assert isinstance(request.param, Wire)
    return request.param


@pytest.fixture
def client(deployment: Any) -> Iterator[ServerClient]:
    with ServerClient(deployment.ready) as client:
        yield client


@pytest.fixture
def provision(deployment: Any, new_id: Callable[[], str]) -> Callable[[Wire], Device]:
    """Registers a new device over a wire; it is not connected to its hub yet."""

    def make(wire: Wire) -> Device:
        registration_id, key = new_id(), new_key()
        keys = {"primaryKey": key, "secondaryKey": new_key()}
        deployment.service().put(symmetric_key_enrollment(registration_id, keys, initialTwin=TWIN))
        state = deployment.register(registration_id, key, wire)
        return Device(deployment, wire, state["deviceId"], key, state["assignedHub"])

    return make


@pytest.fixture
def away(provision: Callable[[Wire], Device], hub_wire: Wire) -> Device:
    """A device that is provisioned and not connected."""
    return provision(hub_wire)


@pytest.fixture
def device(away: Device) -> Iterator[Device]:
    """A connected device."""
    with away.opened():
        yield away


def send_to(client: ServerClient, device: Device, body: bytes, message_id: str = "m1", **properties: str) -> None:
    """A cloud-to-device message by the hub's REST."""
    headers = {"iothub-messageid": message_id} | {f"iothub-app-{name}": value for name, value in properties.items()}
    target = f"/devices/{device.device_id}/messages/devicebound?api-version=2021-04-12"
    answer = client.request("POST", target, body, headers, authorization=client.hub_token())
    assert answer.status == 204, answer


def await_state(device: Device, state: str) -> None:
    """Until the device's identity says so."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if identity(device)["connectionState"] == state:
            return
    raise AssertionError(f"not {state}: {identity(device)}")


def identity(device: Device) -> Document:
    return dict(device.deployment.hub(HUB_SDKS[0], "get_device", device_id=device.device_id))


def command(*arguments: str, ready: Any) -> str:
    """The `idscope` command line on the running server."""
    where = ("--data-directory", str(ready.document["data_directory"]))
    done = subprocess.run(
        [sys.executable, "-m", "idscope", *arguments, *where], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# telemetry


def test_telemetry_is_seen_by_the_monitor(client: ServerClient, device: Device) -> None:
    device.send(body='{"t":21.5}', message_id="t-1", properties=PROPERTIES)
    device.send(body='{"t":22}', message_id="t-2", properties={})

    first, second = telemetry(client, device.device_id, 2)

    assert (first["deviceId"], first["body"], first["properties"]) == (device.device_id, '{"t":21.5}', PROPERTIES)
    assert first["systemProperties"]["messageId"] == "t-1"
    assert first["systemProperties"]["contentType"] == "application/json"
    assert first["systemProperties"]["contentEncoding"] == "utf-8"
    assert (second["body"], second["properties"]) == ('{"t":22}', {})
    assert second["sequence"] > first["sequence"]


# twin


def test_the_twin_goes_both_ways(device: Device) -> None:
    hub = device.deployment.hub
    assert without_version(device.twin()["desired"]) == TWIN["properties"]["desired"]

    device.report(patch={"firmware": {"version": "1.0"}, "gone": 1})
    device.report(patch={"firmware": {"state": "ok"}, "gone": None})

    expected = {"firmware": {"version": "1.0", "state": "ok"}}
    for sdk in HUB_SDKS:
        assert without_dollars(hub(sdk, "get_twin", device_id=device.device_id)["properties"]["reported"]) == expected
    assert without_version(device.twin()["reported"]) == expected


@pytest.mark.parametrize("sdk", HUB_SDKS)
def test_a_desired_property_is_pushed(device: Device, sdk: str) -> None:
    if device.wire.sdk == "node":
        # quirk: its first event is the whole twin that it read.
        assert device.next_desired()["interval"] == 10

    patch = {"properties": {"desired": {"interval": 60, "nested": {"on": None, "off": [1]}}}}
    device.deployment.hub(sdk, "update_twin", device_id=device.device_id, patch=patch, etag="*")

    pushed = device.next_desired()
    assert without_version(pushed) == patch["properties"]["desired"]
    assert pushed["$version"] == 2
    assert without_version(device.twin()["desired"]) == {"interval": 60, "nested": {"off": [1]}}


def test_what_was_desired_meanwhile_is_in_the_twin(away: Device) -> None:
    with away.opened():
        pass
    patch = {"properties": {"desired": {"interval": 61}}}
    away.deployment.hub(HUB_SDKS[0], "update_twin", device_id=away.device_id, patch=patch, etag="*")

    with away.opened():
        assert away.twin()["desired"]["interval"] == 61


def without_dollars(collection: Document) -> Document:
    return {name: value for name, value in collection.items() if not name.startswith("$")}


def without_version(collection: Document) -> Document:
    assert isinstance(collection["$version"], int)
    return {name: value for name, value in collection.items() if name != "$version"}


# methods


@pytest.mark.parametrize("sdk", HUB_SDKS)
def test_a_method_is_answered(device: Device, sdk: str) -> None:
    for payload in ({"seconds": 5}, [1, None], "text"):
        result = device.deployment.hub(sdk, "invoke_method", device_id=device.device_id, method="echo", payload=payload)

        assert result == {"status": 207, "payload": {"name": "echo", "payload": payload}}


@pytest.mark.parametrize("sdk", HUB_SDKS)
def test_a_device_that_has_left_is_shown_so_and_cannot_be_asked(away: Device, sdk: str) -> None:
    with away.opened():
        await_state(away, "Connected")
    await_state(away, "Disconnected")

    with pytest.raises(SdkError, match="DeviceNotOnline") as refused:
        away.deployment.hub(sdk, "invoke_method", device_id=away.device_id, method="echo", payload={})

    assert refused.value.status == 404


# messages


def test_a_message_reaches_the_device(client: ServerClient, device: Device) -> None:
    send_to(client, device, b"turn on", "m-1", colour="red", note="a b/c")

    message = device.next_message()

    assert message == {"body": "turn on", "message_id": "m-1", "properties": {"colour": "red", "note": "a b/c"}}


def test_messages_wait_for_a_device_that_is_away(client: ServerClient, away: Device) -> None:
    for number in range(3):
        send_to(client, away, b"waits", f"m-{number}")

    with away.opened():
        assert [away.next_message()["message_id"] for _ in range(3)] == ["m-0", "m-1", "m-2"]


def test_the_command_line_watches_and_sends(deployment: Any, provision: Callable[[Wire], Device]) -> None:
    device = provision(HUB_WIRES[-1])
    with device.opened():
        device.send(body='{"t":1}', message_id="t-1", properties={"alert": "yes"})
        shown = command(
            *("hub", "monitor", "--device", device.device_id, "--from-start", "--count", "1", "--json"),
            ready=deployment.ready,
        )
        command("hub", "send", device.device_id, "hello", ready=deployment.ready)

        assert json.loads(shown)["properties"] == {"alert": "yes"}
        assert device.next_message()["body"] == "hello"


# connecting


def test_a_wrong_key_does_not_connect(away: Device) -> None:
    with pytest.raises(SdkError) as refused:
        away.open(new_key())

    assert refused.value.name in {"UnauthorizedError", "CredentialError"}


@pytest.mark.parametrize("python_wire", PYTHON_WIRES, ids=str)
def test_quirk_python_connects_again_without_subscribing(
    client: ServerClient, provision: Callable[[Wire], Device], python_wire: Wire
) -> None:
    device = provision(python_wire)
    with device.opened():
        device.disconnect()
        send_to(client, device, b"waits")
        device.connect_again()

        assert device.next_message()["body"] == "waits"
        assert device.deployment.hub(
            HUB_SDKS[0], "invoke_method", device_id=device.device_id, method="echo", payload=None
        )


def test_devices_come_back_after_a_restart(deployment: Any, provision: Callable[[Wire], Device]) -> None:
    devices = [provision(wire) for wire in HUB_WIRES]
    for device in devices:
        device.open()

    deployment.server.restart()

    with ServerClient(deployment.ready) as client:
        for device in devices:
            # Each SDK connects again by itself, and the hub waits for the device that it is told to ask.
            result = deployment.hub(
                HUB_SDKS[1],
                "invoke_method",
                device_id=device.device_id,
                method="echo",
                payload=1,
                connect_seconds=60,
            )
            assert result["status"] == 207
            send_to(client, device, b"again")
            assert device.next_message()["body"] == "again"
            device.send(body="{}", message_id="t", properties={})
            assert telemetry(client, device.device_id, 1)[0]["body"] == "{}"
            device.close()
