"""Owns one AMQP connection: which layer reads its bytes, how long it may take, how it ends. It must not know TLS or
WebSockets, nor what the links are for.

    HEADER ──── the SASL header ──▶ SASL ──── outcome OK ──▶ OPEN ──── closed by either side ──▶ CLOSED
       │                              ├───── any other ────▶ LINGER ─── in a moment ───────────▶ CLOSED
       ├─── the AMQP header ──▶ OPEN (the client has a certificate, or is refused)
       └─── anything else ──▶ LINGER, told the header that is wanted
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, cast

from idscope.attestation import Authenticated, Challenge, Claim, new_nonce
from idscope.errors import EnrollmentNotFound, IdscopeError, RouteNotFound, Throttled, Unauthorized
from idscope.frontends.amqp.claims import Peer, authenticate, sasl_claim
from idscope.frontends.amqp.failures import Failure, failure_of
from idscope.frontends.amqp.session import ProvisioningSession
from idscope.frontends.deadlines import NEVER
from idscope.protocols.amqp.mechanisms import Presented, TpmKeys, plain, tpm
from idscope.protocols.amqp.sasl import (
    AMQP_HEADER,
    HEADER_SIZE,
    SASL_HEADER,
    Outcome,
    ProtocolViolation,
    SaslServer,
    State,
)

if TYPE_CHECKING:
    from idscope.frontends.amqp.front_end import AmqpFrontEnd

MECHANISMS: Final = {"PLAIN": plain, "TPM": tpm}


class _Phase(Enum):
    """What reads the bytes; the limit in brackets."""

    HEADER = auto()  # [open_seconds, from the connection on]
    SASL = auto()  # [the same]
    OPEN = auto()  # [the same until the device is known, then as the engine says]
    LINGER = auto()  # everything is said, what still comes is thrown away [linger_seconds]
    CLOSED = auto()  # [write_seconds]


class AmqpProtocol(asyncio.Protocol):
    """One connection, over TLS or inside a WebSocket: the transport is asked for `write`, `close`, `abort`,
    `pause_reading`, `resume_reading` and `get_extra_info`, and calls `pause_writing` and `resume_writing`."""

    def __init__(self, front_end: AmqpFrontEnd) -> None:
        self._front_end = front_end
        self._limits = front_end.limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._phase = _Phase.HEADER
        self._header = b""
        self._peer = Peer("", front_end.wire)
        self._sasl: SaslServer | None = None
        self._session: ProvisioningSession | None = None
        self._judging: asyncio.Task[None] | None = None
        self._nonce = new_nonce()
        self._write_paused = False
        self._opened_by = NEVER
        self.deadline = NEVER

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer = Peer(_host(transport.get_extra_info("peername")), self._front_end.wire)
        self._opened_by = self.deadline = self._loop.time() + self._limits.open_seconds
        self._front_end.deadlines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's own signature
        self._phase = _Phase.CLOSED
        self._front_end.deadlines.discard(self)
        session, self._session, self._sasl, self._transport = self._session, None, None, None
        if session is not None:
            session.release()

    def eof_received(self) -> bool:
        """Some clients just drop the connection: nothing waits for an answer then."""
        return False

    def pause_writing(self) -> None:
        self._write_paused = True
        self.deadline = self._loop.time() + self._limits.write_seconds
        if self._transport is not None and self._phase is not _Phase.LINGER:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._transport is not None and self._judging is None:
            self._transport.resume_reading()
        self._flush()

    def shutdown(self) -> None:
        """Finish what is under way, then close."""
        if self._session is not None and self._session.is_known:
            self._session.finish()
            self._flush()
        elif self._phase not in _ENDING:
            self._close()

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.HEADER:
            self._read_header(data)
        elif self._phase is _Phase.SASL:
            self._read_sasl(data)
        elif self._phase is _Phase.OPEN and self._session is not None:
            self._session.feed(data)
            self._flush()

    # The header

    def _read_header(self, data: bytes) -> None:
        self._header += data
        begun = self._header[:HEADER_SIZE]
        if not (SASL_HEADER.startswith(begun) or AMQP_HEADER.startswith(begun)):
            self._write(SASL_HEADER)  # what is spoken here (AMQP 1.0 part 2, section 2.2)
            self._linger()
        elif len(begun) == HEADER_SIZE:
            held, self._header = self._header, b""
            self._take_chain()
            if begun == SASL_HEADER:
                self._phase = _Phase.SASL
                self._sasl = SaslServer(MECHANISMS)
                self._read_sasl(held)
            else:
                self._begin_session(None, held)

    def _take_chain(self) -> None:
        chain = () if self._transport is None else self._transport.get_extra_info("client_certificate_chain", ())
        self._peer = Peer(self._peer.address, self._peer.wire, chain)

    # SASL

    def _read_sasl(self, data: bytes) -> None:
        sasl = self._sasl
        if sasl is None:
            return
        try:
            sasl.receive(data)
        except ProtocolViolation:
            self._linger()
        else:
            self._take_turn(sasl)

    def _take_turn(self, sasl: SaslServer) -> None:
        """Say what there is to say, and judge what was presented or asked for."""
        self._write(sasl.take_output())
        said = sasl.presented or sasl.wanted
        if said is not None and self._judging is None:
            self._judging = self._loop.create_task(self._judge(sasl, said))
            if self._transport is not None:
                self._transport.pause_reading()
        elif sasl.state is State.DONE:
            self._linger()

    async def _judge(self, sasl: SaslServer, said: Presented | TpmKeys) -> None:
        claim: Claim | None = None
        verdict: Authenticated | Challenge | IdscopeError
        try:
            claim = sasl_claim(self._peer, said, self._nonce)
            verdict = await authenticate(self._front_end.use_cases, claim)
        except RouteNotFound:
            verdict = Unauthorized()
        self._judging = None
        if self._transport is None or self._phase is not _Phase.SASL:
            return
        if not self._write_paused:
            self._transport.resume_reading()
        if isinstance(verdict, Challenge):
            self._challenge(sasl, verdict)
        else:
            self._conclude(sasl, verdict, claim)

    def _challenge(self, sasl: SaslServer, challenge: Challenge) -> None:
        try:
            sasl.provide(challenge.activation_blob())
        except ProtocolViolation:
            self._linger()
        else:
            self._take_turn(sasl)

    def _conclude(self, sasl: SaslServer, verdict: Authenticated | IdscopeError, claim: Claim | None) -> None:
        outcome = _outcome(verdict)
        sasl.conclude(outcome)
        self._write(sasl.take_output())
        if outcome is not Outcome.OK:
            self._linger()
            return
        self._sasl = None
        if isinstance(verdict, Authenticated):
            self._begin_session(verdict, sasl.take_rest())
        elif claim is not None:
            use_cases = self._front_end.use_cases
            failure = failure_of(verdict, claim.tracking_id, use_cases.clock.now(), use_cases.retry_after)
            self._begin_session(None, sasl.take_rest(), failure, claim if isinstance(verdict, Throttled) else None)

    # AMQP

    def _begin_session(
        self, device: Authenticated | None, data: bytes, refusal: Failure | None = None, claim: Claim | None = None
    ) -> None:
        self._phase = _Phase.OPEN
        self._session = ProvisioningSession(
            self._front_end.use_cases, self._limits, self._peer, device, self._flush, refusal, claim
        )
        self._session.feed(data)
        self._flush()

    def _flush(self) -> None:
        """Send what the engine has to say, and look at how long it may take now."""
        session = self._session
        if session is None or self._phase is not _Phase.OPEN:
            return
        if not self._write_paused:
            self._write(session.engine.take_output())
        if self._write_paused:
            return
        if session.engine.ended:
            self._linger() if session.engine.has_failed else self._close()
        elif session.engine.is_closing:
            self._linger()
        else:
            self._set_deadline(session)

    def _set_deadline(self, session: ProvisioningSession) -> None:
        self.deadline = self._opened_by
        if session.is_known:
            self.deadline = session.engine.tick(self._loop.time()) or NEVER

    def on_deadline(self) -> None:
        """The phase has lasted too long, or the engine has something to do."""
        self.deadline = NEVER
        if self._transport is None:
            return
        if self._write_paused or self._phase is _Phase.CLOSED:
            self._transport.abort()
        elif self._phase is _Phase.OPEN and self._session is not None and self._session.is_known:
            self._session.engine.tick(self._loop.time())
            self._flush()
        else:
            self._close()

    # The end

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def _linger(self) -> None:
        """Leave the end to the client: one that is told the reason and cut off in one go reports only that it was cut
        off (observed), and closing while it still sends would have TCP throw away what it was told."""
        if self._phase not in _ENDING:
            self._phase = _Phase.LINGER
            self.deadline = self._loop.time() + self._limits.linger_seconds

    def _close(self) -> None:
        if self._transport is None or self._phase is _Phase.CLOSED:
            return
        self._phase = _Phase.CLOSED
        self.deadline = self._loop.time() + self._limits.write_seconds
        self._transport.close()


_ENDING: Final = (_Phase.LINGER, _Phase.CLOSED)


def _outcome(verdict: Authenticated | IdscopeError) -> Outcome:
    """A server that cannot judge now is told from a credential that is not good. A TPM that nobody enrolled is told so
    in its request (observed), and so is a device that is throttled: clients read there when to come back."""
    if isinstance(verdict, Authenticated | EnrollmentNotFound | Throttled):
        return Outcome.OK
    if verdict.status == 503:
        return Outcome.SYS_TEMP
    return Outcome.SYS if verdict.status == 500 else Outcome.AUTH


def _host(name: object) -> str:
    return str(name[0]) if isinstance(name, tuple) and name else ""
