"""Owns the check of the operator's own certificate and key, which are used untouched.
It must not know who listens with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from idscope.certificate_authority.authority import PrivateKey, moment, public_key_der

T = TypeVar("T")


class OperatorFilesUnusable(Exception):
    """The operator's certificate or key cannot be used; the text names the file and holds no key."""


def check_operator_files(certificate_file: Path, key_file: Path, now: int) -> x509.Certificate:
    """The leaf, which stands first in its file; raises OperatorFilesUnusable."""
    leaf = _read(certificate_file, x509.load_pem_x509_certificates, "no certificate in PEM")[0]
    key = _read(key_file, _load_key, "no unencrypted ECDSA or RSA private key in PEM")
    if public_key_der(leaf) != public_key_der(key):
        raise OperatorFilesUnusable(
            f"{key_file} is not the key of the first certificate in {certificate_file}: the server's own comes first"
        )
    if moment(now) >= leaf.not_valid_after_utc:
        raise OperatorFilesUnusable(f"the certificate in {certificate_file} has expired")
    if moment(now) < leaf.not_valid_before_utc:
        raise OperatorFilesUnusable(
            f"the certificate in {certificate_file} is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, but "
            f"this machine's clock says {moment(now):%Y-%m-%d %H:%M}"
        )
    return leaf


def _read(path: Path, parse: Callable[[bytes], T], missing: str) -> T:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise OperatorFilesUnusable(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise OperatorFilesUnusable(f"{path} holds {missing}") from None


def _load_key(content: bytes) -> PrivateKey:
    key = load_pem_private_key(content, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise TypeError("another kind of key")
    return key
