"""Owns the reading of one certificate: the three forms in which clients send it, and what is told of it.
It must not know what a certificate is trusted for."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.clock import format_time, from_datetime
from idscope.errors import InvalidArgument
from idscope.model.attestation import X509CertificateInfo

MAX_CERTIFICATE_LENGTH: Final = 64 * 1024
_PEM_BEGIN: Final = b"-----BEGIN"


def read_certificate(text: str, name: str) -> x509.Certificate:
    """From PEM, Base64 of DER, or Base64 of the PEM text (Node's group tests send that).

    Raises InvalidArgument, naming the member.
    """
    if len(text) > MAX_CERTIFICATE_LENGTH:
        raise InvalidArgument(f"{name} is longer than {MAX_CERTIFICATE_LENGTH} characters.")
    try:
        data = text.strip().encode("ascii")
        if not data.startswith(_PEM_BEGIN):
            data = base64.b64decode(b"".join(data.split()), validate=True)
        # DER is taken as it is: its last byte may well have the value of a blank.
        if data.lstrip().startswith(_PEM_BEGIN):
            certificate = x509.load_pem_x509_certificate(data)
        else:
            certificate = x509.load_der_x509_certificate(data)
        certificate_info(certificate)  # what cannot be told of a certificate is found now, not when it is read back
    except (ValueError, binascii.Error, x509.InvalidVersion, UnicodeError):
        raise InvalidArgument(f"{name} is not a certificate in PEM or Base64 DER.") from None
    return certificate


def sha256_thumbprint(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest().upper()


def certificate_info(certificate: x509.Certificate) -> X509CertificateInfo:
    """Thumbprints and serial number in upper-case hex, dates without fraction (observed)."""
    der = certificate.public_bytes(Encoding.DER)
    serial = f"{certificate.serial_number:X}"
    return X509CertificateInfo(
        subject_name=distinguished_name(certificate.subject),
        sha1_thumbprint=hashlib.sha1(der).hexdigest().upper(),  # noqa: S324 - a published member
        sha256_thumbprint=hashlib.sha256(der).hexdigest().upper(),
        issuer_name=distinguished_name(certificate.issuer),
        not_before_utc=format_time(from_datetime(certificate.not_valid_before_utc)),
        not_after_utc=format_time(from_datetime(certificate.not_valid_after_utc)),
        serial_number=serial.zfill(len(serial) + len(serial) % 2),
        version=certificate.version.value + 1,
    )


def distinguished_name(name: x509.Name) -> str:
    """`CN=device, O=Contoso`: last relative name first, separated by comma and blank, as .NET writes it."""
    return ", ".join(part.rfc4514_string() for part in reversed(name.rdns))
