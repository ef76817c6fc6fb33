"""The published and recorded values that the TPM tests compare with. It must not know the code under test."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent

# The keys of a real (emulated) TPM, and a blob that Microsoft's clients for Node, C and Java took in.
SAMPLE: dict[str, Any] = json.loads((_HERE / "activation_sample.json").read_text())
ENDORSEMENT_KEY: str = SAMPLE["ekB64"]
STORAGE_ROOT_KEY: str = SAMPLE["srkB64"]
VECTORS: dict[str, Any] = json.loads((_HERE / "published_vectors.json").read_text())


def changed(at: int, replacement: bytes, text: str = ENDORSEMENT_KEY) -> str:
    """The key with some bytes replaced."""
    structure = bytearray(base64.b64decode(text))
    structure[at : at + len(replacement)] = replacement
    return base64.b64encode(structure[: len(base64.b64decode(text))]).decode()
