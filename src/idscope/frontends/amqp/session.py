"""Owns what one AMQP connection asks of the workflow: whose links they are, which request, which answer. It must not
know bytes, sockets or time limits, nor decide anything: the workflow does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from idscope.attestation import Authenticated, Challenge, Claim
from idscope.errors import IdscopeError, InternalError, InvalidArgument, Throttled, Unauthorized
from idscope.frontends.amqp.claims import AmqpUseCases, Peer, authenticate
from idscope.frontends.amqp.engine import Engine
from idscope.frontends.amqp.failures import Failure, failure_of, retry_hint
from idscope.frontends.amqp.limits import AmqpLimits
from idscope.frontends.amqp.links import EngineLink, Incoming
from idscope.frontends.amqp.messages import read_message, write_message
from idscope.frontends.amqp.provisioning import (
    GET_REGISTRATION,
    REGISTER,
    Identity,
    Request,
    link_version,
    parse_address,
    read_request,
)
from idscope.frontends.http.answers import new_tracking_id
from idscope.frontends.registrations import operation_status, read_registration, register_request
from idscope.model.api_version import ApiVersion
from idscope.model.document import encode, given
from idscope.registration import RegistrationResult

_log = logging.getLogger(__name__)

_NO_CERTIFICATE: Final = "IotHubUnauthorizedAccess"  # the text of the one refusal at OPEN that was observed


class ProvisioningSession:
    """One connection after its SASL layer, or without one: then the first link says whose certificate it is.

    With a `refusal` there is no device, and each request is told so. A device that was throttled has a `claim` that is
    judged again with each request: clients ask again on the same connection (observed). `changed` is called when there
    is something to send that no fed byte caused.
    """

    def __init__(
        self,
        use_cases: AmqpUseCases,
        limits: AmqpLimits,
        peer: Peer,
        device: Authenticated | None,
        changed: Callable[[], None],
        refusal: Failure | None = None,
        claim: Claim | None = None,
    ) -> None:
        self.engine = Engine(self, limits)
        self._use_cases = use_cases
        self._peer = peer
        self._device = device
        self._changed = changed
        self._asked_to_open = False
        self._closing = False
        self._refusal = refusal
        self._claim = claim
        self._waiting: list[EngineLink] = []
        self._versions: dict[EngineLink, ApiVersion] = {}
        self._answers: EngineLink | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_known(self) -> bool:
        """Whether the device proved itself and the connection is open."""
        return self._device is not None and self.engine.is_open

    @property
    def is_busy(self) -> bool:
        return bool(self._tasks)

    def feed(self, data: bytes) -> None:
        self.engine.feed(data)
        # Not before all that came along is read: where it holds a link already (one client sends everything at once),
        # a refused certificate is told in the OPEN itself.
        if self._asked_to_open and not self._waiting and not self.engine.ended:
            self.engine.open()

    def finish(self) -> None:
        """Close once the requests under way are answered."""
        self._closing = True
        if not self._tasks:
            self.engine.close(Failure("amqp:connection:forced", "The server stops."))

    def release(self) -> None:
        """The connection is lost. What the workflow has begun goes on without it."""
        self.engine.release()
        self._waiting.clear()
        self._versions.clear()
        self._answers = None

    # What the engine tells

    def on_open(self) -> None:
        if self._device is None and self._refusal is None and not self._peer.chain:
            self.engine.refuse(self._failure(Unauthorized(_NO_CERTIFICATE), new_tracking_id()))
        self._asked_to_open = True

    def on_link(self, link: EngineLink) -> None:
        if self._device is not None or self._refusal is not None:
            self._admit(link)
            return
        self._waiting.append(link)
        if len(self._waiting) == 1:
            self._spawn(self._prove(link))

    def on_message(self, link: EngineLink, incoming: Incoming, encoded: bytes) -> None:
        if self._device is not None:
            self._spawn(self._serve(self._device, link, incoming, encoded))
        elif self._claim is not None and not self._tasks:
            self._spawn(self._serve_if_admitted(self._claim, link, incoming, encoded))
        elif self._refusal is not None:
            incoming.reject(self._refusal)
            link.finish()

    def on_closed(self) -> None:
        self._waiting.clear()

    # Links

    async def _prove(self, link: EngineLink) -> None:
        """By the certificate: the link's address says for whom it is meant.

        Once the OPEN is answered a refusal is told to the requests: all clients read it there, while on a sudden CLOSE
        or a refused link one waits for half a minute (observed).
        """
        proved, tracking_id = await self._judge_certificate(link)
        waiting, self._waiting = self._waiting, []
        if isinstance(proved, Authenticated):
            self._device = proved
        else:
            self._refusal = self._failure(proved, tracking_id)
            if not self.engine.is_open:
                self.engine.refuse(self._refusal)
        self.engine.open()
        for one in waiting:
            self._admit(one)

    async def _judge_certificate(self, link: EngineLink) -> tuple[Authenticated | IdscopeError, str]:
        """Also the trackingId under which a refusal is kept."""
        try:
            claim = self._peer.claim(*self._read_link(link))
        except IdscopeError as error:
            return error, new_tracking_id()
        return await self._authenticate(claim), claim.tracking_id

    async def _authenticate(self, claim: Claim) -> Authenticated | IdscopeError:
        """Outside of SASL there is no challenge: who would need one is refused."""
        verdict = await authenticate(self._use_cases, claim)
        return Unauthorized() if isinstance(verdict, Challenge) else verdict

    def _read_link(self, link: EngineLink) -> tuple[Identity, ApiVersion]:
        identity = parse_address(link.address)
        return identity, link_version(link.properties, strict=self._use_cases.strict_api_versions)

    def _admit(self, link: EngineLink) -> None:
        """Both of a device's links are its own."""
        try:
            identity, version = self._read_link(link)
            claim = self._claim if self._device is None else self._device.claim
            if claim is not None and not identity.is_same(Identity(claim.id_scope, claim.registration_id)):
                raise Unauthorized(reason="a link of another device")
        except IdscopeError as error:
            link.refuse(self._failure(error, new_tracking_id()))
            return
        self._versions[link] = version
        if link.carries_answers:
            self._answers = link
        link.accept()

    # Requests

    async def _serve_if_admitted(self, claim: Claim, link: EngineLink, incoming: Incoming, encoded: bytes) -> None:
        claim = msgspec.structs.replace(claim, tracking_id=new_tracking_id())
        verdict = await self._authenticate(claim)
        if isinstance(verdict, Authenticated):
            self._device, self._refusal, self._claim = verdict, None, None
            await self._serve(verdict, link, incoming, encoded)
            return
        if not isinstance(verdict, Throttled):
            self._claim = None  # that is its last word
        self._refusal = self._failure(verdict, claim.tracking_id)
        incoming.reject(self._refusal)
        link.finish()

    async def _serve(self, device: Authenticated, link: EngineLink, incoming: Incoming, encoded: bytes) -> None:
        tracking_id = new_tracking_id()
        try:
            answer = await self._answer(device.asking(tracking_id, self._versions[link]), encoded, tracking_id)
        except IdscopeError as error:
            incoming.reject(self._failure(error, tracking_id))
        except Exception:  # noqa: BLE001  the catch-all beneath the one place that turns errors into conditions
            _log.exception("a request failed, trackingId %s", tracking_id)
            incoming.reject(self._failure(InternalError(), tracking_id))
        else:
            incoming.accept()
            self.engine.stage()  # clients see the outcome before the answer
            if self._answers is not None:
                self._answers.send(answer)
        link.finish()

    async def _answer(self, device: Authenticated, encoded: bytes, tracking_id: str) -> bytes:
        """The message that answers this one. Raises IdscopeError."""
        received = read_message(encoded)
        request = read_request(received.properties, received.body)
        if self._answers is None or not self._answers.alive:
            raise InvalidArgument("There is no link to answer on.")
        if self._answers.unsent >= self.engine.limits.requests:
            raise InvalidArgument("The answers before this one are not taken.")
        result = await self._carry_out(device, request, tracking_id)
        hint = {} if result.finished else retry_hint(self._use_cases.retry_after)
        body = encode(result.state) if request.operation == GET_REGISTRATION else operation_status(result)
        return write_message(received.correlation_id, hint, body)

    async def _carry_out(self, device: Authenticated, request: Request, tracking_id: str) -> RegistrationResult:
        workflow = self._use_cases.workflow
        if request.operation == REGISTER:
            registration = read_registration(request.body, device.claim.registration_id)
            return await workflow.register(device, register_request(tracking_id, registration))
        if request.operation == GET_REGISTRATION:
            registration = read_registration(request.body, device.claim.registration_id)
            return await workflow.look_up(device, None, csr=given(registration.csr))
        return await workflow.look_up(device, request.operation_id)

    def _failure(self, error: IdscopeError, tracking_id: str) -> Failure:
        return failure_of(error, tracking_id, self._use_cases.clock.now(), self._use_cases.retry_after)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a connection failed", exc_info=error)
            self.engine.refuse(Failure("amqp:internal-error", InternalError.default_message))
        if self._closing and not self._tasks:
            self.finish()
        self._changed()
