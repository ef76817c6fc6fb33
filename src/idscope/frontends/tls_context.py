"""Owns how the server speaks TLS: versions, ciphers, its certificate, and that any client certificate is let in to be
judged later. It must not know a connection, nor what a client certificate is good for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

# Forward secrecy always; CBC with SHA-256/384 because the real service lists it and old devices have nothing better.
_TLS_1_2_CIPHERS: Final = b":".join(
    (
        b"ECDHE-ECDSA-AES128-GCM-SHA256",
        b"ECDHE-RSA-AES128-GCM-SHA256",
        b"ECDHE-ECDSA-AES256-GCM-SHA384",
        b"ECDHE-RSA-AES256-GCM-SHA384",
        b"ECDHE-ECDSA-CHACHA20-POLY1305",
        b"ECDHE-RSA-CHACHA20-POLY1305",
        b"ECDHE-ECDSA-AES128-SHA256",
        b"ECDHE-RSA-AES128-SHA256",
        b"ECDHE-ECDSA-AES256-SHA384",
        b"ECDHE-RSA-AES256-SHA384",
    )
)
_SERVER_KEYS: Final = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)


class UnusableCertificateFile(ValueError):
    """The server's certificate or key file cannot be used; names the file, never its content."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def tls_context(certificate_file: Path, key_file: Path) -> SSL.Context:
    """TLS 1.2 and 1.3 with the certificate (its chain after it) and key of these PEM files.

    A client certificate is asked for, never required and never judged: that is attestation's work, with an answer
    that the device understands. Raises UnusableCertificateFile.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_cipher_list(_TLS_1_2_CIPHERS)
    # A resumed session has lost the intermediate certificates that enrollment groups are found by, so no session is
    # ever resumed: a client that tries falls back to a full handshake.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(
        SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection gives back its record buffers
    context.set_verify(SSL.VERIFY_PEER, _admit_any_certificate)
    context.set_verify_depth(0)  # nobody's chain is built here: a tenth of the handshake of a chain of three
    _load_identity(context, certificate_file, key_file)
    return context


def _admit_any_certificate(
    _connection: SSL.Connection, _certificate: crypto.X509, _error: int, _depth: int, _ok: int
) -> bool:
    return True


def _load_identity(context: SSL.Context, certificate_file: Path, key_file: Path) -> None:
    leaf, *intermediates = _read_certificates(certificate_file)
    key = _read_key(key_file)
    if key.public_key() != leaf.public_key():
        raise UnusableCertificateFile(key_file, f"the key does not belong to the certificate in {certificate_file}")
    try:
        context.use_certificate(leaf)
        for certificate in intermediates:
            context.add_extra_chain_cert(certificate)
    except SSL.Error as error:
        raise UnusableCertificateFile(certificate_file, f"TLS refuses the certificate ({reason_of(error)})") from None
    try:
        context.use_privatekey(key)
    except SSL.Error as error:
        raise UnusableCertificateFile(key_file, f"TLS refuses the key ({reason_of(error)})") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableCertificateFile(path, f"cannot be read ({error.strerror})") from None


def _read_certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except UnusableCertificateFile:
        raise
    except ValueError:
        raise UnusableCertificateFile(path, "holds no readable PEM certificate") from None


def _read_key(
    path: Path,
) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey:
    content = _read(path)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise UnusableCertificateFile(path, "the key is encrypted; it must be stored without a passphrase") from None
    except Exception:  # noqa: BLE001  cryptography raises several kinds here, and their texts may quote the file
        raise UnusableCertificateFile(path, "holds no readable PEM private key") from None
    if not isinstance(key, _SERVER_KEYS):
        raise UnusableCertificateFile(path, "the key is of a kind that TLS servers do not use")
    return key


def reason_of(error: SSL.Error) -> str:
    """OpenSSL's words for what went wrong; they quote nothing of the peer or the key."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(entry[-1]) for entry in entries if entry) or type(error).__name__
