"""Owns TLS on one TCP connection: the handshake and the reading of records. It must not know what the protocol inside
speaks, nor what a client certificate is good for.

OpenSSL works on memory buffers, the event loop moves the bytes: one `TlsProtocol` stands on the raw transport, and
when the handshake is through, the protocol inside gets a `TlsTransport`.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from OpenSSL import SSL

from idscope.frontends.deadlines import NEVER
from idscope.frontends.tls_context import reason_of
from idscope.frontends.tls_records import RECORD, RecordCounter
from idscope.frontends.tls_transport import TlsTransport, take_output


class Connection(Protocol):
    """A connection as its listener sees it."""

    deadline: float

    def on_deadline(self) -> None:
        """The deadline has passed."""
        ...

    def shutdown(self) -> None:
        """Finish what is under way, then close."""
        ...

    def abort(self) -> None:
        """Close now, losing what is not sent yet."""
        ...


class Gate(Protocol):
    """What a connection asks of its listener; times in seconds."""

    context: SSL.Context | None

    @property
    def handshake_seconds(self) -> float: ...

    @property
    def close_seconds(self) -> float: ...

    @property
    def certificates(self) -> int: ...

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more; its deadline is watched from then on."""
        ...

    def queue_handshake(self, connection: TlsProtocol) -> bool:
        """Calls `start_handshake` now, or when there is room; False where too many wait already."""
        ...

    def end_handshake(self, connection: TlsProtocol) -> None:
        """The handshake is over, well or badly, or is given up while it waits."""
        ...

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        ...

    def make_protocol(self) -> asyncio.Protocol:
        """The protocol inside a new connection."""
        ...

    def note_refusal(self, reason: str, peer: object) -> None:
        """A connection was turned away: counted, and logged so that an attacker cannot fill the log."""
        ...


class TlsProtocol(asyncio.Protocol):
    """The server's side of TLS on a raw TCP transport.

    A connection costs no TLS state before its first byte. The peer's close_notify reaches the protocol inside as
    `eof_received`; an end of the TCP stream without it, as `connection_lost`.
    """

    __slots__ = (
        "_counter",
        "_gate",
        "_held",
        "_inner",
        "_loop",
        "_peer_closed",
        "_raw",
        "_ssl",
        "_transport",
        "_unread",
        "deadline",
        "paused",
    )

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._raw: asyncio.Transport | None = None
        self._ssl: SSL.Connection | None = None
        self._transport: TlsTransport | None = None
        self._inner: asyncio.Protocol | None = None
        self._counter = RecordCounter()
        self._held = b""
        self._unread = False
        self._peer_closed = False
        self.deadline = NEVER
        self.paused = False

    # What the raw transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)
        self.deadline = self._loop.time() + self._gate.handshake_seconds
        if not self._gate.admit(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._ssl is None:
            self._await_turn(data)
        elif self._transport is None:
            self._counter.feed(data)
            self._shake(self._ssl, data)
        else:
            self._decrypt(self._ssl, data)

    def eof_received(self) -> bool:
        # After a close_notify the TCP stream may end while the answer is still being made.
        return self._peer_closed and self._transport is not None and not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        inner, transport = self._inner, self._transport
        self._gate.end_handshake(self)
        self._gate.forget(self)
        # These objects refer to each other in a circle: cut, so that OpenSSL's memory does not wait for the collector.
        self._inner = self._ssl = self._transport = None
        if transport is not None:
            transport.detach()
        if inner is not None:
            inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    # What the listener calls

    def start_handshake(self) -> None:
        """It is this connection's turn."""
        context, raw = self._gate.context, self._raw
        if context is None or raw is None or raw.is_closing():
            self._gate.end_handshake(self)
            return
        ssl = self._ssl = SSL.Connection(context, None)
        ssl.set_accept_state()
        if self.paused:
            self.paused = False
            raw.resume_reading()
        held, self._held = self._held, b""
        self._counter.feed(held)
        self._shake(ssl, held)

    def on_deadline(self) -> None:
        if self._transport is None and self._raw is not None and not self._raw.is_closing():
            self._refuse("no TLS handshake in time")
        else:
            self.abort()

    def shutdown(self) -> None:
        finish = getattr(self._inner, "shutdown", None)
        if finish is not None:
            finish()
        elif self._transport is not None:
            self._transport.close()
        else:
            self.abort()

    def abort(self) -> None:
        self.deadline = NEVER
        if self._raw is not None:
            self._raw.abort()

    # The handshake

    def _await_turn(self, data: bytes) -> None:
        waits = bool(self._held)
        self._held += data
        if waits:
            return
        if not self._gate.queue_handshake(self):
            self._refuse("too many TLS handshakes at once")
        elif self._held and self._raw is not None:
            self.paused = True
            self._raw.pause_reading()

    def _shake(self, ssl: SSL.Connection, data: bytes) -> None:
        try:
            ssl.bio_write(data)
            ssl.do_handshake()
        except SSL.WantReadError:
            self._send_pending(ssl)
        except SSL.Error as error:
            self._refuse(f"TLS handshake failed: {reason_of(error)}")
        else:
            self._open(ssl)

    def _open(self, ssl: SSL.Connection) -> None:
        context, raw = ssl.get_context(), self._raw
        self._gate.end_handshake(self)
        if ssl.get_protocol_version() < SSL.TLS1_3_VERSION:
            self._send_pending(ssl)  # our Finished; what TLS 1.3 has to say travels with the first answer
        # Counted here, so that nothing later meets a chain of hundreds; OpenSSL itself stops at 100 KiB of them.
        intermediates = ssl.get_peer_cert_chain()
        if intermediates is not None and len(intermediates) >= self._gate.certificates:
            self._refuse("the client's certificate chain is too long")
        elif raw is not None and not raw.is_closing():
            self.deadline = NEVER
            self._transport = TlsTransport(self, raw, ssl, context, self._loop)
            self._inner = self._gate.make_protocol()
            self._inner.connection_made(self._transport)
            self.read_on()

    def _refuse(self, reason: str) -> None:
        """Send OpenSSL's alert, where it has one, and close."""
        peer = None if self._raw is None else self._raw.get_extra_info("peername")
        self._gate.note_refusal(reason, peer)
        self._gate.end_handshake(self)
        if self._ssl is not None:
            self._send_pending(self._ssl)
        self.close_raw()

    # The records

    def _decrypt(self, ssl: SSL.Connection, data: bytes) -> None:
        records = self._counter.feed(data)
        ssl.bio_write(data)
        if self.paused:
            self._unread = True
        elif not self._deliver(ssl, 0 if self._unread else records):
            self._send_pending(ssl)  # the answer to a key update, say: these must not pile up

    def _deliver(self, ssl: SSL.Connection, records: int) -> bool:
        """Hand on what this many records hold (0: all there are); False where it is nothing."""
        self._unread = closed = False
        chunks: list[bytes] = []
        try:
            while not records or len(chunks) < records:
                chunks.append(ssl.recv(RECORD))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            closed = True
        except SSL.Error as error:
            self._refuse(f"TLS failed: {reason_of(error)}")
            return True
        if chunks and self._inner is not None:
            self._inner.data_received(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if closed:
            self._receive_close()
        return bool(chunks) or closed

    def _receive_close(self) -> None:
        if self._peer_closed or self._transport is None or self._inner is None:
            return
        self._peer_closed = True
        if not self._inner.eof_received():
            self._transport.close()

    def _send_pending(self, ssl: SSL.Connection) -> None:
        output = take_output(ssl, RECORD)
        if output and self._raw is not None and not self._raw.is_closing():
            self._raw.write(output)

    # What the transport inside calls

    def get_inner(self) -> asyncio.BaseProtocol | None:
        return self._inner

    def set_inner(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = cast("asyncio.Protocol", protocol)

    def read_on(self) -> None:
        """Hand on what came before the protocol inside was ready for it."""
        if self._ssl is not None and not self.paused:
            self._deliver(self._ssl, 0)

    def close_raw(self) -> None:
        """Close TCP when everything is sent, or when the time for that is over."""
        if self._raw is not None:
            self.deadline = self._loop.time() + self._gate.close_seconds
            self._raw.close()
