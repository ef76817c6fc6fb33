"""The servers, SDK processes and documents of the SDK tests."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sdk_documents import new_key
from sdk_drivers import HTTPS, WIRES, Driver, ServiceSdk, Wire, node_driver, python_driver

from idscope.testing.certificates import CertificateMaker
from idscope.testing.server import Ready, ServerProcess
from idscope.testing.server_client import ServerClient

SERVICE_SDKS = (
    "azure-iot-provisioning-service",
    "azure-iot-deviceprovisioning",
    "azure-iothub-provisioningserviceclient",
)
HUB_SDKS = ("azure-iothub", "azure-iot-hub")

Document = dict[str, Any]

_numbers = itertools.count(1)


@dataclass
class Deployment:
    """One running server and, started when first asked for, the SDK processes that trust its CA."""

    server: ServerProcess
    directory: Path
    stack: ExitStack
    node_environment: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> Ready:
        return self.server.ready

    @cached_property
    def node(self) -> Driver:
        driver = node_driver(self.ready.ca_file, self.directory / "node.log", **self.node_environment)
        return self.stack.enter_context(driver)

    @cached_property
    def python(self) -> Driver:
        return self.stack.enter_context(python_driver(self.ready.ca_file, self.directory / "python.log"))

    def service(self, name: str = SERVICE_SDKS[0]) -> ServiceSdk:
        """The named service SDK with the owner's connection string."""
        if name == SERVICE_SDKS[0]:
            return ServiceSdk(name, self.node, "service", self.ready.service_connection_string)
        module = "service" if name == SERVICE_SDKS[1] else "older_service"
        return ServiceSdk(name, self.python, module, self.ready.service_connection_string)

    def service_with(self, name: str, **changes: str) -> ServiceSdk:
        """The named service SDK with parts of its connection string replaced."""
        sdk = self.service(name)
        parts = dict(part.split("=", 1) for part in sdk.connection_string.split(";")) | changes
        return replace(sdk, connection_string=";".join(f"{name}={value}" for name, value in parts.items()))

    def driver(self, wire: Wire) -> Driver:
        """The process that holds the wire's SDK."""
        return self.node if wire.sdk == "node" else self.python

    def register(self, registration_id: str, key: str | None = None, wire: Wire = HTTPS, **options: Any) -> Document:
        """Register a device; the registration result."""
        arguments = self._registration(registration_id, key, wire) | options
        return dict(self.driver(wire).call("device.register", **arguments))

    def register_all(self, devices: Sequence[tuple[str, str, Wire]]) -> list[Any]:
        """Register (id, key, wire) at once; results and errors in the order of the devices."""
        asked = [(self.driver(device[2]), ("device.register", self._registration(*device))) for device in devices]
        return [driver.answers(ids)[0] for driver, ids in [(driver, driver.ask([call])) for driver, call in asked]]

    def _registration(self, registration_id: str, key: str | None, wire: Wire) -> Document:
        place = {"host": self.ready.host_name, "id_scope": self.ready.id_scope}
        return {**place, **wire.arguments(), "registration_id": registration_id, "key": key}

    def upload(self, name: str, maker: CertificateMaker) -> None:
        """A CA certificate, said to be verified, by the published operation."""
        path = (
            "/subscriptions/any/resourceGroups/any/providers/Microsoft.Devices/provisioningServices/idscope"
            f"/certificates/{name}?api-version=2022-12-12"
        )
        certificate = maker.certificate.public_bytes(Encoding.PEM).decode()
        body = {"properties": {"certificate": certificate, "isVerified": True}}
        with ServerClient(self.ready) as client:
            answer = client.operator("PUT", path, body, token=self.ready.document["admin_token"])
        assert answer.status in {200, 201}, answer

    def hub(self, name: str, operation: str, **arguments: Any) -> Any:
        """An operation of the named hub SDK with the hub owner's connection string."""
        driver = self.node if name == HUB_SDKS[0] else self.python
        return driver.call(f"hub.{operation}", connection_string=self.ready.hub_connection_string, **arguments)


Deploy = Callable[..., Deployment]


@pytest.fixture(scope="module")
def deploy(serve: Callable[..., ServerProcess], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """Starts a server with its SDK processes; they live until the module's last test."""
    deployments: list[Deployment] = []
    with ExitStack() as stack:

        def start(node_environment: dict[str, str] | None = None, **options: Any) -> Deployment:
            directory = tmp_path_factory.mktemp("sdk")
            deployments.append(Deployment(serve(**options), directory, stack, node_environment or {}))
            return deployments[-1]

        yield start
    for deployment in deployments:
        assert "Traceback" not in deployment.server.log_text()
        assert '"level": "error"' not in deployment.server.log_text()


@pytest.fixture(scope="module")
def deployment(deploy: Deploy) -> Deployment:
    """The module's own server with its defaults."""
    return deploy()


@pytest.fixture(params=SERVICE_SDKS)
def service(request: pytest.FixtureRequest, deployment: Deployment) -> ServiceSdk:
    """Each of the three service SDKs."""
    return deployment.service(request.param)


@pytest.fixture(params=SERVICE_SDKS[:2])
def listing_service(request: pytest.FixtureRequest, deployment: Deployment) -> ServiceSdk:
    """The service SDKs that can list registration states: the older Python one's two layers disagree about how."""
    return deployment.service(request.param)


@pytest.fixture(params=WIRES, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    """Each device SDK over each of its transports."""
    return cast("Wire", request.param)


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Registration ids that no other test uses."""
    return lambda: f"sdk-device-{next(_numbers)}-{secrets.token_hex(4)}"


@pytest.fixture
def registration_id(new_id: Callable[[], str]) -> str:
    return new_id()


@pytest.fixture
def keys() -> Document:
    """A symmetric key pair as an operator makes one."""
    return {"primaryKey": new_key(), "secondaryKey": new_key()}


@pytest.fixture
def hub_host_name(deployment: Deployment) -> str:
    return deployment.ready.hub_host_name
