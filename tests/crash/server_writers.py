"""Owns a stream of writes against a running server, from several threads, and the record of what was acknowledged.
It must not know when the server dies."""

from __future__ import annotations

import base64
import http.client
import itertools
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from gate import wait_until

from idscope.testing.server import Ready
from idscope.testing.server_client import ServerClient

THREADS = 4


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass
class Acknowledged:
    """What the server said that it did; keys by registration id."""

    enrolled: dict[str, str] = field(default_factory=dict)
    registered: dict[str, str] = field(default_factory=dict)
    hub_devices: set[str] = field(default_factory=set)

    def count(self) -> int:
        return len(self.enrolled) + len(self.registered) + len(self.hub_devices)


class Writers:
    """Write from `THREADS` threads until the end of the `with` block; a lost connection is made again.

    A server that refuses a write, instead of dying, fails the test at the end.
    """

    def __init__(self, ready: Ready, prefix: str, acknowledged: Acknowledged) -> None:
        self._ready = ready
        self._prefix = prefix
        self._acknowledged = acknowledged
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS)

    def __enter__(self) -> Self:
        self._threads = [self._pool.submit(self._write) for _ in range(THREADS)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pool.shutdown()
        for thread in self._threads:
            thread.result()

    def wait_for(self, more: int) -> None:
        """Return once so many more writes are acknowledged."""
        enough = self._acknowledged.count() + more
        wait_until(lambda: self._acknowledged.count() >= enough or any(thread.done() for thread in self._threads))

    def _write(self) -> None:
        with ServerClient(self._ready) as client:
            while not self._stop.is_set():
                try:
                    self._one_device(client, f"{self._prefix}-{next(self._numbers)}", new_key())
                except (OSError, http.client.HTTPException):
                    continue  # nothing was acknowledged then, and the next write connects again

    def _one_device(self, client: ServerClient, name: str, key: str) -> None:
        answer = client.enroll(name, key, initialTwin={"tags": {"of": name}})
        assert answer.status == 200, answer
        self._acknowledged.enrolled[name] = key
        answer = client.register(name, key)
        assert answer.status == 202, answer
        if answer.json()["status"] == "assigned":
            self._acknowledged.registered[name] = key
        answer = client.hub("PUT", f"/devices/by-hand-{name}", {"deviceId": f"by-hand-{name}"})
        assert answer.status == 200, answer
        self._acknowledged.hub_devices.add(f"by-hand-{name}")
