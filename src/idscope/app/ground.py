"""Owns what a worker stands on, made before it was forked. It must not know what is built on it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from idscope.app.endpoints import Endpoints
from idscope.app.server_certificate import ServerCertificate
from idscope.clock import Clock
from idscope.secret import Secret
from idscope.security.sealing import Sealer
from idscope.settings import Settings


class Ground(msgspec.Struct, frozen=True):
    """`control` is the directory of the sockets by which workers reach each other."""

    settings: Settings
    endpoints: Endpoints
    certificate: ServerCertificate
    sealer: Sealer
    admin_token: Secret
    clock: Clock
    control: Path
