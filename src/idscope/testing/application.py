"""Owns a whole server without sockets: the real use cases and the real router over a store in memory.
It must not stand in for anything that a test is about, except the store, the hub and the clock it is given."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import quote

import msgspec

from idscope.app.bootstrap import HUB_OWNER_POLICY, OWNER_POLICY, ensure_state, server_key
from idscope.attestation import TpmNonces
from idscope.clock import MICROSECONDS
from idscope.control_plane import CaCertificates
from idscope.directory import Directory, LinkedHub
from idscope.embedded_hub import BulkRegistry, Identities, Twins
from idscope.enrollments import GROUP, INDIVIDUAL, Enrollments, RegistrationStates
from idscope.frontends.http.attempts_api import ATTEMPT_OPERATIONS
from idscope.frontends.http.control_plane_api import CONTROL_PLANE_OPERATIONS, ControlPlaneUseCases
from idscope.frontends.http.device_api import DEVICE_OPERATIONS, DeviceUseCases
from idscope.frontends.http.hub_api import HUB_OPERATIONS, HubUseCases
from idscope.frontends.http.incoming import IncomingRequest, Peer
from idscope.frontends.http.operations import Api
from idscope.frontends.http.operator_api import OperatorUseCases
from idscope.frontends.http.router import Router
from idscope.frontends.http.service_api import NAMED_SERVICE_OPERATIONS, SERVICE_OPERATIONS, ServiceUseCases
from idscope.hubs.connector import HubConnector
from idscope.hubs.embedded import EmbeddedHubConnector
from idscope.registration import AttemptRecorder, Explanations, OperationIds, RegistrationWorkflow, WorkflowSettings
from idscope.secret import Secret
from idscope.security.sealing import KEY_BYTES, Sealer
from idscope.settings import Bootstrap
from idscope.storage import Store
from idscope.testing.manual_clock import ManualClock
from idscope.testing.memory_store import MemoryStore

ADDRESS: Final = "127.0.0.1"
ID_SCOPE: Final = "0ne00ABCDEF"
ADMIN_TOKEN: Final = "an-admin-token"  # noqa: S105 - a test's
SERVICE_RESOURCE: Final = (
    "/subscriptions/91d12660-3dec-467a-be2a-213b5544ddc0/resourceGroups/group/providers/Microsoft.Devices"
    "/provisioningServices/idscope"
)


class Response(msgspec.Struct, frozen=True):
    """`headers` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def sas_token(
    resource: str, key: str, expiry: int, key_name: str | None = None, *, encode_resource: bool = True
) -> str:
    """A shared access signature as Microsoft documents it, written a second time for tests."""
    text = quote(resource, safe="") if encode_resource else resource
    mac = hmac.new(base64.b64decode(key), f"{text}\n{expiry}".encode(), hashlib.sha256).digest()
    token = f"SharedAccessSignature sr={text}&sig={quote(base64.b64encode(mac), safe='')}&se={expiry}"
    return token if key_name is None else f"{token}&skn={key_name}"


class Application:
    """A server in two lines: `async with Application() as app: await app.request("GET", "/enrollments/x")`."""

    def __init__(
        self,
        *,
        store: Store | None = None,
        clock: ManualClock | None = None,
        settings: WorkflowSettings | None = None,
        connector: HubConnector | None = None,
        hub_host_names: tuple[str, ...] = (),
        strict_api_versions: bool = False,
    ) -> None:
        self.store = store or MemoryStore()
        self.clock = clock or ManualClock()
        self.sealer = Sealer(bytes(KEY_BYTES))
        self.directory = Directory(self.store, self.sealer, (ADDRESS, "localhost"))
        self.settings = settings or WorkflowSettings()
        self.identities = Identities(self.store, self.sealer, self.clock)
        self.twins = Twins(self.store, self.clock)
        self.peer = "127.0.0.9"  # whose requests these are
        self._connector = connector
        self._hub_host_names = hub_host_names
        self._strict = strict_api_versions

    async def __aenter__(self) -> Self:
        bootstrap = Bootstrap(id_scope=ID_SCOPE)
        await ensure_state(self.store, self.sealer, self.clock, bootstrap, self._hub_host_names)
        await self.directory.load()
        self.attempts = AttemptRecorder(self.store, interval=0.001)
        self.workflow = await self.new_workflow()
        self.router = self._router(self.workflow)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.workflow.close(1)
        await self.store.close()

    async def new_workflow(self) -> RegistrationWorkflow:
        """Another worker's workflow over the same store."""
        key = await server_key(self.store, self.sealer)
        return RegistrationWorkflow(
            store=self.store,
            sealer=self.sealer,
            directory=self.directory,
            connectors=self._connectors,
            clock=self.clock,
            attempts=self.attempts,
            operation_ids=OperationIds(key),
            tpm_nonces=TpmNonces(key),
            settings=self.settings,
        )

    def _connectors(self, hub: LinkedHub) -> HubConnector:
        return self._connector or EmbeddedHubConnector(hub.hub_id, hub.host_name, self.identities)

    def _router(self, workflow: RegistrationWorkflow) -> Router:
        service = self._service_use_cases()
        return Router(
            (
                *DEVICE_OPERATIONS,
                *SERVICE_OPERATIONS,
                *HUB_OPERATIONS,
                *CONTROL_PLANE_OPERATIONS,
                *NAMED_SERVICE_OPERATIONS,
                *ATTEMPT_OPERATIONS,
            ),
            {
                Api.OPERATOR: self._operator_use_cases(workflow),
                Api.DEVICE: DeviceUseCases(workflow),
                Api.SERVICE: service,
                Api.NAMED_SERVICE: service,
                Api.HUB: HubUseCases(self.identities, self.twins, BulkRegistry(self.identities, self.twins)),
                Api.CONTROL_PLANE: ControlPlaneUseCases(self.directory, CaCertificates(self.store, self.clock)),
            },
            directory=self.directory,
            clock=self.clock,
            admin_token=Secret(ADMIN_TOKEN),
            strict_api_versions=self._strict,
        )

    def _service_use_cases(self) -> ServiceUseCases:
        kept = (self.store, self.sealer, self.clock)
        return ServiceUseCases(
            Enrollments(INDIVIDUAL, *kept), Enrollments(GROUP, *kept), RegistrationStates(self.store)
        )

    def _operator_use_cases(self, workflow: RegistrationWorkflow) -> OperatorUseCases:
        explanations = Explanations(self.store, workflow.contexts, self.directory)
        now = self.clock.now()
        return OperatorUseCases(self.store, self.directory, self.clock, (), now, explanations=explanations)

    @property
    def expiry(self) -> int:
        """An hour from now, in seconds."""
        return self.clock.now() // MICROSECONDS + 3600

    def service_token(self, policy: str = OWNER_POLICY) -> str:
        key = self.directory.snapshot.services[0].policies[policy].primary_key.reveal()
        return sas_token(ADDRESS, key, self.expiry, policy)

    def hub_token(self, policy: str = HUB_OWNER_POLICY) -> str:
        key = self.directory.snapshot.hubs[0].policies[policy].primary_key.reveal()
        return sas_token(self.directory.snapshot.hubs[0].host_names[0], key, self.expiry, policy)

    def device_token(self, registration_id: str, key: str, *, id_scope: str = ID_SCOPE) -> str:
        return sas_token(f"{id_scope}/registrations/{registration_id}", key, self.expiry, "registration")

    async def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        authorization: str | None = None,
        chain: tuple[bytes, ...] = (),
    ) -> Response:
        """One request through the router; a body that is not bytes is sent as JSON."""
        path, _, query = target.partition("?")
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"host": ADDRESS, **({"content-type": "application/json"} if content else {}), **(headers or {})}
        if authorization is not None:
            sent["authorization"] = authorization
        named = [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()]
        peer = Peer(self.peer, secure=True, chain=chain)
        answer = await self.router(IncomingRequest(method, path.encode(), query.encode(), named, peer, body=content))
        answered = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
        return Response(answer.status, answered, answer.body)

    async def service(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        """A request of the service API by its owner, at api-version 2021-10-01 unless the target names one."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request(method, _versioned(target), body, named, authorization=self.service_token())

    async def hub(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        """A request of the hub's API by its owner, at api-version 2021-04-12 unless the target names one."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        target = _versioned(target, "2021-04-12")
        return await self.request(method, target, body, named, authorization=self.hub_token())

    async def control_plane(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        """A request of the control plane by the operator; `target` is what follows the service's resource. At
        api-version 2022-12-12 unless the target names one."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path = _versioned(f"{SERVICE_RESOURCE}{target}", "2022-12-12")
        return await self.request(method, path, body, named, authorization=f"Bearer {ADMIN_TOKEN}")

    async def operator(self, method: str, target: str, body: Any = None) -> Response:
        """A request of the operator API, with the admin token, once what was attempted is written."""
        await self.attempts.close()
        return await self.request(method, target, body, authorization=f"Bearer {ADMIN_TOKEN}")

    async def enroll(self, registration_id: str, **members: Any) -> Any:
        """An individual enrollment with generated symmetric keys; the answer's document."""
        body = {"registrationId": registration_id, "attestation": {"type": "symmetricKey"}, **members}
        answer = await self.service("PUT", f"/enrollments/{quote(registration_id, safe='')}", body)
        if answer.status != 200:
            raise AssertionError(answer)
        return answer.json()

    async def register(
        self, registration_id: str, key: str, body: Any = None, *, version: str = "2019-03-31"
    ) -> Response:
        """The device's PUT, with a good token made from the key."""
        path = f"/{ID_SCOPE}/registrations/{quote(registration_id, safe='')}/register?api-version={version}"
        token = self.device_token(registration_id, key)
        return await self.request("PUT", path, body, authorization=token)


def _versioned(target: str, version: str = "2021-10-01") -> str:
    if "api-version=" in target:
        return target
    return f"{target}{'&' if '?' in target else '?'}api-version={version}"
