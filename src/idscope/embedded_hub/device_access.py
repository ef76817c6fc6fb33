"""Owns who may connect to an embedded hub as which device: the judgement of token or certificate. It must not know a
wire, nor what a device may do once it is in.

What is refused is one error without detail; the reason is for the operator.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from cryptography import x509

from idscope.clock import MICROSECONDS, Clock, from_datetime
from idscope.directory import EmbeddedHub, Right, Snapshot
from idscope.embedded_hub.authentication import open_authentication
from idscope.embedded_hub.documents import AuthenticationMechanism, SymmetricKey, X509Thumbprint
from idscope.embedded_hub.records import DeviceRecord
from idscope.errors import HubUnauthorized
from idscope.secret import Secret
from idscope.security.sas import CLOCK_SKEW_SECONDS, SasRefused, SasToken, check_expiry, parse_sas, signed_with
from idscope.security.sealing import Sealer
from idscope.storage import HubDeviceRow, Key, Store

_NOBODYS_KEY: Final = Secret(base64.b64encode(secrets.token_bytes(32)).decode())  # of devices that there are not


class HubLogin(msgspec.Struct, frozen=True):
    """What a user name says; `host` is bare."""

    host: str
    device_id: str
    module_id: str | None
    api_version: str

    @property
    def client_id(self) -> str:
        """The client id that goes with it."""
        return self.device_id if self.module_id is None else f"{self.device_id}/{self.module_id}"


class AdmittedDevice(msgspec.Struct, frozen=True):
    """A device that proved itself; `expires` in microseconds where its token ends, None with a certificate."""

    hub_id: str
    device_id: str
    generation_id: str
    expires: int | None


class DeviceAccess:
    """Admits devices to the embedded hubs of a snapshot."""

    def __init__(self, store: Store, sealer: Sealer, clock: Clock, snapshot: Callable[[], Snapshot]) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._snapshot = snapshot

    async def admit(
        self, login: HubLogin, client_id: str, password: Secret | None, chain: Sequence[bytes] = ()
    ) -> AdmittedDevice:
        """The device, from a user name, a client id and either a token or a certificate chain (DER, leaf first).

        Raises HubUnauthorized, HubUnavailable, StoreUnavailable.
        """
        if not login.api_version or client_id != login.client_id:
            raise HubUnauthorized(reason="the user name has no api-version, or the client id is another one")
        if login.module_id is not None:
            raise HubUnauthorized(reason="this hub has no modules")
        hub = _named_hub(self._snapshot(), login.host)
        keys: list[Key[Any]] = [Key(HubDeviceRow, (hub.hub_id, login.device_id))]
        [row] = await self._store.fetch(keys)
        record = None if row is None else msgspec.json.decode(row.document, type=DeviceRecord)
        authentication = (
            None
            if row is None or record is None
            else open_authentication(self._sealer, hub.hub_id, login.device_id, record.authentication, row.sealed)
        )
        try:
            expires = judge(login.device_id, authentication, hub, password, chain, self._clock.now())
        except SasRefused as refused:
            raise HubUnauthorized(reason=str(refused)) from None
        if record is None or record.status != "enabled":
            raise HubUnauthorized(reason="there is no such device" if record is None else "the device is disabled")
        return AdmittedDevice(hub.hub_id, login.device_id, record.generation_id, expires)


def _named_hub(snapshot: Snapshot, host: str) -> EmbeddedHub:
    """Unlike a Host header, a user name that names no hub is refused."""
    wanted = host.lower()
    for hub in snapshot.hubs:
        if wanted in hub.host_names:
            return hub
    raise HubUnauthorized(reason="the user name names no hub of this server")


def judge(
    device_id: str,
    authentication: AuthenticationMechanism | None,
    hub: EmbeddedHub,
    password: Secret | None,
    chain: Sequence[bytes],
    now: int,
) -> int | None:
    """Until when the proof holds (None: no end); raises SasRefused, in words for the operator.

    `authentication` is that of the stored device, None where there is none: then no proof is good.
    """
    if password:
        return _judge_token(device_id, authentication, hub, parse_sas(password.reveal()), now)
    if not chain:
        raise SasRefused("neither a token nor a certificate was sent")
    _judge_certificate(authentication, chain[0], now)
    return None


def _judge_token(
    device_id: str, authentication: AuthenticationMechanism | None, hub: EmbeddedHub, token: SasToken, now: int
) -> int:
    keys = _policy_keys(hub, token) if token.key_name else _device_keys(authentication)
    audience = _audience(token)
    wanted = f"/devices/{device_id.lower()}"
    good_paths = (wanted, "/devices", "") if token.key_name else (wanted,)
    good = [audience == f"{host}{path}" for host in hub.host_names for path in good_paths]
    if not any(good):
        raise SasRefused("the token's audience is not this device of this hub")
    if not sum(signed_with(token, key) for key in keys):  # each of them is tried: the time tells nothing
        raise SasRefused("the token's signature was made with neither key")
    check_expiry(token, now)
    return (token.expiry + CLOCK_SKEW_SECONDS) * MICROSECONDS


def _audience(token: SasToken) -> str:
    """Without case: one client lower-cases what it signs."""
    return token.resource.lower().rstrip("/")


def _policy_keys(hub: EmbeddedHub, token: SasToken) -> tuple[Secret, Secret]:
    policy = hub.policies.get(token.key_name)
    if policy is None or Right.DEVICE_CONNECT not in policy.rights:
        raise SasRefused(f"no shared access policy {token.key_name[:100]!r} may connect devices")
    return policy.primary_key, policy.secondary_key


def _device_keys(authentication: AuthenticationMechanism | None) -> tuple[Secret, Secret]:
    if authentication is not None and authentication.type != "sas":
        raise SasRefused(f"the device's authentication is {authentication.type}, not sas")
    keys = (authentication.symmetric_key if authentication else None) or SymmetricKey()
    return keys.primary_key or _NOBODYS_KEY, keys.secondary_key or _NOBODYS_KEY


def _judge_certificate(authentication: AuthenticationMechanism | None, leaf: bytes, now: int) -> None:
    """SHA-1 or SHA-256 of the leaf, whoever issued it: TLS has shown that the device holds its key."""
    if authentication is not None and authentication.type != "selfSigned":
        raise SasRefused(f"the device's authentication is {authentication.type}: no thumbprint is accepted")
    stored = (authentication.x509_thumbprint if authentication else None) or X509Thumbprint()
    presented = (hashlib.sha1(leaf).hexdigest(), hashlib.sha256(leaf).hexdigest())  # noqa: S324 - a published form
    wanted = [one.lower() for one in (stored.primary_thumbprint, stored.secondary_thumbprint) if one]
    same = [hmac.compare_digest(one.encode(), other.encode()) for one in wanted for other in presented]
    if not any(same):
        raise SasRefused("the certificate's thumbprint is neither of the device's")
    _check_validity(leaf, now)


def _check_validity(leaf: bytes, now: int) -> None:
    try:
        certificate = x509.load_der_x509_certificate(leaf)
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except ValueError:
        raise SasRefused("the certificate cannot be read") from None
    if not from_datetime(begin) <= now <= from_datetime(end):
        raise SasRefused("the certificate is not valid now")
