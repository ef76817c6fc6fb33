"""Owns the operator's own access: one bearer token, every right. It must not know where the token is kept."""

from __future__ import annotations

from typing import Final

from idscope.access.caller import Caller
from idscope.directory import Right
from idscope.errors import Unauthorized
from idscope.secret import Secret

_SCHEME: Final = "bearer"


def authenticate_admin(authorization: str | None, token: Secret) -> Caller:
    """Raises Unauthorized."""
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != _SCHEME or Secret(given.strip()) != token:
        raise Unauthorized(reason="the operator API wants 'Authorization: Bearer' and the admin token")
    return Caller("admin", frozenset(Right))
