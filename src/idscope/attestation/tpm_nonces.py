"""Owns the nonces that TPMs prove themselves with. It must not know how one reaches a TPM, nor what is signed with it.

Over HTTPS a nonce is derived, not stored: any worker finds it again, and nobody can overwrite that of a device that is
still busy with it. It holds for its window of ten minutes and for the one after.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

from idscope.clock import MICROSECONDS
from idscope.secret import Secret
from idscope.security.tpm_activation import HMAC_KEY_BYTES

WINDOW_SECONDS: Final = 600


def new_nonce() -> Secret:
    """A nonce for one connection."""
    return _text(secrets.token_bytes(HMAC_KEY_BYTES))


class TpmNonces:
    """Derives nonces with the server's key (32 bytes)."""

    def __init__(self, server_key: bytes) -> None:
        if len(server_key) < HMAC_KEY_BYTES:
            raise ValueError(f"the server's key has {HMAC_KEY_BYTES} bytes")
        self._server_key = server_key

    def valid(self, id_scope: str, registration_id: str, endorsement_key: bytes, now: int) -> tuple[Secret, Secret]:
        """Those of this and of the previous window, for the TPM with this endorsement key; ids know no case."""
        window = now // MICROSECONDS // WINDOW_SECONDS
        names = (id_scope.lower().encode(), registration_id.lower().encode(), endorsement_key)
        return self._nonce(*names, b"%d" % window), self._nonce(*names, b"%d" % (window - 1))

    def _nonce(self, *parts: bytes) -> Secret:
        text = b"tpm nonce;" + b"".join(b"%d:%b;" % (len(part), part) for part in parts)
        return _text(hmac.digest(self._server_key, text, "sha256"))


def _text(nonce: bytes) -> Secret:
    return Secret(base64.b64encode(nonce).decode())
