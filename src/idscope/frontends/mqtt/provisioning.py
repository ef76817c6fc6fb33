"""Owns the provisioning service over MQTT: who may connect, what a publish asks, how its answer looks. It must not
decide anything: the workflow does.

CONNECT authenticates. One that names an unknown id scope gets CONNACK 3 (observed), one whose client id is not the
registration id 5 (observed), one whose api-version is none 4 (by choice). Any other refusal is accepted and told to
each publish on its answer's topic, as a JSON body with the trackingId (observed); such a session is short and small.
Two sessions of one client id live beside each other: neither holds anything but its own requests.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
import structlog

from idscope.attestation import Authenticated, Challenge, Claim
from idscope.clock import Clock
from idscope.errors import (
    BodyTooLarge,
    IdscopeError,
    IdScopeNotFound,
    InternalError,
    InvalidArgument,
    RouteNotFound,
    Unauthorized,
    UnsupportedApiVersion,
)
from idscope.frontends.http.answers import error_body, new_tracking_id
from idscope.frontends.http.operations import DEVICE_BODY_LIMIT
from idscope.frontends.mqtt.addresses import ANSWERS, DeviceCall, Verb, answer_topic, parse_call
from idscope.frontends.mqtt.side import ConnectRefused, Outlet, Peer, SessionSide
from idscope.frontends.mqtt.user_name import ProvisioningName
from idscope.frontends.registrations import operation_status, read_registration, register_request
from idscope.model.api_version import ApiVersion, check_published, parse_api_version
from idscope.protocols.mqtt import Connect, ConnectCode, Delivered, Publish, Subscribe, Unsubscribe
from idscope.registration import RegistrationResult, RegistrationWorkflow

_log = structlog.get_logger(__name__)

_PACKET_BYTES: Final = DEVICE_BODY_LIMIT + 32 * 1024  # so that a body just too large is told so
_THROTTLED: Final = 429  # from here on clients ask again, after `retry-after` (observed)


class ProvisioningOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`retry_after` in seconds, 2 to 5, the only range that all clients treat alike.

    `connack_bad_credentials`: refuse a bad credential at CONNECT, with CONNACK 5. Otherwise such a client is connected
    for `refused_seconds`, may publish `refused_publishes` times, packets of `refused_packet_bytes`; and there are
    `refused_sessions` of them at once, the rest gets CONNACK 5.
    """

    retry_after: int = 2
    strict_api_versions: bool = False
    connack_bad_credentials: bool = False
    refused_seconds: float = 60.0
    refused_publishes: int = 10
    refused_packet_bytes: int = 16 * 1024
    refused_sessions: int = 1000


class Provisioning:
    """Opens the sessions of devices that want to be provisioned."""

    def __init__(
        self, workflow: RegistrationWorkflow, clock: Clock, options: ProvisioningOptions | None = None
    ) -> None:
        self.workflow = workflow
        self.clock = clock
        self.options = options or ProvisioningOptions()
        self.refused_sessions = 0

    async def open(self, connect: Connect, name: ProvisioningName, peer: Peer, outlet: Outlet) -> SessionSide:
        """Raises ConnectRefused."""
        version = self._api_version(name)
        if connect.client_id.lower() != name.registration_id.lower():
            raise ConnectRefused(ConnectCode.NOT_AUTHORIZED, "the client id is not the registration id")
        claim = Claim(
            id_scope=name.id_scope,
            registration_id=name.registration_id,
            api_version=version,
            wire=peer.wire,
            peer=peer.address,
            tracking_id=new_tracking_id(),
            sas=connect.password or None,
            chain=peer.chain,
        )
        verdict = await self.judge(claim)
        if isinstance(verdict, Authenticated):
            return ProvisioningSession(self, outlet, verdict)
        return self._refused(verdict, claim, outlet)

    async def judge(self, claim: Claim) -> Authenticated | IdscopeError:
        """The device, or what it is told instead."""
        verdict = await self.workflow.authenticate(claim)
        if isinstance(verdict, Authenticated):
            return verdict
        return Unauthorized() if isinstance(verdict, Challenge) else verdict.error

    def _api_version(self, name: ProvisioningName) -> ApiVersion:
        try:
            version = parse_api_version(name.api_version)
            if self.options.strict_api_versions:
                check_published(version)
        except UnsupportedApiVersion as error:
            raise ConnectRefused(ConnectCode.BAD_USER_NAME_OR_PASSWORD, error.message) from None
        return version

    def _refused(self, error: IdscopeError, claim: Claim, outlet: Outlet) -> SessionSide:
        reason = error.reason or error.message
        if isinstance(error, IdScopeNotFound) or error.status >= 500:
            raise ConnectRefused(ConnectCode.SERVER_UNAVAILABLE, reason)
        if self.options.connack_bad_credentials or self.refused_sessions >= self.options.refused_sessions:
            again = error.status == _THROTTLED  # what is told 5 never comes back
            raise ConnectRefused(ConnectCode.SERVER_UNAVAILABLE if again else ConnectCode.NOT_AUTHORIZED, reason)
        self.refused_sessions += 1
        return RefusedSession(self, outlet, error, claim)


class _Answering(ABC):
    """What both kinds of session do: grant the answers' topic, and answer there."""

    packet_bytes = _PACKET_BYTES
    seconds = math.inf
    restored: Mapping[str, int] = MappingProxyType({})

    def __init__(self, provisioning: Provisioning, outlet: Outlet) -> None:
        self._provisioning = provisioning
        self._outlet = outlet

    async def handle(self, event: Publish | Subscribe | Unsubscribe | Delivered) -> None:
        if isinstance(event, Subscribe):
            self._outlet.grant(event, [text.startswith(ANSWERS) for text, _ in event.filters])
        elif isinstance(event, Publish):
            await self._take(event)

    def closed(self, *, orderly: bool) -> None:  # noqa: B027 - nothing to do unless a kind of session says so
        """Nothing outlives the session."""

    async def _take(self, packet: Publish) -> None:
        self._outlet.acknowledge(packet)  # before the answer: one client takes them in no other order
        call = parse_call(packet.topic)
        if call is None:
            self._outlet.close("a publish to a topic that is not of the provisioning service")
            return
        await self.answer(call, packet.payload)

    @abstractmethod
    async def answer(self, call: DeviceCall, body: bytes) -> None:
        """Say what there is to say on the answer's topic."""

    def _say_error(self, call: DeviceCall, error: IdscopeError, tracking_id: str) -> None:
        _log.debug("refused", tracking_id=tracking_id, code=error.error_code, reason=error.reason or error.message)
        hint = error.retry_after or self._provisioning.options.retry_after
        retry_after = hint if error.status >= _THROTTLED else None
        body = error_body(error, tracking_id, self._provisioning.clock.now())
        self._say(call, error.status, body, retry_after)

    def _say(self, call: DeviceCall, status: int, body: bytes, retry_after: int | None) -> None:
        if not self._outlet.publish(answer_topic(status, call.request_id, retry_after), body):
            _log.debug("an answer found no subscription, or a client that does not keep up", status=status)


class ProvisioningSession(_Answering):
    """A device that proved itself at CONNECT."""

    def __init__(self, provisioning: Provisioning, outlet: Outlet, device: Authenticated) -> None:
        super().__init__(provisioning, outlet)
        self._device = device

    async def answer(self, call: DeviceCall, body: bytes) -> None:
        tracking_id = new_tracking_id()
        try:
            result = await self._ask(call, body, tracking_id)
        except IdscopeError as error:
            self._say_error(call, error, tracking_id)
        except Exception:  # noqa: BLE001 - the one catch-all: no request is left without an answer
            _log.exception("a request failed inside the server", tracking_id=tracking_id)
            self._say_error(call, InternalError(), tracking_id)
        else:
            retry_after = None if result.finished else self._provisioning.options.retry_after
            self._say(call, 200 if result.finished else 202, operation_status(result), retry_after)

    async def _ask(self, call: DeviceCall, body: bytes, tracking_id: str) -> RegistrationResult:
        """Only register has a body: of a poll it is ignored, where clients send blanks or repeat themselves."""
        claim = self._device.claim
        device = self._device.asking(tracking_id, claim.api_version)
        if len(body) > DEVICE_BODY_LIMIT:
            raise BodyTooLarge(f"The request body is larger than {DEVICE_BODY_LIMIT} bytes.")
        if call.verb is Verb.REGISTER:
            registration = read_registration(body.strip(), claim.registration_id)
            return await self._provisioning.workflow.register(device, register_request(tracking_id, registration))
        if call.verb is Verb.UNKNOWN:
            raise RouteNotFound
        if not call.operation_id:
            raise InvalidArgument("The operationId is missing.")
        return await self._provisioning.workflow.look_up(device, call.operation_id)


class RefusedSession(_Answering):
    """A device that did not: whatever it asks, it is told why, with the trackingId under which that is kept.

    One that was throttled is judged again when it asks again: clients do so on the same connection (observed).
    """

    def __init__(self, provisioning: Provisioning, outlet: Outlet, error: IdscopeError, claim: Claim) -> None:
        super().__init__(provisioning, outlet)
        self.packet_bytes = provisioning.options.refused_packet_bytes
        self.seconds = provisioning.options.refused_seconds
        self._error = error
        self._claim = claim
        self._publishes = 0
        self._admitted: ProvisioningSession | None = None

    async def answer(self, call: DeviceCall, body: bytes) -> None:
        if self._admitted is None and self._publishes and self._error.status == _THROTTLED:
            await self._judge_again()
        if self._admitted is not None:
            await self._admitted.answer(call, body)
            return
        self._publishes += 1
        self._say_error(call, self._error, self._claim.tracking_id)
        if self._publishes >= self._provisioning.options.refused_publishes:
            self._outlet.close("a refused device that keeps asking")

    async def _judge_again(self) -> None:
        self._claim = msgspec.structs.replace(self._claim, tracking_id=new_tracking_id())
        verdict = await self._provisioning.judge(self._claim)
        if isinstance(verdict, Authenticated):
            self._admitted = ProvisioningSession(self._provisioning, self._outlet, verdict)
        else:
            self._error = verdict

    def closed(self, *, orderly: bool) -> None:  # noqa: ARG002 - however it went
        self._provisioning.refused_sessions -= 1
