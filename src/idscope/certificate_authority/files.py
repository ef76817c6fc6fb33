"""Owns the four files of the own CA and server certificate in one directory, and that two processes may prepare them
at once. It must not know where the directory is, nor who reads the files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from idscope.certificate_authority.authority import (
    AuthorityUnusable,
    CertificateAuthority,
    make_authority,
    public_key_der,
    read_authority,
    read_authority_key,
)
from idscope.certificate_authority.server_certificate import KeyKind, issue_server_certificate, reason_to_renew
from idscope.durable_file import PRIVATE, PUBLIC, exclusive_lock, replace_file

CA_CERTIFICATE: Final = "ca.pem"
CA_KEY: Final = "ca.key"
CERTIFICATE: Final = "server.pem"
KEY: Final = "server.key"
_LOCK: Final = "certificates.lock"


class ServerFiles(msgspec.Struct, frozen=True):
    """What a TLS listener loads, and what clients trust; `issued` says why a certificate was issued now ("" if not)."""

    certificate: Path
    key: Path
    ca: Path
    issued: str = ""


def prepare_server_files(directory: Path, names: tuple[str, ...], key_kind: KeyKind, now: int) -> ServerFiles:
    """Make what is absent, renew what must be. Raises AuthorityUnusable.

    `server.pem` holds the leaf alone: clients trust the CA itself, and would be sent it with each handshake for
    nothing.
    """
    with exclusive_lock(directory / _LOCK):
        authority = _authority(directory, now)
        reason = _reason(directory, authority, names, key_kind, now)
        if reason:
            _issue(directory, authority, names, key_kind, now)
    return ServerFiles(directory / CERTIFICATE, directory / KEY, directory / CA_CERTIFICATE, reason)


def _authority(directory: Path, now: int) -> CertificateAuthority:
    certificate, key = _content(directory / CA_CERTIFICATE), _content(directory / CA_KEY)
    if certificate is None:
        return _make_authority(directory, key, now)
    if key is None:
        raise AuthorityUnusable("ca.pem is here but ca.key is not; restore it, or move ca.pem away for a new CA")
    authority = read_authority(certificate, key)
    authority.check(now)
    return authority


def _make_authority(directory: Path, key: bytes | None, now: int) -> CertificateAuthority:
    """The key is written first: a start that ended between the two files goes on with it."""
    authority = make_authority(now, None if key is None else read_authority_key(key))
    if key is None:
        replace_file(directory / CA_KEY, authority.key_pem(), PRIVATE)
    replace_file(directory / CA_CERTIFICATE, authority.certificate_pem(), PUBLIC)
    return authority


def _reason(
    directory: Path, authority: CertificateAuthority, names: tuple[str, ...], key_kind: KeyKind, now: int
) -> str:
    certificate_pem, key_pem = _content(directory / CERTIFICATE), _content(directory / KEY)
    if certificate_pem is None or key_pem is None:
        return "there was none"
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        return "its files were damaged"
    # a start that ended between the two files left a pair that does not match
    if public_key_der(key) != public_key_der(certificate):
        return "its key was another one"
    return reason_to_renew(certificate, authority, names, key_kind, now) or ""


def _issue(
    directory: Path, authority: CertificateAuthority, names: tuple[str, ...], key_kind: KeyKind, now: int
) -> None:
    issued = issue_server_certificate(authority, names, key_kind, now)
    replace_file(directory / KEY, issued.key_pem(), PRIVATE)
    replace_file(directory / CERTIFICATE, issued.certificate_pem(), PUBLIC)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuthorityUnusable(f"{path} cannot be read: {error.strerror}") from None
