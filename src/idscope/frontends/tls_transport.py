"""Owns the transport that a protocol inside TLS writes to: coalescing, closing, flow control, the peer's chain. It must
not know what is written, nor how records are read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, Final, Protocol

from OpenSSL import SSL, crypto

from idscope.frontends.tls_records import RECORD

_RECORD_OVERHEAD: Final = 64  # header, nonce, padding and tag of the worst cipher suite
_ALERTS: Final = 512
# So much is sealed without waiting for the turn's end: one turn may read megabytes, and only what the raw transport
# holds makes it say pause_writing.
_AT_ONCE: Final = 4 * RECORD


class Reader(Protocol):
    """The other half of the connection."""

    paused: bool

    def get_inner(self) -> asyncio.BaseProtocol | None:
        """The protocol inside."""
        ...

    def set_inner(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol inside, from now on."""
        ...

    def read_on(self) -> None:
        """Deliver what came while reading was paused."""
        ...

    def close_raw(self) -> None:
        """Close TCP when everything is sent, or when the time for that is over."""
        ...


class TlsTransport(asyncio.Transport):
    """What is written in one turn of the event loop leaves in as few records as hold it, and, while it is not large, in
    one send.

    `get_extra_info` knows beside the raw transport's names `sslcontext`, `tls_version` and
    `client_certificate_chain` (see there).
    """

    __slots__ = ("_closing", "_context", "_finished", "_loop", "_pending", "_pending_bytes", "_raw", "_reader", "_ssl")

    def __init__(
        self,
        reader: Reader,
        raw: asyncio.Transport,
        ssl: SSL.Connection,
        context: SSL.Context,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._reader = reader
        self._raw = raw
        self._ssl: SSL.Connection | None = ssl
        self._context = context
        self._loop = loop
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._closing = False
        self._finished = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._finished or not data:
            return
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data if isinstance(data, bytes) else bytes(data))
        self._pending_bytes += len(self._pending[-1])
        if self._pending_bytes >= _AT_ONCE:
            self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self.write(data)

    def close(self) -> None:
        """Send what is written and the close_notify, then close TCP; the listener's `close_seconds` limit it."""
        if self._closing:
            return
        self._send_last()
        self._closing = True
        self._reader.close_raw()

    def finish_writing(self) -> None:
        """Send what is written, close_notify and the TCP end, but keep reading: so that an answer to a peer that is
        still sending arrives, where closing at once would have TCP throw it away."""
        if self._closing or self._finished:
            return
        self._send_last()
        if not self._raw.is_closing() and self._raw.can_write_eof():
            self._raw.write_eof()

    def abort(self) -> None:
        self._closing = True
        self._pending.clear()
        self._pending_bytes = 0
        self._raw.abort()

    def detach(self) -> None:
        """The connection is lost: let OpenSSL's memory go."""
        self._closing = True
        self._pending.clear()
        self._pending_bytes = 0
        self._ssl = None

    def is_closing(self) -> bool:
        return self._closing or self._raw.is_closing()

    def can_write_eof(self) -> bool:
        return False

    def _flush(self) -> None:
        if self._pending and self._ssl is not None:
            self._send(self._seal(self._ssl))

    def _send_last(self) -> None:
        """What is written, and the close_notify, in one send."""
        if self._ssl is None or self._finished:
            return
        self._finished = True
        output = self._seal(self._ssl) if self._pending else b""
        with contextlib.suppress(SSL.Error):  # a connection that broke before says no goodbye
            self._ssl.shutdown()
        self._send(output + take_output(self._ssl, _ALERTS))

    def _seal(self, ssl: SSL.Connection) -> bytes:
        pending = self._pending
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        self._pending = []
        self._pending_bytes = 0
        try:
            ssl.sendall(data)
        except SSL.Error:  # the connection broke; whoever reads it closes it
            return b""
        return take_output(ssl, len(data) + (len(data) // RECORD + 1) * _RECORD_OVERHEAD + _ALERTS)

    def _send(self, data: bytes) -> None:
        if data and not self._raw.is_closing():
            self._raw.write(data)

    # Flow control: what is not sent yet stands in the raw transport, which calls pause_writing and resume_writing.

    def pause_reading(self) -> None:
        if not self.is_closing():
            self._reader.paused = True
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        if self._reader.paused and not self.is_closing():
            self._reader.paused = False
            self._raw.resume_reading()
            self._loop.call_soon(self._reader.read_on)

    def is_reading(self) -> bool:
        return not self._reader.paused and not self.is_closing()

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size() + self._pending_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    # Who is inside, and who is outside

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol = self._reader.get_inner()
        if protocol is None:
            raise RuntimeError("the connection is lost")
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._reader.set_inner(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._context
        if name == "client_certificate_chain":
            return self._client_certificate_chain()
        if name == "tls_version":
            return default if self._ssl is None else self._ssl.get_protocol_version_name()
        return self._raw.get_extra_info(name, default)

    def _client_certificate_chain(self) -> tuple[bytes, ...]:
        """The certificates that the client sent, in DER and in its order, leaf first; empty where it sent none, or
        after the connection is lost. Asked for only once by those who keep it: each call encodes again."""
        leaf = None if self._ssl is None else self._ssl.get_peer_certificate()
        if leaf is None or self._ssl is None:
            return ()
        # quirk: on the server's side OpenSSL's chain lacks the leaf.
        certificates = [leaf, *(self._ssl.get_peer_cert_chain() or ())]
        return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in certificates)


def take_output(ssl: SSL.Connection, size: int) -> bytes:
    """All that OpenSSL wants to send; `size` is the guess that makes one read of it."""
    output = b""
    try:
        while True:
            part = ssl.bio_read(size)
            output = output + part if output else part
            if len(part) < size:
                return output
    except SSL.WantReadError:
        return output
