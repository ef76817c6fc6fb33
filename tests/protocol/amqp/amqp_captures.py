"""Loads what device SDKs sent over AMQP, and the table that says what becomes of it; signs tokens anew. It must not
know how it is served."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from amqp_device import signature

DIRECTORY = Path(__file__).parent / "captures"

_TOKEN = re.compile(
    rb"SharedAccessSignature sr=(?P<sr>[^&\s]+)&sig=(?P<sig>[^&]+)&(?:skn=registration&)?se=(?P<se>\d{10})"
)
_NAMED = re.compile(rb"registrations/([A-Za-z0-9._:-]+)")


@dataclass(frozen=True)
class Capture:
    """One connection: `sent` as it was cut, `chain` the names of its client certificates."""

    name: str
    chain: tuple[str, ...]
    sent: tuple[bytes, ...]

    @property
    def stream(self) -> bytes:
        return b"".join(self.sent)

    @property
    def registration_id(self) -> str:
        named = _NAMED.search(self.stream)
        return named[1].decode() if named else "c-tpm-amqp"


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


def sign_anew(data: bytes, expiry: int) -> bytes:
    """The bytes with their token signed by the tests' key, in the same spelling and of the same length.

    The expiry is moved on until its signature takes as many escapes as the old one: no frame changes its size.
    """
    token = _TOKEN.search(data)
    if token is None:
        return data
    lower = re.search(rb"%[0-9a-f]?[a-f]", token["sig"]) is not None
    for moment in range(expiry, expiry + 100_000):
        text = quote(signature(token["sr"], moment), safe="")
        escaped = re.sub("%..", lambda escape: escape[0].lower(), text).encode() if lower else text.encode()
        if len(escaped) == len(token["sig"]):
            begin, end = token.span("sig")
            data = data[:begin] + escaped + data[end:]
            begin, end = token.span("se")
            return data[:begin] + b"%d" % moment + data[end:]
    raise AssertionError("no expiry has a signature of that length")
