"""Owns what a hub has heard, by the monitor's REST. It must not know who said it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from idscope.testing.server_client import ServerClient

Document = dict[str, Any]

_SECONDS = 20.0


def telemetry(client: ServerClient, device_id: str, count: int) -> list[Document]:
    """What the monitor's REST shows of the device, once it shows so many messages."""
    token = Path(client.ready.document["admin_token_file"]).read_text(encoding="utf-8").strip()
    seen: list[Document] = []
    deadline = time.monotonic() + _SECONDS
    while len(seen) < count and time.monotonic() < deadline:
        answer = client.operator("GET", f"/admin/hub/telemetry?device={device_id}&wait=1", token=token)
        seen = answer.json()["messages"]
    return seen
