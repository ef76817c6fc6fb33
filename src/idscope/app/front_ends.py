"""Owns which front end stands on which address and port, and what each of them is given.
It must not know how a listener listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from idscope.app.ground import Ground
from idscope.app.use_cases import UseCases
from idscope.directory import Directory
from idscope.frontends.amqp.claims import AmqpUseCases
from idscope.frontends.amqp.front_end import AmqpFrontEnd
from idscope.frontends.http.attempts_api import ATTEMPT_OPERATIONS
from idscope.frontends.http.control_plane_api import CONTROL_PLANE_OPERATIONS
from idscope.frontends.http.device_api import DEVICE_OPERATIONS, DeviceUseCases
from idscope.frontends.http.front_end import HttpFrontEnd
from idscope.frontends.http.hub_api import HUB_OPERATIONS
from idscope.frontends.http.hub_monitor_api import HUB_MONITOR_OPERATIONS
from idscope.frontends.http.hub_traffic_api import HUB_TRAFFIC_OPERATIONS
from idscope.frontends.http.limits import HttpLimits
from idscope.frontends.http.operations import Api, Operation
from idscope.frontends.http.operator_api import (
    OPERATOR_OPERATIONS,
    PLAIN_OPERATIONS,
    HubTraffic,
    OperatorUseCases,
)
from idscope.frontends.http.router import Router
from idscope.frontends.http.service_api import NAMED_SERVICE_OPERATIONS, SERVICE_OPERATIONS
from idscope.frontends.mqtt.front_end import MqttFrontEnd
from idscope.frontends.mqtt.hub import HubMqtt
from idscope.frontends.mqtt.provisioning import Provisioning, ProvisioningOptions
from idscope.frontends.websocket.endpoints import WebSocketEndpoints
from idscope.settings import Settings
from idscope.storage import Store

PUBLIC_OPERATIONS: Final[tuple[Operation, ...]] = (
    *DEVICE_OPERATIONS,
    *SERVICE_OPERATIONS,
    *HUB_OPERATIONS,
    *HUB_TRAFFIC_OPERATIONS,
)
OPERATOR_LISTENER_OPERATIONS: Final[tuple[Operation, ...]] = (
    *OPERATOR_OPERATIONS,
    *HUB_MONITOR_OPERATIONS,
    *ATTEMPT_OPERATIONS,
    *CONTROL_PLANE_OPERATIONS,
    *NAMED_SERVICE_OPERATIONS,
)


class Place(msgspec.Struct, frozen=True):
    """A front end and where it is to be reached; `plain` is without TLS."""

    factory: Callable[[], asyncio.Protocol]
    address: str
    port: int
    plain: bool = False


class FrontEnds:
    """The front ends of one worker; made inside its event loop."""

    def __init__(self, ground: Ground, store: Store, directory: Directory, use_cases: UseCases) -> None:
        self._ground = ground
        self._directory = directory
        self._use_cases = use_cases
        self._operator = OperatorUseCases(
            store,
            directory,
            ground.clock,
            PUBLIC_OPERATIONS + OPERATOR_LISTENER_OPERATIONS,
            ground.clock.now(),
            HubTraffic(use_cases.telemetry, use_cases.delivery.messages),
            use_cases.explanations,
        )
        self.hub = HubMqtt(
            use_cases.device_access, use_cases.delivery, use_cases.twins, use_cases.telemetry, ground.clock
        )
        self._mqtt = MqttFrontEnd(self._provisioning(), hub=self.hub.open)
        self._amqp = AmqpFrontEnd(self._amqp_use_cases())
        self._amqp_in_websocket = AmqpFrontEnd(self._amqp_use_cases(), wire="AmqpWs")

    def places(self) -> Iterator[Place]:
        """Every listener that this worker needs."""
        endpoints, settings = self._ground.endpoints, self._ground.settings
        public = self._public_http()
        for address in endpoints.addresses:
            yield Place(public.protocol_factory, address, endpoints.https_port)
            if endpoints.mqtt_port:
                yield Place(self._mqtt.protocol_factory, address, endpoints.mqtt_port)
            if endpoints.amqp_port:
                yield Place(self._amqp.protocol_factory, address, endpoints.amqp_port)
        operator = self._operator_http(OPERATOR_LISTENER_OPERATIONS)
        yield Place(operator.protocol_factory, endpoints.operator_address, endpoints.operator_port)
        if settings.operator_plain_port:
            plain = self._operator_http(PLAIN_OPERATIONS)
            port = settings.operator_plain_port
            yield Place(plain.protocol_factory, endpoints.operator_address, port, plain=True)

    def _public_http(self) -> HttpFrontEnd:
        app = self._router(
            PUBLIC_OPERATIONS,
            {
                Api.DEVICE: DeviceUseCases(self._use_cases.workflow, self._use_cases.retry_after),
                Api.SERVICE: self._use_cases.service,
                Api.HUB: self._use_cases.hub,
            },
        )
        websocket = WebSocketEndpoints(
            {"mqtt": self._mqtt.protocol_factory, "AMQPWSB10": self._amqp_in_websocket.protocol_factory}
        )
        limits = _http_limits(self._ground.settings)
        return HttpFrontEnd(app, clock=self._ground.clock, limits=limits, websocket=websocket)

    def _operator_http(self, operations: tuple[Operation, ...]) -> HttpFrontEnd:
        app = self._router(
            operations,
            {
                Api.OPERATOR: self._operator,
                Api.CONTROL_PLANE: self._use_cases.control_plane,
                Api.NAMED_SERVICE: self._use_cases.service,
            },
        )
        return HttpFrontEnd(app, clock=self._ground.clock, limits=_http_limits(self._ground.settings))

    def _router(self, operations: tuple[Operation, ...], use_cases: Mapping[Api, Any]) -> Router:
        return Router(
            operations,
            use_cases,
            directory=self._directory,
            clock=self._ground.clock,
            admin_token=self._ground.admin_token,
            strict_api_versions=self._ground.settings.strict_api_versions,
        )

    def _provisioning(self) -> Provisioning:
        settings = self._ground.settings
        options = ProvisioningOptions(
            retry_after=self._use_cases.retry_after,
            strict_api_versions=settings.strict_api_versions,
            connack_bad_credentials=settings.mqtt_connack_bad_credentials,
        )
        return Provisioning(self._use_cases.workflow, self._ground.clock, options)

    def _amqp_use_cases(self) -> AmqpUseCases:
        return AmqpUseCases(
            self._use_cases.workflow,
            self._ground.clock,
            self._use_cases.retry_after,
            self._ground.settings.strict_api_versions,
        )


def _http_limits(settings: Settings) -> HttpLimits:
    return HttpLimits(
        body_bytes=max(operation.body_limit for operation in PUBLIC_OPERATIONS),  # the router knows each row's own
        head_seconds=settings.header_seconds,
        body_seconds=settings.body_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
    )
