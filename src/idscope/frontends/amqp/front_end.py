"""Owns what all AMQP connections of one listener share: use cases, limits, the watch over time. It must not know TLS,
nor any message."""

from __future__ import annotations

from idscope.events import Wire
from idscope.frontends.amqp.claims import AmqpUseCases
from idscope.frontends.amqp.connection import AmqpProtocol
from idscope.frontends.amqp.limits import AmqpLimits
from idscope.frontends.deadlines import Deadlines, resolution_for


class AmqpFrontEnd:
    """Makes the protocols of connections; `wire` is `AmqpWs` for those inside a WebSocket."""

    def __init__(self, use_cases: AmqpUseCases, *, wire: Wire = "Amqp", limits: AmqpLimits | None = None) -> None:
        self.use_cases = use_cases
        self.wire = wire
        self.limits = limits or AmqpLimits()
        self.deadlines = Deadlines(resolution_for(self.limits.shortest_seconds))

    def protocol_factory(self) -> AmqpProtocol:
        """A protocol for one connection."""
        return AmqpProtocol(self)
