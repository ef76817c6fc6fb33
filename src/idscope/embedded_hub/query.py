"""Owns the little of the hub's query language that is understood. It must not know how a query is carried out."""

from __future__ import annotations

import re
from typing import Final

from idscope.errors import HubArgumentInvalid

_GRAMMAR: Final = re.compile(
    r"""\s* select \s+ \* \s+ from \s+ devices
        (?: \s+ where \s+ (?:devices\.)? deviceId \s* = \s* '(?P<device_id> (?:[^']|'')* )' )?
        \s* ;? \s* \Z""",
    re.IGNORECASE | re.VERBOSE,
)


def parse_query(text: str) -> str | None:
    """The one device that is asked for, None for all of them; raises HubArgumentInvalid for any other query."""
    match = _GRAMMAR.match(text)
    if match is None:
        raise HubArgumentInvalid(
            "This hub understands only SELECT * FROM devices, with or without WHERE deviceId = '<id>'."
        )
    wanted = match["device_id"]
    return None if wanted is None else wanted.replace("''", "'")
