"""A device on the AMQP front end, without a socket: bytes in, bytes out. It must not know what the answers should
be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self

import amqp_frames as amqp
from amqp_frames import Described, Frame, Symbol, Ulong
from captured import KEY

from idscope.events import Wire as WireName
from idscope.frontends.amqp.claims import AmqpUseCases
from idscope.frontends.amqp.connection import AmqpProtocol
from idscope.frontends.amqp.front_end import AmqpFrontEnd
from idscope.frontends.amqp.limits import AmqpLimits
from idscope.testing.application import ID_SCOPE, Application, sas_token

PATIENCE = 10.0


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, chain: tuple[bytes, ...] = ()) -> None:
        super().__init__({"peername": ("127.0.0.9", 40000), "client_certificate_chain": chain})
        self.written = bytearray()
        self.closed = self.aborted = self.reading_paused = False

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False


class Device:
    """One connection; `sent` are all headers and frames that the server sent so far.

    `tunnel` makes what stands between the transport and the protocol that it is given the factory of.
    """

    def __init__(
        self,
        app: Application,
        *,
        chain: tuple[bytes, ...] = (),
        limits: AmqpLimits | None = None,
        strict: bool = False,
        cut: Callable[[bytes], Iterable[bytes]] = lambda data: [data],
        wire: WireName = "Amqp",
        tunnel: Callable[[Callable[[], asyncio.Protocol]], Any] | None = None,
    ) -> None:
        self.app = app
        self.wire = Wire(chain)
        use_cases = AmqpUseCases(app.workflow, app.clock, strict_api_versions=strict)
        self.front_end = AmqpFrontEnd(use_cases, wire=wire, limits=limits)
        self.inside: AmqpProtocol  # from `connection_made` on
        self.protocol = self._make() if tunnel is None else tunnel(self._make)
        self._cut = cut

    def _make(self) -> AmqpProtocol:
        self.inside = self.front_end.protocol_factory()
        return self.inside

    def __enter__(self) -> Self:
        self.protocol.connection_made(self.wire)
        return self

    def __exit__(self, *_: object) -> None:
        self.protocol.connection_lost(None)

    @property
    def sent(self) -> list[bytes | Frame]:
        return list(amqp.split(bytes(self.wire.written)))

    def frames(self, performative: int) -> list[Frame]:
        return [one for one in self.sent if isinstance(one, Frame) and one.performative == performative]

    def feed(self, data: bytes) -> None:
        for piece in self._cut(data):
            self.protocol.data_received(piece)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0)

    async def frame(self, performative: int, count: int = 1) -> Frame:
        """The last of so many frames, once they are there."""
        await self.until(lambda: len(self.frames(performative)) >= count)
        return self.frames(performative)[count - 1]

    # What a device says

    async def log_in(self, registration_id: str, *, key: str = KEY, scope: str = ID_SCOPE) -> int:
        """Through SASL; the outcome."""
        token = sas_token(f"{scope}/registrations/{registration_id}", key, self.app.expiry, "registration")
        return await self.present(f"\0{scope}/registrations/{registration_id}\0{token}".encode())

    async def present(self, response: bytes | None, mechanism: str = "PLAIN") -> int:
        self.feed(amqp.SASL)
        self.feed(amqp.frame(amqp.INIT, Symbol(mechanism), response, kind=1))
        return int((await self.frame(amqp.OUTCOME)).field(0))

    def open(self) -> None:
        self.feed(
            amqp.AMQP + amqp.frame(amqp.OPEN, "a device", "127.0.0.1") + amqp.frame(amqp.BEGIN, None, 0, 100, 100)
        )

    def attach(self, address: str, version: str | None = "2019-03-31") -> None:
        self.feed(link(0, address, receiver=True, version=version) + link(1, address, receiver=False, version=version))
        self.feed(credit(0, 100))

    def send(self, message: bytes, delivery: int = 0, handle: int = 1) -> None:
        parts = [message[at : at + 30_000] for at in range(0, len(message), 30_000)]
        for number, part in enumerate(parts):
            more = number + 1 < len(parts)
            self.feed(amqp.frame(amqp.TRANSFER, handle, delivery, b"%d" % delivery, 0, False, more, payload=part))

    def ask(
        self, delivery: int = 0, *, body: dict[int, Any] | None = None, correlation: Any = None, **words: str
    ) -> None:
        """A request: `type` and `id` become application properties."""
        properties = {f"iotdps-operation-{word}": value for word, value in words.items()}
        sections: dict[int, Any] = {}
        if correlation is not None:
            sections[amqp.PROPERTIES] = [None] * 5 + [correlation]
        sections[amqp.APPLICATION_PROPERTIES] = properties
        self.send(amqp.message({**sections, **(body or {})}), delivery)

    async def ready(self, registration_id: str = "a-device", **options: Any) -> None:
        """Enrolled, logged in, open, both links attached."""
        await enroll(self.app, registration_id)
        assert await self.log_in(registration_id) == 0
        self.open()
        self.attach(f"{ID_SCOPE}/registrations/{registration_id}", **options)
        await self.frame(amqp.ATTACH, 2)


def link(handle: int, address: str, *, receiver: bool, version: str | None = "2019-03-31") -> bytes:
    """An attach, as clients send it."""
    ends = (Described(Ulong(amqp.SOURCE), [address]), Described(Ulong(amqp.TARGET), []))
    if not receiver:
        ends = (Described(Ulong(amqp.SOURCE), []), Described(Ulong(amqp.TARGET), [address]))
    properties = {} if version is None else {Symbol("com.microsoft:api-version"): version}
    count = None if receiver else 0
    fields = [f"link {handle}", handle, receiver, None, None, *ends, None, None, count, None, None, None, properties]
    return amqp.frame(amqp.ATTACH, *fields)


def credit(handle: int, messages: int) -> bytes:
    return amqp.frame(amqp.FLOW, 0, 100, 0, 100, handle, 0, messages)


async def enroll(app: Application, registration_id: str, **members: Any) -> None:
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}
    await app.enroll(registration_id, attestation=attestation, **members)
