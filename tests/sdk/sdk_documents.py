"""Owns the documents and credentials that the SDK tests send: enrollments, keys, certificates, tokens.

It must not use the server's own code: what is expected of the server comes from elsewhere.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import secrets
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Document = dict[str, Any]

# A TPM2B_PUBLIC that a software TPM (swtpm) made for an RSA-2048 endorsement key of the TCG template.
ENDORSEMENT_KEY = (
    "AToAAQALAAMAsgAgg3GXZ0SEs/gakMyNRqXXJP1S124GUgtk8qHaGzMUaaoABgCAAEMAEAgAAAAAAAEAtbyifTCgKkN39mdW7b/RjCSDCo0la3"
    "5mPBrOKzexG4UZyYjc1RAyefrcR5rVC5zGgULLVTIZ+6eN3c/SMwZYvFUGz16DkM2bHx8steNFGUeZHFmtAiHBjjHk/79O/lFsW0MMLn5Mhgiz"
    "2QVOJk8zxGYBu1PWqFPwjJxpogXfaymB+ml/LnS5aGQ7RA+AwdSyzzVDQ916biFysX3IOr8A3uPuW5CWiV+uJEjyfzGskQTeqU0wgjCOvSjrHl"
    "dkZ86iHyVulVZdwWURdPYFjc2yDVFVF03LtTM5MT8cuHZbUHTipvKWIY1hWHjcjCmZbJkr7a/4H+/elOSi9l/8AEugWw=="
)


def new_key() -> str:
    """64 random bytes, as the Azure portal makes them."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


def symmetric_key_enrollment(registration_id: str, keys: Document | None = None, **members: Any) -> Document:
    """An individual enrollment; without keys the service makes them."""
    attestation: Document = {"type": "symmetricKey"}
    if keys is not None:
        attestation["symmetricKey"] = keys
    return {"registrationId": registration_id, "attestation": attestation, **members}


def symmetric_key_group(group_id: str, keys: Document | None = None, **members: Any) -> Document:
    """An enrollment group; without keys the service makes them."""
    individual = symmetric_key_enrollment("", keys, **members)
    return {"enrollmentGroupId": group_id} | {name: individual[name] for name in individual if name != "registrationId"}


def derived_key(group_key: str, registration_id: str) -> str:
    """A group device's own key as the published rule makes it."""
    mac = hmac.digest(base64.b64decode(group_key), registration_id.encode(), hashlib.sha256)
    return base64.b64encode(mac).decode()


def device_token(id_scope: str, registration_id: str, key: str, *, lifetime: int = 3600) -> str:
    """A device's SAS token as the published rule makes it (string to sign: resource, line feed, expiry)."""
    resource = urllib.parse.quote(f"{id_scope}/registrations/{registration_id}", safe="")
    expiry = int(time.time()) + lifetime
    mac = hmac.digest(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256)
    signature = urllib.parse.quote(base64.b64encode(mac).decode(), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn=registration"


def instant(text: str) -> dt.datetime:
    """A published time stamp; its text does not sort, because trailing zeros of the fraction are trimmed."""
    return dt.datetime.fromisoformat(text)


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate in the three forms that clients send, and what Azure shows of it."""

    pem: str
    der: bytes
    serial_number: int
    common_name: str

    @property
    def base64_der(self) -> str:
        return base64.b64encode(self.der).decode()

    @property
    def base64_pem(self) -> str:
        return base64.b64encode(self.pem.encode()).decode()

    @property
    def sha1_thumbprint(self) -> str:
        return hashlib.sha1(self.der).hexdigest().upper()

    @property
    def sha256_thumbprint(self) -> str:
        return hashlib.sha256(self.der).hexdigest().upper()


def self_signed(common_name: str) -> Certificate:
    """A device's own certificate, EC P-256, valid for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        der=certificate.public_bytes(serialization.Encoding.DER),
        serial_number=certificate.serial_number,
        common_name=common_name,
    )


def self_signed_ending_in_a_blank(common_name: str) -> Certificate:
    """A certificate whose DER ends in a byte that is a blank in ASCII: about one in forty does."""
    while True:
        certificate = self_signed(common_name)
        if certificate.der[-1:].isspace():
            return certificate
