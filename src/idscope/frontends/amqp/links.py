"""Owns the two kinds of link that a device has, and the deliveries on them: what is accepted, refused, sent, settled.
It must not know what the messages say."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, cast

from proton import Condition, Delivery, Link, Receiver, Sender, Terminus, int32, symbol

from idscope.frontends.amqp.failures import Failure
from idscope.frontends.amqp.limits import AmqpLimits

_TOO_LARGE: Final = Failure("amqp:link:message-size-exceeded", "The message is larger than max-message-size.")


class Incoming:
    """A message that waits for its outcome."""

    __slots__ = ("_delivery", "_link")

    def __init__(self, link: EngineLink, delivery: Delivery) -> None:
        self._link = link
        self._delivery = delivery

    def accept(self) -> None:
        self._settle(Delivery.ACCEPTED)

    def reject(self, failure: Failure) -> None:
        self._delivery.local.condition = condition(failure)
        self._settle(Delivery.REJECTED)

    def _settle(self, state: int) -> None:
        if self._link.alive:
            self._delivery.update(state)
            self._delivery.settle()


class EngineLink:
    """One link, of either direction; all that is asked of a dead one does nothing."""

    __slots__ = ("_limits", "_link", "_tags", "_unsettled", "address", "alive", "properties", "under_way")

    def __init__(self, link: Link, limits: AmqpLimits) -> None:
        self._limits = limits
        self._link = link
        self._tags = 0
        self._unsettled: deque[Delivery] = deque()
        terminus = link.remote_source if link.is_sender else link.remote_target
        self.address: str | None = terminus.address
        properties = link.remote_properties
        self.properties: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        self.alive = True
        self.under_way = 0

    @property
    def carries_answers(self) -> bool:
        """Whether the server sends on it."""
        return bool(self._link.is_sender)

    @property
    def unsent(self) -> int:
        """Answers for which the client has given no credit yet."""
        return int(self._link.queued)

    def accept(self) -> None:
        """Attach with the client's own terms, and give credit at once: one client sends without asking for more."""
        if not self.alive:
            return
        link = self._link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.snd_settle_mode = link.remote_snd_settle_mode
        self._open()
        if not self.carries_answers:
            cast("Receiver", link).flow(self._limits.requests)

    def refuse(self, failure: Failure) -> None:
        """Attach without source and target, then detach with the error (AMQP 1.0 part 2, section 2.6.3)."""
        if self.alive:
            self._link.source.type = self._link.target.type = Terminus.UNSPECIFIED
            self._open()
            self.close(failure)

    def close(self, failure: Failure | None = None) -> None:
        if self.alive:
            self.alive = False
            if failure is not None:
                self._link.condition = condition(failure)
            self._link.close()

    def finish(self) -> None:
        """A request is answered: the client may send another one."""
        self.under_way -= 1
        if self.alive:
            cast("Receiver", self._link).flow(1)

    def send(self, encoded: bytes) -> None:
        """Send a message, when there is credit for it."""
        if not self.alive:
            return
        self._tags += 1
        delivery = self._link.delivery(str(self._tags))
        sender = cast("Sender", self._link)
        sender.stream(encoded)
        sender.advance()
        self._unsettled.append(delivery)
        if len(self._unsettled) > self._limits.unsettled:
            self._unsettled.popleft().settle()

    def settle(self, delivery: Delivery) -> None:
        """The client has settled an answer."""
        delivery.settle()
        if delivery in self._unsettled:
            self._unsettled.remove(delivery)

    def _open(self) -> None:
        self._link.max_message_size = self._limits.message_bytes
        self._link.open()

    def receive(self, delivery: Delivery) -> bytes | None:
        """The whole message, once it is there."""
        link, limit = cast("Receiver", self._link), self._limits.message_bytes
        if delivery.aborted:
            link.advance()
            delivery.settle()
        elif delivery.pending > limit:
            self.close(_TOO_LARGE)
        elif not delivery.partial:
            encoded = link.recv(delivery.pending)
            link.advance()
            return b"" if encoded is None else bytes(encoded)
        return None


def condition(failure: Failure) -> Condition:
    """The failure as proton has it."""
    return Condition(failure.condition, failure.description, cast("Any", info(failure) or None))


def info(failure: Failure) -> dict[symbol, int32]:
    """Its map, as clients read it."""
    return {symbol(name): int32(value) for name, value in failure.info.items()}
