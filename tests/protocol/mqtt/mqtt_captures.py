"""Loads what device SDKs sent over MQTT, and the table that says what becomes of it. It must not know how it is
served."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "captures"


@dataclass(frozen=True)
class Capture:
    """One connection: `sent` as it was cut, `chain` the names of its client certificates."""

    name: str
    chain: tuple[str, ...]
    sent: tuple[bytes, ...]

    @property
    def stream(self) -> bytes:
        return b"".join(self.sent)


def load_captures() -> list[Capture]:
    """All connections of the fixtures."""
    found = []
    for path in sorted(DIRECTORY.glob("*.json")):
        document = json.loads(path.read_text())
        for one in document["connections"]:
            sent = tuple(part.encode("latin-1") for part in one["sent"])
            found.append(Capture(f"{document['group']}/{one['file']}", tuple(one["chain"]), sent))
    return found


def load_table() -> dict[str, dict[str, Any]]:
    """The rows of captures.toml by the capture's name."""
    rows = tomllib.loads((DIRECTORY / "captures.toml").read_text())["capture"]
    table = {row["file"]: row for row in rows}
    assert len(table) == len(rows), "a capture has two rows"
    return table
