"""Owns how a device proves itself to its hub: what a caller may claim, what is stored of it, and where keys are sealed.
It must not know how the proof is judged."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import Final

import msgspec

from idscope.embedded_hub.documents import AuthenticationMechanism, SymmetricKey, X509Thumbprint
from idscope.errors import HubArgumentInvalid, HubUnavailable
from idscope.model.document import decode, encode_revealing
from idscope.secret import Secret
from idscope.security.sealing import CannotOpen, Place, Sealer

NEW_KEY_BYTES: Final = 32  # observed of generated keys
_KEY_BYTES: Final = range(16, 65)  # published: 16 to 64 bytes
_TYPES: Final = ("sas", "selfSigned", "certificateAuthority", "none")
_THUMBPRINT: Final = re.compile(r"(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})\Z", re.ASCII)


class StoredAuthentication(msgspec.Struct, frozen=True):
    """The part of an authentication that is no secret."""

    type: str
    primary_thumbprint: str | None = None
    secondary_thumbprint: str | None = None


def settle(claimed: AuthenticationMechanism | None, stored: AuthenticationMechanism | None) -> AuthenticationMechanism:
    """The complete authentication after a change; raises HubArgumentInvalid.

    A key that is null, absent or empty keeps the stored one, or is made where there is none [choice: as the
    provisioning service does].
    """
    if claimed is None:
        return stored or settle(AuthenticationMechanism(type="sas"), None)
    kind = _type_of(claimed)
    match kind:
        case "sas":
            return _complete(kind, _settle_keys(claimed.symmetric_key, stored), None)
        case "selfSigned":
            return _complete(kind, None, _check_thumbprints(claimed.x509_thumbprint))
        case _:
            return _complete(kind, None, None)


def _type_of(claimed: AuthenticationMechanism) -> str:
    if claimed.type is None:
        thumbprints = claimed.x509_thumbprint
        return "selfSigned" if thumbprints and _any_thumbprint(thumbprints) else "sas"
    if claimed.type not in _TYPES:
        raise HubArgumentInvalid(f"The authentication type must be one of {', '.join(_TYPES)}.")
    return claimed.type


def _complete(kind: str, keys: SymmetricKey | None, thumbprints: X509Thumbprint | None) -> AuthenticationMechanism:
    """Both members are always there in an answer, with nulls where they do not apply (observed)."""
    return AuthenticationMechanism(
        symmetric_key=keys or SymmetricKey(), x509_thumbprint=thumbprints or X509Thumbprint(), type=kind
    )


def _settle_keys(claimed: SymmetricKey | None, stored: AuthenticationMechanism | None) -> SymmetricKey:
    claimed = claimed or SymmetricKey()
    kept = (stored.symmetric_key if stored else None) or SymmetricKey()
    return SymmetricKey(
        primary_key=_check_key(claimed.primary_key) or kept.primary_key or _new_key(),
        secondary_key=_check_key(claimed.secondary_key) or kept.secondary_key or _new_key(),
    )


def _check_key(key: Secret | None) -> Secret | None:
    """The key, None where it is empty; the message never holds it."""
    if not key:
        return None
    try:
        size = len(base64.b64decode(key.reveal(), validate=True))
    except (binascii.Error, ValueError):
        raise HubArgumentInvalid("A symmetric key must be Base64.") from None
    if size not in _KEY_BYTES:
        raise HubArgumentInvalid("A symmetric key must have 16 to 64 bytes.")
    return key


def _new_key() -> Secret:
    return Secret(base64.b64encode(secrets.token_bytes(NEW_KEY_BYTES)).decode())


def _any_thumbprint(thumbprints: X509Thumbprint) -> bool:
    return bool(thumbprints.primary_thumbprint or thumbprints.secondary_thumbprint)


def _check_thumbprints(claimed: X509Thumbprint | None) -> X509Thumbprint:
    """Kept as spelled; SHA-1 and SHA-256 are both in use (observed)."""
    if claimed is None or not _any_thumbprint(claimed):
        raise HubArgumentInvalid("The authentication type selfSigned needs a thumbprint.")
    for one in (claimed.primary_thumbprint, claimed.secondary_thumbprint):
        if one and not _THUMBPRINT.match(one):
            raise HubArgumentInvalid("A thumbprint must be 40 or 64 hexadecimal digits.")
    return claimed


def _place(hub_id: str, device_id: str) -> Place:
    return Place("hub_device", hub_id, device_id)


def seal_keys(sealer: Sealer, hub_id: str, device_id: str, authentication: AuthenticationMechanism) -> str:
    """The sealed keys, empty where there are none."""
    keys = authentication.symmetric_key
    if keys is None or not keys.primary_key:
        return ""
    return sealer.seal(encode_revealing(keys), _place(hub_id, device_id))


def open_authentication(
    sealer: Sealer, hub_id: str, device_id: str, stored: StoredAuthentication, sealed: str
) -> AuthenticationMechanism:
    """Raises HubUnavailable where the keys cannot be opened."""
    try:
        keys = decode(sealer.open(sealed, _place(hub_id, device_id)), SymmetricKey) if sealed else None
    except CannotOpen as error:
        raise HubUnavailable("The hub cannot open the device's keys.", reason=str(error)) from None
    thumbprints = X509Thumbprint(
        primary_thumbprint=stored.primary_thumbprint, secondary_thumbprint=stored.secondary_thumbprint
    )
    return _complete(stored.type, keys, thumbprints)


def without_secrets(authentication: AuthenticationMechanism) -> StoredAuthentication:
    thumbprints = authentication.x509_thumbprint or X509Thumbprint()
    return StoredAuthentication(
        authentication.type or "none", thumbprints.primary_thumbprint, thumbprints.secondary_thumbprint
    )
