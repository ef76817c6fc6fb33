"""Owns the files of issued certificates: PEM chains, PKCS#8 keys, PFX; written once, never over what is there.
It must not know who issues them, nor for whom."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from idscope.certificate_authority.authority import public_key_der
from idscope.certificate_authority.issuing import Issued
from idscope.durable_file import PRIVATE, PUBLIC, create_file
from idscope.secret import Secret

_ISSUING_KEYS = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
    dsa.DSAPrivateKey,
)


class IssuedFilesUnusable(Exception):
    """A file cannot be read, is not what it should be, or is in the way; the text names it and holds no key."""


def write_pem(directory: Path, name: str, issued: Issued) -> tuple[Path, Path]:
    """`NAME.pem`, the certificate and those above it without the root, and `NAME.key`. Raises IssuedFilesUnusable."""
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in (issued.certificate, *issued.issuers))
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate_file, key_file = directory / f"{name}.pem", directory / f"{name}.key"
    require_absent(certificate_file, key_file)
    _create(key_file, key, PRIVATE)
    _create(certificate_file, chain, PUBLIC)
    return certificate_file, key_file


def write_pfx(directory: Path, name: str, issued: Issued, password: Secret | None) -> Path:
    """`NAME.pfx`: certificate, key and chain in one file, without a password where none is given. Raises
    IssuedFilesUnusable."""
    encryption: KeySerializationEncryption = NoEncryption()
    if password:
        encryption = BestAvailableEncryption(password.reveal().encode())
    key = issued.key
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)  # noqa: S101 - devices get these kinds
    content = serialize_key_and_certificates(name.encode(), key, issued.certificate, issued.issuers, encryption)
    path = directory / f"{name}.pfx"
    require_absent(path)
    _create(path, content, PRIVATE)
    return path


def require_absent(*paths: Path) -> None:
    """Raises IssuedFilesUnusable where one of the files is there: so that none of a set is written then."""
    for path in paths:
        if path.exists():
            raise IssuedFilesUnusable(f"{path} exists already, and is not written over")


def read_issuer(certificate_file: Path, key_file: Path | None = None, password: Secret | None = None) -> Issued:
    """A CA: the first certificate of its file, the others being those above it; its key stands beside it by default.

    Raises IssuedFilesUnusable.
    """
    first, *above = read_certificates(certificate_file)
    return with_key(first, key_file or certificate_file.with_suffix(".key"), password, tuple(above))


def with_key(
    certificate: x509.Certificate,
    key_file: Path,
    password: Secret | None = None,
    issuers: tuple[x509.Certificate, ...] = (),
) -> Issued:
    """The certificate with its key from the file. Raises IssuedFilesUnusable where it is the key of another one."""
    content = _content(key_file)
    try:
        key = load_pem_private_key(content, None if password is None else password.reveal().encode())
    except TypeError:
        wrong = (
            "is encrypted: its password is needed" if password is None else "is not encrypted: leave the password out"
        )
        raise IssuedFilesUnusable(f"{key_file} {wrong}") from None
    except ValueError:
        raise IssuedFilesUnusable(f"{key_file} holds no private key in PEM, or the password is wrong") from None
    if not isinstance(key, _ISSUING_KEYS) or public_key_der(key) != public_key_der(certificate):
        raise IssuedFilesUnusable(f"{key_file} is not the key of the certificate")
    return Issued(certificate, key, issuers)


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Every certificate of a file (PEM or DER), at least one. Raises IssuedFilesUnusable."""
    return certificates_in(_content(path), str(path))


def certificates_in(content: bytes, name: str) -> list[x509.Certificate]:
    """Every certificate of what `name` holds (PEM or DER), at least one. Raises IssuedFilesUnusable."""
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        pass
    try:
        return [x509.load_der_x509_certificate(content)]
    except ValueError:
        raise IssuedFilesUnusable(f"{name} holds no certificate in PEM or DER") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise IssuedFilesUnusable(f"{path} cannot be read: {error.strerror}") from None


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not create_file(path, content, mode):
            raise IssuedFilesUnusable(f"{path} exists already, and is not written over")
    except OSError as error:
        raise IssuedFilesUnusable(f"{path} cannot be written: {error.strerror}") from None
