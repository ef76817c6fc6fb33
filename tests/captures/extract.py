"""Makes the fixtures of this directory from a directory of captures, one folder an SDK, one file a connection.
It must not know what the server is expected to answer.

    python tests/captures/extract.py CAPTURES

A capture holds lines such as `1.527 C->S 430 bytes`, each followed by a hex dump. What the client sent is kept, as it
was cut, and nothing of what it was answered; of a WebSocket the request as text, what followed in Base64.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CONNECTION = re.compile(r"# conn \d+ port (\d+) .* clientCertChain=(\[.*?\]) from ")
_SEGMENT = re.compile(r"\s*[\d.]+ (C->S|S->C) (\d+) bytes")
_HEX = re.compile(r"    [0-9a-f]{4,}  ((?:[0-9a-f]{2} )*[0-9a-f]{2})")
_DIRECTORIES = {"443": "https", "5671": "amqp", "8883": "mqtt"}


def segments(lines: list[str]) -> Iterator[bytes]:
    """What the client sent, as it was cut."""
    current: bytearray | None = None
    expected = 0
    for line in [*lines, "end"]:
        hex_bytes = _HEX.match(line)
        if hex_bytes and current is not None:
            current += bytes.fromhex(hex_bytes[1])
        elif not hex_bytes:
            if current is not None:
                if len(current) != expected:
                    raise ValueError(f"{len(current)} bytes where {expected} were captured")
                yield bytes(current)
            segment = _SEGMENT.match(line)
            current, expected = (bytearray(), int(segment[2])) if segment and segment[1] == "C->S" else (None, 0)


def connection(path: Path) -> tuple[str, dict[str, Any]]:
    """Where it belongs, and what is kept of it."""
    lines = path.read_text().splitlines()
    head = _CONNECTION.match(lines[0])
    if head is None:
        raise ValueError(f"{path} does not begin as a capture does")
    sent = list(segments(lines[1:]))
    kept: dict[str, Any] = {"file": path.name, "chain": json.loads(head[2])}
    if head[1] == "443" and b"upgrade: websocket" in sent[0].lower():
        request, end, rest = sent[0].partition(b"\r\n\r\n")
        frames = ([rest] if rest else []) + sent[1:]
        kept["request"] = (request + end).decode("latin-1")
        kept["frames"] = [base64.b64encode(part).decode() for part in frames]
        return "websocket", kept
    return _DIRECTORIES[head[1]], kept | {"sent": [part.decode("latin-1") for part in sent]}


def main(captures: Path, fixtures: Path) -> None:
    for group in sorted(path for path in captures.iterdir() if path.is_dir()):
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for path in sorted(group.glob("[0-9]*-*.txt")):
            directory, kept = connection(path)
            found[directory].append(kept)
        for directory, connections in found.items():
            document = {"group": group.name, "connections": connections}
            (fixtures / directory).mkdir(exist_ok=True)
            (fixtures / directory / f"{group.name}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)
