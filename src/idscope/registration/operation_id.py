"""Owns operation ids: a genuine one is known by its own text, so nothing must be kept or pruned to recognise it.
It must not know whether an operation still runs.

`4.{16 hex}.{guid}` (the observed shape): the middle is 8 bytes of HMAC over service, registration and guid.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from idscope.model.guid import new_guid

_GRAMMAR: Final = re.compile(
    r"4\.([0-9a-f]{16})\.([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\Z", re.ASCII
)


class OperationIds:
    """Makes and recognises operation ids with the server's key (32 bytes)."""

    def __init__(self, server_key: bytes) -> None:
        self._server_key = server_key

    @staticmethod
    def new_guid() -> str:
        return new_guid()

    def text(self, service_id: str, registration_key: str, guid: str) -> str:
        return f"4.{self._mac(service_id, registration_key, guid)}.{guid}"

    def guid_of(self, operation_id: str, service_id: str, registration_key: str) -> str | None:
        """The guid of an id that was made for this very registration, None for every other text."""
        match = _GRAMMAR.match(operation_id)
        if match is None:
            return None
        mac, guid = match.groups()
        genuine = hmac.compare_digest(mac, self._mac(service_id, registration_key, guid))
        return guid if genuine else None

    def _mac(self, service_id: str, registration_key: str, guid: str) -> str:
        text = f"operation\n{service_id}\n{registration_key}\n{guid}".encode()
        return hmac.new(self._server_key, text, hashlib.sha256).digest()[:8].hex()
