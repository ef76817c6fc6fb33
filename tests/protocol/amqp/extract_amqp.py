"""Makes the fixtures of this directory from a directory of captures, one folder an SDK, one file a connection.
It must not know what the server is expected to answer.

    python tests/protocol/amqp/extract_amqp.py CAPTURES

A capture holds lines such as `1.527 C->S 430 bytes`, each followed by a hex dump. What the client sent on port 5671 is
kept, as it was cut, and nothing of what it was answered.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CONNECTION = re.compile(r"# conn \d+ port 5671 .* clientCertChain=(\[.*?\]) from ")
_SEGMENT = re.compile(r"\s*[\d.]+ (C->S|S->C) (\d+) bytes")
_HEX = re.compile(r"    [0-9a-f]{4,}  ((?:[0-9a-f]{2} )*[0-9a-f]{2})")


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


def connection(path: Path) -> dict[str, Any]:
    lines = path.read_text().splitlines()
    head = _CONNECTION.match(lines[0])
    if head is None:
        raise ValueError(f"{path} does not begin as a capture does")
    return {
        "file": path.name,
        "chain": json.loads(head[1]),
        "sent": [part.decode("latin-1") for part in segments(lines[1:])],
    }


def main(captures: Path, fixtures: Path) -> None:
    for group in sorted(path for path in captures.iterdir() if path.is_dir()):
        connections = [connection(path) for path in sorted(group.glob("*-5671.txt"))]
        if connections:
            document = {"group": group.name, "connections": connections}
            (fixtures / f"{group.name}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "captures")
