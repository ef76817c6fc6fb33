"""Owns python-qpid-proton's engine for one connection: bytes in, calls out; calls in, bytes out; bounded in all that
a client can ask for. It must not know SASL, nor what the links are good for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol

import cproton
from proton import (
    Collector,
    Connection,
    Delivery,
    Described,
    Link,
    ProtonException,
    Session,
    Transport,
    symbol,
    ulong,
)

from idscope.frontends.amqp.failures import Failure
from idscope.frontends.amqp.limits import AmqpLimits
from idscope.frontends.amqp.links import EngineLink, Incoming, condition, info

_HOST_NAME: Final = "gateway000000"  # observed; no client looks at it
_CONTAINER: Final = "IoTDPSGW_"  # and 32 hexadecimal digits (observed)
_OPEN_ERROR: Final = "com.microsoft:open-error"  # observed
_ERROR_DESCRIPTOR: Final = 0x1D  # AMQP 1.0 part 2, section 2.8.14

_TOO_MUCH: Final = Failure("amqp:resource-limit-exceeded", "More sessions or links than a device needs.")
_BEYOND_CREDIT: Final = Failure("amqp:link:transfer-limit-exceeded", "More messages than there was credit for.")
_UNREADABLE: Final = Failure("amqp:decode-error", "A value cannot be read.")


_as_session: Final[Callable[[Any], Session]] = Session.wrap
_as_link: Final[Callable[[Any], Link]] = Link.wrap
_as_delivery: Final[Callable[[Any], Delivery]] = Delivery.wrap


class Observer(Protocol):
    """What the engine tells; called while bytes are fed, never at other times."""

    def on_open(self) -> None:
        """The client has opened the connection; it is answered by `open` or `refuse`."""
        ...

    def on_link(self, link: EngineLink) -> None:
        """A client asks for a link; it is answered by `accept` or `refuse`."""
        ...

    def on_message(self, link: EngineLink, incoming: Incoming, encoded: bytes) -> None:
        """A whole message; it is answered by `accept` or `reject`."""
        ...

    def on_closed(self) -> None:
        """The client closed, or broke the rules: what is left to send says so, and nothing more comes."""
        ...


class Engine:
    """One connection; `feed`, then `take_output`; `tick` when the time it returned has come."""

    def __init__(self, observer: Observer, limits: AmqpLimits) -> None:
        self.limits = limits
        self.ended = False  # nothing more is read
        self.has_failed = False  # because the client broke the rules
        self.is_open = False
        self.is_closing = False
        self._staged: list[bytes] = []
        self._observer = observer
        self._links: dict[Link, EngineLink] = {}
        self._asked_links = self._asked_sessions = 0
        self._unanswered: list[Session] = []  # of a client that does not wait for the OPEN
        self._connection = Connection()
        self._collector = Collector()
        self._connection.collect(self._collector)
        self._transport = Transport(Transport.SERVER)
        self._transport.max_frame_size = limits.frame_bytes
        self._transport.channel_max = limits.sessions - 1
        self._transport.idle_timeout = 2 * limits.idle_seconds  # a client is told half of it (AMQP 1.0 part 2, 2.4.5)
        self._transport.bind(self._connection)

    def feed(self, data: bytes) -> None:
        """Take bytes; whatever they are, nothing is raised."""
        while data and not self.ended:
            room = self._transport.capacity()
            if room <= 0:
                self._fail()
                return
            part, data = (data, b"") if len(data) <= room else (data[:room], data[room:])
            try:
                self._transport.push(part)
            except (ProtonException, OverflowError):
                self._fail()
            self._dispatch()

    def take_output(self) -> bytes:
        """All that is to be sent now."""
        self.stage()
        self._dispatch()
        staged, self._staged = self._staged, []
        return staged[0] if len(staged) == 1 else b"".join(staged)

    def stage(self) -> None:
        """Put what was asked for so far before all that is asked for later: proton has an order of its own."""
        transport = self._transport
        while (size := transport.pending()) > 0:
            self._staged.append(bytes(transport.peek(size) or b""))
            transport.pop(size)

    def tick(self, now: float) -> float:
        """Beat, and end what is idle; returns when to call again, in seconds of the same clock, 0 for never."""
        deadline = self._transport.tick(now)
        self._dispatch()
        return deadline

    def open(self) -> None:
        """Answer the client's OPEN."""
        if not self.is_open:
            self.is_open = True
            self._connection.container = _CONTAINER + uuid.uuid4().hex
            self._connection.hostname = _HOST_NAME
            self._connection.open()
            while self._unanswered:
                session = self._unanswered.pop(0)
                session.open()
                if session.state & Session.REMOTE_CLOSED:
                    session.close()

    def refuse(self, failure: Failure) -> None:
        """Close with the error, which the OPEN tells too where it was not sent yet (observed)."""
        if not self.is_open:
            details: Any = [symbol(failure.condition), failure.description, info(failure)]
            self._connection.properties = {symbol(_OPEN_ERROR): Described(ulong(_ERROR_DESCRIPTOR), details)}
            self.open()
        self.close(failure)

    def close(self, failure: Failure | None = None) -> None:
        """Close the connection; the client's own CLOSE is not waited for."""
        if self.is_closing:
            return
        if failure is not None:
            self._connection.condition = condition(failure)
        self.is_closing = True
        self._connection.close()
        for link in self._links.values():
            link.alive = False

    def release(self) -> None:
        """The connection is lost: let proton's memory go."""
        self.ended = True
        for link in self._links.values():
            link.alive = False
        self._links.clear()
        self._unanswered.clear()
        self._transport.unbind()

    # Events

    def _dispatch(self) -> None:
        collector = self._collector._impl  # noqa: SLF001  what Collector.peek gives is wrapped already
        while not cproton.isnull(event := cproton.pn_collector_peek(collector)):
            handle = self._HANDLERS.get(cproton.pn_event_type(event))
            if handle is not None and not self.ended:
                handle(self, event)
            cproton.pn_collector_pop(collector)

    def _on_open(self, _event: Any) -> None:
        self._observer.on_open()

    def _on_session(self, event: Any) -> None:
        session = _as_session(cproton.pn_event_session(event))
        self._asked_sessions += 1
        if self._asked_sessions > self.limits.sessions:
            self.refuse(_TOO_MUCH)
            return
        session.incoming_capacity = self.limits.frame_bytes * self.limits.requests
        if self.is_open:
            session.open()
        else:  # proton would forget a BEGIN for which it is asked before the OPEN, as soon as output is taken
            self._unanswered.append(session)

    def _on_link(self, event: Any) -> None:
        link = _as_link(cproton.pn_event_link(event))
        self._asked_links += 1
        if self._asked_links > self.limits.links:
            self.refuse(_TOO_MUCH)
            return
        try:
            engine_link = EngineLink(link, self.limits)
        except Exception:  # noqa: BLE001  proton has an exception of its own kind for each way to be malformed
            self.refuse(_UNREADABLE)
            return
        self._links[link] = engine_link
        self._observer.on_link(engine_link)

    def _on_delivery(self, event: Any) -> None:
        delivery = _as_delivery(cproton.pn_event_delivery(event))
        link = self._links.get(delivery.link)
        if link is None or not link.alive:
            return
        if link.carries_answers:
            if delivery.settled:
                link.settle(delivery)
            return
        encoded = link.receive(delivery) if delivery.readable or delivery.aborted else None
        if encoded is None:
            return
        link.under_way += 1
        if link.under_way > self.limits.requests:
            self.refuse(_BEYOND_CREDIT)
        else:
            self._observer.on_message(link, Incoming(link, delivery), encoded)

    def _on_link_end(self, event: Any) -> None:
        link = self._links.pop(_as_link(cproton.pn_event_link(event)), None)
        if link is not None:
            link.close()

    def _on_session_end(self, event: Any) -> None:
        session = _as_session(cproton.pn_event_session(event))
        for link, engine_link in list(self._links.items()):
            if link.session == session:
                engine_link.alive = False
                del self._links[link]
        if session not in self._unanswered:
            session.close()

    def _on_close(self, _event: Any) -> None:
        self.open()
        self.close()
        self._end()

    def _on_failure(self, _event: Any) -> None:
        self._fail()

    def _fail(self) -> None:
        self.has_failed = True
        self._end()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            for link in self._links.values():
                link.alive = False
            self._observer.on_closed()

    # Wrapping an event costs more than most events are worth: they are told apart by number before that.
    _HANDLERS: ClassVar[Mapping[int, Callable[[Engine, Any], None]]] = {
        cproton.PN_CONNECTION_REMOTE_OPEN: _on_open,
        cproton.PN_SESSION_REMOTE_OPEN: _on_session,
        cproton.PN_LINK_REMOTE_OPEN: _on_link,
        cproton.PN_DELIVERY: _on_delivery,
        cproton.PN_LINK_REMOTE_CLOSE: _on_link_end,
        cproton.PN_LINK_REMOTE_DETACH: _on_link_end,
        cproton.PN_SESSION_REMOTE_CLOSE: _on_session_end,
        cproton.PN_CONNECTION_REMOTE_CLOSE: _on_close,
        cproton.PN_TRANSPORT_ERROR: _on_failure,
        cproton.PN_TRANSPORT_TAIL_CLOSED: _on_failure,
    }
