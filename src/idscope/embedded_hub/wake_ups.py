"""Owns the wake-ups between the workers of one machine: who is there, and a nudge to one or all of them.
It must not know what a wake-up is about, nor keep anything that must not be lost.

Each worker has a Unix datagram socket in one directory, which is private to the server's user. A wake-up may get lost
(a full socket, a worker that just ended): whoever waits for one also looks for himself, only less often.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

_log = structlog.get_logger(__name__)

_PREFIX: Final = "hub-"
_SUFFIX: Final = ".sock"
_LARGEST: Final = 4096  # a hub id, a device id and a word are far below
_BURST: Final = 100  # wake-ups taken in one turn of the event loop


class WakeUp(msgspec.Struct, frozen=True, array_like=True):
    """Something of this kind waits in the store for this device (or, with an id in `device_id`, for this call)."""

    kind: str
    hub_id: str
    device_id: str


_decode = msgspec.msgpack.Decoder(WakeUp).decode
Listener = Callable[[WakeUp], None]


class WakeUps:
    """One worker's socket; `name` is what the others call it. `start` comes first, in a running event loop."""

    def __init__(self, directory: Path) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._directory = directory
        self._folder = -1
        self._socket: socket.socket | None = None
        self._listener: Listener | None = None

    def start(self, listener: Listener) -> None:
        """Hear from now on; raises OSError."""
        self._folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener = listener
        self._socket = _datagram_socket()
        self._socket.bind(self._address(self.name))
        asyncio.get_running_loop().add_reader(self._socket, self._take)

    def close(self) -> None:
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        with suppress(FileNotFoundError):
            self._path(self.name).unlink()
        self._socket.close()
        self._socket = None
        os.close(self._folder)

    def send(self, worker: str, wake_up: WakeUp) -> None:
        """Nudge one worker, this one too. Never blocks, never fails."""
        if self._socket is None:
            return
        if worker == self.name:
            asyncio.get_running_loop().call_soon(self._hear, wake_up)
            return
        # Full or gone: the other side looks for itself, or there is none.
        with suppress(OSError):
            self._socket.sendto(msgspec.msgpack.encode(wake_up), self._address(worker))

    def others(self) -> set[str]:
        """The other workers that live; what dead ones left behind is removed."""
        names = {
            entry.removeprefix(_PREFIX).removesuffix(_SUFFIX)
            for entry in os.listdir(self._directory)  # noqa: PTH208 - names are wanted, not paths
            if entry.startswith(_PREFIX) and entry.endswith(_SUFFIX)
        }
        return {name for name in names if name != self.name and self.is_alive(name)}

    def is_alive(self, worker: str) -> bool:
        """Whether the worker, which may be this one, still runs."""
        if worker == self.name:
            return self._socket is not None
        with _datagram_socket() as probe:
            try:
                probe.connect(self._address(worker))
            except ConnectionRefusedError:
                with suppress(FileNotFoundError):
                    self._path(worker).unlink()
                return False
            except OSError:
                return False
        return True

    def _take(self) -> None:
        for _ in range(_BURST):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return
            try:
                wake_up = _decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                _log.warning("a wake-up that is none was dropped", size=len(data))
                continue
            self._hear(wake_up)

    def _hear(self, wake_up: WakeUp) -> None:
        if self._listener is not None and self._socket is not None:
            self._listener(wake_up)

    def _path(self, worker: str) -> Path:
        return self._directory / f"{_PREFIX}{worker}{_SUFFIX}"

    def _address(self, worker: str) -> str:
        """By way of the open directory: a socket's address has room for 107 bytes only."""
        return f"/proc/self/fd/{self._folder}/{_PREFIX}{worker}{_SUFFIX}"


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    made.setblocking(False)
    return made
