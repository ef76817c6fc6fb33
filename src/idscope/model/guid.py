"""Owns the making of GUIDs (RFC 9562, version 4, lower case). It must not know what they name.

They are unique, not secret: whoever guesses one gains nothing, so none costs a system call.
"""

from __future__ import annotations

import random


def new_guid() -> str:
    digits = f"{random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
