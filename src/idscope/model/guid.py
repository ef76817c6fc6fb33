"""Owns the making of GUIDs (RFC 9562, versions 4 and 7, lower case). It must not know what they name.

They are unique, not secret: whoever guesses one gains nothing, so none costs a system call.
"""

from __future__ import annotations

import random
import time


def new_guid() -> str:
    digits = f"{random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def new_ordered_guid() -> str:
    """One that begins with the time (version 7), so that neighbours in time are neighbours in an index."""
    moment = f"{time.time_ns() // 1_000_000:012x}"
    digits = f"{random.getrandbits(80):020x}"
    variant = "89ab"[int(digits[0], 16) & 3]
    return f"{moment[:8]}-{moment[8:]}-7{digits[1:4]}-{variant}{digits[4:7]}-{digits[7:19]}"
