"""Owns what becomes of an attestation mechanism on its way into the store, and on its way out.
It must not know who asks for it.

In: keys that are left out are made, or kept from what is stored; a certificate slot that holds only `info` keeps its
certificate; every certificate gets its info. Out: certificates are never echoed, keys only where they are asked for.
"""

from __future__ import annotations

import base64
from typing import Final

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.errors import InvalidArgument
from idscope.model.attestation import (
    AttestationMechanism,
    SymmetricKeyAttestation,
    X509Attestation,
    X509Certificates,
    X509CertificateWithInfo,
)
from idscope.model.document import UNSET, UnsetType, given
from idscope.secret import Secret
from idscope.security.certificates import certificate_info, read_certificate
from idscope.security.keys import check_symmetric_key, new_symmetric_key

_PAIRS: Final = ("client_certificates", "signing_certificates")


def completed(asked: AttestationMechanism, stored: AttestationMechanism | None) -> AttestationMechanism:
    """The mechanism to store. `stored` counts only where it is of the same type. Raises InvalidArgument."""
    if stored is not None and stored.type != asked.type:
        stored = None
    keys, x509 = given(asked.symmetric_key), given(asked.x509)
    if asked.type == "symmetricKey" or keys is not None:
        kept = None if stored is None else given(stored.symmetric_key)
        asked = msgspec.structs.replace(asked, symmetric_key=_keys(keys, kept))
    if x509 is not None:
        kept_x509 = None if stored is None else given(stored.x509)
        asked = msgspec.structs.replace(asked, x509=_x509(x509, kept_x509))
    return asked


def without_secrets(attestation: AttestationMechanism) -> AttestationMechanism:
    """As GET and query show it: `{"type":"symmetricKey"}` for keys, only `info` of certificates."""
    x509 = given(attestation.x509)
    return msgspec.structs.replace(
        attestation, symmetric_key=UNSET, x509=UNSET if x509 is None else _without_certificates(x509)
    )


def with_keys(attestation: AttestationMechanism) -> AttestationMechanism:
    """As PUT and attestationmechanism answer it: keys in clear, only `info` of certificates."""
    return msgspec.structs.replace(without_secrets(attestation), symmetric_key=attestation.symmetric_key)


def client_thumbprints(attestation: AttestationMechanism) -> frozenset[str]:
    """SHA-256, upper-case hex, of the certificates that devices show themselves."""
    return _thumbprints(attestation, "client_certificates")


def signing_thumbprints(attestation: AttestationMechanism) -> frozenset[str]:
    """SHA-256, upper-case hex, of the certificates that sign those of devices."""
    return _thumbprints(attestation, "signing_certificates")


def _thumbprints(attestation: AttestationMechanism, name: str) -> frozenset[str]:
    x509 = given(attestation.x509)
    pair: X509Certificates | None = None
    if x509 is not None and attestation.type == "x509":
        pair = given(getattr(x509, name))
    slots = () if pair is None else (given(pair.primary), given(pair.secondary))
    infos = (given(slot.info) for slot in slots if slot is not None)
    return frozenset(info.sha256_thumbprint for info in infos if info is not None)


def _keys(asked: SymmetricKeyAttestation | None, stored: SymmetricKeyAttestation | None) -> SymmetricKeyAttestation:
    """Null, absent and empty are one case: kept on an update, made on a create (observed)."""
    return SymmetricKeyAttestation(
        primary_key=_key("primary_key", asked, stored), secondary_key=_key("secondary_key", asked, stored)
    )


def _key(name: str, asked: SymmetricKeyAttestation | None, stored: SymmetricKeyAttestation | None) -> Secret:
    given_key: Secret | None = None if asked is None else given(getattr(asked, name))
    if given_key:
        return check_symmetric_key(given_key, "primaryKey" if name == "primary_key" else "secondaryKey")
    kept: Secret | None = None if stored is None else given(getattr(stored, name))
    return kept or new_symmetric_key()


def _x509(asked: X509Attestation, stored: X509Attestation | None) -> X509Attestation:
    for name in _PAIRS:
        pair: X509Certificates | None = given(getattr(asked, name))
        if pair is not None:
            kept: X509Certificates | None = None if stored is None else given(getattr(stored, name))
            asked = msgspec.structs.replace(asked, **{name: _certificates(pair, kept, name)})
    return asked


def _certificates(asked: X509Certificates, stored: X509Certificates | None, name: str) -> X509Certificates:
    """With only a primary sent, the secondary is filled with the same (observed); never the other way round."""
    primary = _slot(given(asked.primary), None if stored is None else given(stored.primary), f"{name}.primary")
    secondary = _slot(given(asked.secondary), None if stored is None else given(stored.secondary), f"{name}.secondary")
    return X509Certificates(
        primary=UNSET if primary is None else primary,
        secondary=UNSET if secondary is None and primary is None else secondary or primary,
    )


def _slot(
    asked: X509CertificateWithInfo | None, stored: X509CertificateWithInfo | None, name: str
) -> X509CertificateWithInfo | None:
    if asked is None:
        return None
    text = given(asked.certificate)
    if not text:
        if stored is None:
            raise InvalidArgument(f"{_wire_name(name)}.certificate is required.")
        return stored
    certificate = read_certificate(text, f"{_wire_name(name)}.certificate")
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    return X509CertificateWithInfo(certificate=der, info=certificate_info(certificate))


def _without_certificates(x509: X509Attestation) -> X509Attestation:
    for name in _PAIRS:
        pair: X509Certificates | None = given(getattr(x509, name))
        if pair is not None:
            shown = X509Certificates(primary=_info_only(pair.primary), secondary=_info_only(pair.secondary))
            x509 = msgspec.structs.replace(x509, **{name: shown})
    return x509


def _info_only(slot: X509CertificateWithInfo | UnsetType | None) -> X509CertificateWithInfo | UnsetType:
    return UNSET if slot is UNSET or slot is None else X509CertificateWithInfo(info=slot.info)


def _wire_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
