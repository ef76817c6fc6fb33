"""Owns the certificates of a benchmark's devices: a root, two CAs below it, and leaves of one key. It must not know who
is shown them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bench.load import Certificate

_DAY: Final = dt.timedelta(days=1)


class _Issued(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def self_signed(directory: Path, name: str) -> Certificate:
    """ECDSA P-256, as a device makes it."""
    return _files(directory, "client", _issue(name, None, authority=False))


class DeviceCertificates:
    """Devices below two CAs below a root; a device sends three certificates: its own and those two.

    `root` and `signing` (the CA that signs the devices) are PEM texts.
    """

    def __init__(self, directory: Path) -> None:
        root = _issue("bench root", None, authority=True)
        upper = _issue("bench factory", root, authority=True)
        self._signing = _issue("bench line", upper, authority=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._directory = directory
        self.root, self.signing = root.pem.decode(), self._signing.pem.decode()
        self._chain = directory / "issuers.pem"
        self._chain.write_bytes(self._signing.pem + upper.pem)

    def of(self, name: str, devices: Sequence[str]) -> Certificate:
        """Files with a certificate for each device, in their order."""
        files = _files(self._directory, name, *self._issued(devices))
        return files._replace(chain=self._chain)

    def _issued(self, devices: Sequence[str]) -> Iterator[_Issued]:
        for device in devices:
            yield _issue(device, self._signing, authority=False, key=self._key)


def _issue(
    name: str, issuer: _Issued | None, *, authority: bool, key: ec.EllipticCurvePrivateKey | None = None
) -> _Issued:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above, signing_key = (subject, key) if issuer is None else (issuer.certificate.subject, issuer.key)
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        above, subject, key.public_key(), x509.random_serial_number(), now - _DAY, now + _DAY
    ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    return _Issued(builder.sign(signing_key, hashes.SHA256()), key)


def _files(directory: Path, name: str, *issued: _Issued) -> Certificate:
    files = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    files.certificate.write_bytes(b"".join(one.pem for one in issued))
    private = issued[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files.key.write_bytes(private)
    return files
