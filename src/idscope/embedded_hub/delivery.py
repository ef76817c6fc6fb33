"""Owns the way from anywhere in the server to a device: the sessions of this worker, and the wake-ups to all others.
It must not know a wire, nor assume that a device's session is here.

What must survive is a row before anybody is woken. Every worker looks after its own sessions, a part each second, and
after those that a dead worker has left behind.
"""

from __future__ import annotations

import asyncio
import secrets
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from idscope.clock import Clock
from idscope.embedded_hub.cloud_messages import CloudMessages
from idscope.embedded_hub.connections import NOTHING, asked_of, fresh_row, release_dead, take_over
from idscope.embedded_hub.device_access import AdmittedDevice
from idscope.embedded_hub.methods import ANSWER, Methods
from idscope.embedded_hub.session import STANDING, Ground, Session, Wire
from idscope.embedded_hub.wake_ups import WakeUp, WakeUps
from idscope.errors import ServiceUnavailable
from idscope.storage import ExpectationFailed, HubConnectionRow, Key, Store

_log = structlog.get_logger(__name__)

ROUND_SECONDS: Final = 60  # how long a lost wake-up or an expired token may go unnoticed
_TIDY_SECONDS: Final = 5
_TAKE_OVER_TRIES: Final = 10


class Delivery:
    """One worker's part; `directory` is the same private one for all workers. `start` comes first."""

    def __init__(self, store: Store, clock: Clock, directory: Path) -> None:
        self._store = store
        self._clock = clock
        self._wake_ups = WakeUps(directory)
        self._sessions: dict[tuple[str, str], Session] = {}
        self._others: set[str] = set()
        self._tidying: asyncio.Task[None] | None = None
        self.messages = CloudMessages(store, clock, self.nudge)
        self.methods = Methods(store, clock, self._wake_ups)
        self._ground = Ground(store, clock, self.messages, self.methods)

    async def start(self) -> None:
        """Raises OSError, StoreUnavailable."""
        self._wake_ups.start(self._hear)
        self._others = self._wake_ups.others()
        await self._release_dead()

    async def close(self) -> None:
        """End every session here."""
        for session in tuple(self._sessions.values()):
            session.end("the server stops")
            await session.close()
        self._wake_ups.close()

    async def tend_forever(self) -> None:
        """Each second a part of the sessions, so that all had their turn in a minute."""
        while True:
            for part in range(ROUND_SECONDS):
                await self._clock.wait(self._clock.monotonic() + 1)
                await self.tend(part, ROUND_SECONDS)

    async def tend(self, part: int = 0, parts: int = 1) -> None:
        """Look after one of so many parts of the sessions, and after the other workers."""
        try:
            for session in tuple(islice(tuple(self._sessions.values()), part, None, parts)):
                await session.look_after()
            if part % _TIDY_SECONDS == 0:
                await self._tidy()
        except ServiceUnavailable as error:
            _log.warning("sessions wait for the store", reason=error.reason)

    async def connect(self, device: AdmittedDevice, wire: Wire, *, clean: bool = True) -> Session:
        """A session for the device on this wire; an earlier one, wherever it is, ends.

        `clean`: without what the earlier one asked for. To be started when the wire is open. Raises StoreUnavailable.
        """
        key, session_id, now = (device.hub_id, device.device_id), secrets.token_hex(8), self._clock.now()

        def fresh(before: HubConnectionRow | None) -> HubConnectionRow:
            asked = NOTHING if clean or before is None else asked_of(before)
            return fresh_row(key, session_id, self._wake_ups.name, asked, now, before)

        try:
            before = await take_over(self._store, fresh, key, _TAKE_OVER_TRIES)
        except ExpectationFailed:
            raise ServiceUnavailable(reason="the device connects many times at once") from None
        if before is not None and before.worker:
            self._wake_ups.send(before.worker, WakeUp(STANDING, *key))
        row = fresh(before)
        session = Session(
            self._ground,
            row,
            wire,
            generation_id=device.generation_id,
            expires=device.expires,
            asked=asked_of(row),
            left=self._leave,
        )
        self._enter(session)
        return session

    def _enter(self, session: Session) -> None:
        """The latest session counts; one that lost while it was being made finds out when it starts."""
        key = (session.hub_id, session.device_id)
        present = self._sessions.get(key)
        if present is None or present.since < session.since:
            self._sessions[key] = session
        if present is not None and present.since < session.since:
            present.end("the device connected anew")

    async def nudge(self, kind: str, hub_id: str, device_id: str) -> None:
        """Wake the device's session, wherever it is; nothing where it has none. Never fails: the rest is patience."""
        try:
            [row] = await self._store.fetch([Key(HubConnectionRow, (hub_id, device_id))])
        except ServiceUnavailable:
            return
        if row is not None and row.worker:
            self._wake_ups.send(row.worker, WakeUp(kind, hub_id, device_id))

    async def identity_changed(self, hub_id: str, device_id: str) -> None:
        """The device was disabled or deleted: whoever holds its session looks whether it may go on."""
        for worker in (self._wake_ups.name, *self._wake_ups.others()):
            self._wake_ups.send(worker, WakeUp(STANDING, hub_id, device_id))

    def _hear(self, wake_up: WakeUp) -> None:
        if wake_up.kind == ANSWER:
            self.methods.on_answer(wake_up.device_id)
            return
        session = self._sessions.get((wake_up.hub_id, wake_up.device_id))
        if session is not None:
            session.wake(wake_up.kind)

    def _leave(self, session: Session) -> None:
        key = (session.hub_id, session.device_id)
        if self._sessions.get(key) is session:
            del self._sessions[key]

    async def _tidy(self) -> None:
        others = self._wake_ups.others()
        gone, self._others = self._others - others, others
        if gone:
            await self._release_dead()
        await self.methods.forget_expired()

    async def _release_dead(self) -> None:
        released = await release_dead(self._store, {self._wake_ups.name, *self._others}, self._clock.now())
        if released:
            _log.info("devices of ended workers are shown as disconnected", count=released)
