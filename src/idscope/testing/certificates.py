"""Owns the making of test certificates: authorities, chains, expired and odd ones, as files and objects. It must not
know who judges them.

Keys are elliptic (P-256), quick to make; nothing here is fit for anything but tests.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class CertificateMaker:
    """One certificate with its key, and the certificates above it; makes further ones below itself."""

    def __init__(
        self, certificate: x509.Certificate, key: PrivateKey, issuers: Sequence[x509.Certificate] = ()
    ) -> None:
        self.certificate = certificate
        self.key = key
        self.issuers = tuple(issuers)

    @classmethod
    def authority(cls, common_name: str = "test root") -> Self:
        """A self-signed authority."""
        return cls._make(common_name, issuer=None, authority=True)

    @classmethod
    def self_signed(cls, common_name: str, *, days: tuple[int, int] = (-1, 365)) -> Self:
        """A self-signed device certificate; `days` from now: not before, not after."""
        return cls._make(common_name, issuer=None, authority=False, days=days)

    def intermediate(self, common_name: str) -> Self:
        """An authority below this one."""
        return self._make(common_name, issuer=self, authority=True)

    def device(self, common_name: str, *, days: tuple[int, int] = (-1, 365), key: PrivateKey | None = None) -> Self:
        """A device certificate below this one, of a new key unless one is given."""
        return self._make(common_name, issuer=self, authority=False, days=days, key=key)

    def server(self, *names: str, key: PrivateKey | None = None) -> Self:
        """A server certificate for these host names and IP addresses."""
        return self._make(names[0], issuer=self, authority=False, names=names, key=key)

    @classmethod
    def _make(
        cls,
        common_name: str,
        *,
        issuer: CertificateMaker | None,
        authority: bool,
        days: tuple[int, int] = (-1, 365),
        names: Sequence[str] = (),
        key: PrivateKey | None = None,
    ) -> Self:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        signing_key = key if issuer is None else issuer.key
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * _DAY)
            .not_valid_after(now + days[1] * _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_name(name) for name in names]), critical=False
            )
        certificate = builder.sign(signing_key, hashes.SHA256())
        return cls(certificate, key, () if issuer is None else (issuer.certificate, *issuer.issuers))

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """This certificate and all above it, leaf first, the root last."""
        return (self.certificate, *self.issuers)

    @property
    def pem(self) -> bytes:
        """This certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    def der_chain(self) -> tuple[bytes, ...]:
        """`chain` in DER."""
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in self.chain)

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """`name.pem` with the whole chain and `name.key`; returns both paths."""
        certificate_file, key_file = directory / f"{name}.pem", directory / f"{name}.key"
        certificate_file.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in self.chain))
        key_file.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate_file, key_file


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
