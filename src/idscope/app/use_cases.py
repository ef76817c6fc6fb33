"""Owns the use cases of one worker, wired to the store, the hubs and each other. It must not know any wire."""

from __future__ import annotations

from typing import Final

from idscope.app.bootstrap import server_key
from idscope.app.ground import Ground
from idscope.attestation import AttestationRules, TpmNonces
from idscope.control_plane import CaCertificates
from idscope.directory import Directory, LinkedHub
from idscope.embedded_hub import BulkRegistry, Delivery, DeviceAccess, Identities, Telemetry, Twins
from idscope.enrollments import GROUP, INDIVIDUAL, Enrollments, RegistrationStates
from idscope.errors import NoHubAvailable
from idscope.frontends.http.control_plane_api import ControlPlaneUseCases
from idscope.frontends.http.hub_api import HubUseCases
from idscope.frontends.http.service_api import ServiceUseCases
from idscope.hubs.connector import HubConnector
from idscope.hubs.embedded import EmbeddedHubConnector
from idscope.registration import AttemptRecorder, Explanations, OperationIds, RegistrationWorkflow, WorkflowSettings
from idscope.settings import Settings
from idscope.storage import Store

_AZURE_RETRY_AFTER: Final = 3  # observed


class UseCases:
    """Everything that a front end may call; `build` makes it over an open store and a loaded directory."""

    def __init__(self, ground: Ground, store: Store, directory: Directory, key: bytes) -> None:
        kept = (store, ground.sealer, ground.clock)
        self.retry_after = retry_after(ground.settings)
        self.delivery = Delivery(store, ground.clock, ground.control)
        self.telemetry = Telemetry(store, ground.clock)
        self.device_access = DeviceAccess(*kept, lambda: directory.snapshot)
        self._identities = Identities(*kept, self.delivery.identity_changed)
        self.twins = Twins(store, ground.clock, self.delivery.nudge)
        bulk = BulkRegistry(self._identities, self.twins)
        self.hub = HubUseCases(self._identities, self.twins, bulk, self.delivery)
        self.service = ServiceUseCases(
            Enrollments(INDIVIDUAL, *kept), Enrollments(GROUP, *kept), RegistrationStates(store)
        )
        self.control_plane = ControlPlaneUseCases(directory, CaCertificates(store, ground.clock))
        self.workflow = RegistrationWorkflow(
            store=store,
            sealer=ground.sealer,
            directory=directory,
            connectors=self._connector,
            clock=ground.clock,
            attempts=_attempts(store, ground.settings),
            operation_ids=OperationIds(key),
            tpm_nonces=TpmNonces(key),
            settings=_workflow_settings(ground.settings),
        )

        self.explanations = Explanations(store, self.workflow.contexts, directory)

    @classmethod
    async def build(cls, ground: Ground, store: Store, directory: Directory) -> UseCases:
        """Raises StoreUnavailable, CannotOpen."""
        return cls(ground, store, directory, await server_key(store, ground.sealer))

    async def close(self, seconds: float) -> None:
        """Finish what is under way within so many seconds, and write what waits."""
        await self.workflow.close(seconds)
        await self.telemetry.close()
        await self.delivery.close()

    def _connector(self, hub: LinkedHub) -> HubConnector:
        """The registry of connectors: one visible place where a hub's kind finds its implementation."""
        if hub.connector == "embedded":
            return EmbeddedHubConnector(hub.hub_id, hub.host_name, self._identities)
        raise NoHubAvailable(f"No connector is called {hub.connector!r}.", lasting=True)


def retry_after(settings: Settings) -> int:
    """Seconds until a device asks again how its registration stands."""
    return _AZURE_RETRY_AFTER if settings.azure_timing else settings.retry_after_seconds


def _attempts(store: Store, settings: Settings) -> AttemptRecorder:
    return AttemptRecorder(
        store, kept_per_id=settings.attempts_kept_per_id, kept_unknown=settings.attempts_kept_unknown
    )


def _workflow_settings(settings: Settings) -> WorkflowSettings:
    return WorkflowSettings(
        assign_wait=settings.assign_wait_seconds,
        azure_timing=settings.azure_timing,
        hub_limit=settings.hub_retry_limit_seconds,
        failed_group_tries=settings.failed_group_tries_per_minute,
        attestation=AttestationRules(
            refuse_weak_certificates=settings.refuse_weak_certificates,
            x509_registration_id=settings.x509_registration_id,
        ),
    )
