"""Owns the facts of one certificate of a chain, read once and completely. It must not know what the chain is for.

Whatever is hostile in a certificate shows here: what was read can be looked at without another surprise.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from idscope.clock import from_datetime
from idscope.model.attestation import X509CertificateInfo
from idscope.refusal import Cause, CredentialRefused
from idscope.security.certificate_shape import TooManyParts, check_shape
from idscope.security.certificates import certificate_info
from idscope.security.chain_signature import (
    PublicKey,
    Signature,
    TwoAlgorithms,
    is_made_by,
    names_its_curve,
    read_signature,
)

MAX_CERTIFICATE_BYTES: Final = 64 * 1024
_SHOWN: Final = 120

NormalName = tuple[tuple[tuple[str, str | bytes], ...], ...]

# They must be worked out (RFC 5280, 4.2) and are not, so nothing below them is believed, critical or not.
_CONSTRAINTS: Final = frozenset({ExtensionOID.NAME_CONSTRAINTS, ExtensionOID.POLICY_CONSTRAINTS})
# Critical extensions that are looked at here, or that say nothing where no policy is asked for (RFC 5280, 6.1).
_LOOKED_AT: Final = frozenset(
    {
        *_CONSTRAINTS,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.INHIBIT_ANY_POLICY,
    }
)

E = TypeVar("E", bound=x509.ExtensionType)


class ChainRefused(CredentialRefused):
    """Why a chain is not accepted; the text is for the operator, never for the device."""

    default_cause = Cause.CERTIFICATES_UNREADABLE


class ChainCertificate(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Facts of one certificate. Times in microseconds; `key` is its public key in DER, `public_key` the same to check
    signatures with, None where it is of a kind that is not used here.

    `name` is its subject, or part of it, for people; `subject` and `issuer` are made to be compared. `is_authority`,
    `key_usage`, `purposes` (OIDs) are None where the extension is absent.
    """

    der: bytes
    thumbprint: str
    name: str
    issuer_name: str
    subject: NormalName
    issuer: NormalName
    not_before: int
    not_after: int
    key: bytes
    public_key: PublicKey | None
    signature: Signature
    is_authority: bool | None
    path_length: int | None
    key_usage: x509.KeyUsage | None
    purposes: frozenset[str] | None
    not_understood: tuple[str, ...]
    constraints: tuple[str, ...]
    key_identifier: bytes | None
    authority_key_identifier: bytes | None
    common_names: tuple[str, ...]
    dns_names: tuple[str, ...]
    info: X509CertificateInfo


def read_chain_certificate(der: bytes) -> ChainCertificate:
    """Raises ChainRefused, whatever the bytes are."""
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise ChainRefused(f"a certificate is longer than {MAX_CERTIFICATE_BYTES} bytes")
    try:
        with warnings.catch_warnings():  # the library warns of names that are too long, and of much else
            warnings.simplefilter("ignore")
            check_shape(der)
            return _facts(der, x509.load_der_x509_certificate(der))
    except TooManyParts as error:
        raise ChainRefused(str(error)) from None
    except TwoAlgorithms:
        raise ChainRefused("a certificate names two signature algorithms, one signed and one beside it") from None
    except Exception as error:  # noqa: BLE001 - what the library raises for hostile bytes is no closed list
        raise ChainRefused(f"a certificate cannot be read ({type(error).__name__})") from None


def is_signed_by(child: ChainCertificate, issuer: ChainCertificate) -> bool:
    """Whether the issuer's key made the child's signature; nothing else is compared."""
    return is_made_by(child.signature, issuer.public_key)


def _facts(der: bytes, certificate: x509.Certificate) -> ChainCertificate:
    extensions = certificate.extensions
    basic = _value(extensions, x509.BasicConstraints)
    purposes = _value(extensions, x509.ExtendedKeyUsage)
    key_identifier = _value(extensions, x509.SubjectKeyIdentifier)
    authority = _value(extensions, x509.AuthorityKeyIdentifier)
    alternative = _value(extensions, x509.SubjectAlternativeName)
    info = certificate_info(certificate)
    key, public_key = _key(certificate)
    return ChainCertificate(
        der=der,
        thumbprint=info.sha256_thumbprint,
        name=_shown(info.subject_name),
        issuer_name=_shown(info.issuer_name),
        subject=_normal(certificate.subject),
        issuer=_normal(certificate.issuer),
        not_before=from_datetime(certificate.not_valid_before_utc),
        not_after=from_datetime(certificate.not_valid_after_utc),
        key=key,
        public_key=public_key,
        signature=read_signature(der, certificate),
        is_authority=None if basic is None else basic.ca,
        path_length=None if basic is None else basic.path_length,
        key_usage=_value(extensions, x509.KeyUsage),
        purposes=None if purposes is None else frozenset(purpose.dotted_string for purpose in purposes),
        not_understood=tuple(
            each.oid.dotted_string for each in extensions if each.critical and each.oid not in _LOOKED_AT
        ),
        constraints=tuple(each.oid.dotted_string for each in extensions if each.oid in _CONSTRAINTS),
        key_identifier=None if key_identifier is None else key_identifier.digest,
        authority_key_identifier=None if authority is None else authority.key_identifier,
        common_names=tuple(
            part.value if isinstance(part.value, str) else part.value.hex()
            for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ),
        dns_names=() if alternative is None else tuple(alternative.get_values_for_type(x509.DNSName)),
        info=info,
    )


def _value(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key(certificate: x509.Certificate) -> tuple[bytes, PublicKey | None]:
    """The key in DER, also where it is of no kind that is used here: a certificate that nobody needs does no harm."""
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        # Something that is the same for the same certificate only.
        return hashlib.sha256(certificate.tbs_certificate_bytes).digest(), None
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, ec.EllipticCurvePublicKey) and not names_its_curve(der, certificate.tbs_certificate_bytes):
        return der, None
    return der, key if isinstance(key, PublicKey) else None


def _normal(name: x509.Name) -> NormalName:
    """Compared without case and with blanks folded (RFC 5280, 7.1), whatever string type spells it."""
    return tuple(tuple(sorted((part.oid.dotted_string, _folded(part.value)) for part in rdn)) for rdn in name.rdns)


def _folded(value: str | bytes) -> str | bytes:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
