from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL

from idscope.frontends.tls_context import UnusableCertificateFile, tls_context
from idscope.testing.certificates import CertificateMaker


def pem(key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey, passphrase: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_a_chain_and_its_key_are_taken(tmp_path: Path) -> None:
    """A client that has the root only is sent the intermediate."""
    authority = CertificateMaker.authority()
    server = SSL.Connection(tls_context(*authority.intermediate("one").server("localhost").write(tmp_path, "server")))
    server.set_accept_state()
    context = ssl.create_default_context(cafile=str(authority.write(tmp_path, "ca")[0]))
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(received, sent, server_hostname="localhost")
    for side in (client, server, client):
        with contextlib.suppress(ssl.SSLWantReadError, SSL.WantReadError):
            side.do_handshake()
        if side is server:
            received.write(server.bio_read(65_536))
        else:
            server.bio_write(sent.read())
    assert client.version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("certificate", "key", "named", "problem"),
    [
        (None, "own", "server.pem", "cannot be read"),
        ("own", None, "server.key", "cannot be read"),
        (b"nonsense", "own", "server.pem", "no readable PEM certificate"),
        (b"", "own", "server.pem", "no readable PEM certificate"),
        ("own", b"nonsense", "server.key", "no readable PEM private key"),
        ("own", pem(ec.generate_private_key(ec.SECP256R1())), "server.key", "does not belong to the certificate"),
        ("own", pem(ec.generate_private_key(ec.SECP256R1()), b"pass"), "server.key", "encrypted"),
        ("own", pem(x25519.X25519PrivateKey.generate()), "server.key", "of a kind"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_not_quoted(
    tmp_path: Path, certificate: bytes | str | None, key: bytes | str | None, named: str, problem: str
) -> None:
    paths = CertificateMaker.authority().server("localhost").write(tmp_path, "server")
    for path, content in zip(paths, (certificate, key), strict=True):
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
    with pytest.raises(UnusableCertificateFile) as caught:
        tls_context(*paths)
    assert caught.value.path == tmp_path / named
    assert problem in str(caught.value)
    assert "nonsense" not in str(caught.value)
    assert caught.value.__cause__ is None
