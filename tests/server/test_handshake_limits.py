"""What the handshake itself takes of a client's certificate, before attestation judges it: decision 0040 states it, and
this measures it, kind of key by kind of key. The client is the same OpenSSL, told to refuse nothing by itself."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from listening import Listening, listening
from OpenSSL import SSL

GET = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
VERSIONS = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)

# Where the versions of TLS have no common algorithm for a key, a client of 1.3 goes on without its certificate.
Outcome = Literal["taken", "refused", "not sent"]


class Key(NamedTuple):
    """How the openssl command makes it, and what comes of it in TLS 1.2 and in 1.3."""

    made: tuple[str, ...]
    in_1_2: Outcome
    in_1_3: Outcome


def with_bits(bits: int, in_1_3: Outcome = "taken") -> Key:
    return Key(("RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"), "taken", in_1_3)


def curve(name: str, in_1_2: Outcome, in_1_3: Outcome) -> Key:
    return Key(("EC", "-pkeyopt", f"ec_paramgen_curve:{name}"), in_1_2, in_1_3)


KEYS = {
    "RSA 512": with_bits(512, "not sent"),
    "RSA 768": with_bits(768),
    "RSA 1024": with_bits(1024),
    "RSA 2048": with_bits(2048),
    "RSA 8192": Key(("RSA", "-pkeyopt", "rsa_keygen_bits:8192", "-pkeyopt", "rsa_keygen_primes:4"), "taken", "taken"),
    "Ed25519": Key(("ED25519",), "taken", "taken"),
    "Ed448": Key(("ED448",), "taken", "taken"),
    "P-192": curve("prime192v1", "refused", "not sent"),
    "P-224": curve("secp224r1", "refused", "not sent"),
    "P-256": curve("prime256v1", "taken", "taken"),
    "P-384": curve("secp384r1", "taken", "taken"),
    "P-521": curve("secp521r1", "taken", "taken"),
    "secp256k1": curve("secp256k1", "refused", "not sent"),
    "brainpoolP256r1": curve("brainpoolP256r1", "refused", "taken"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("tls")) as server:
        yield server
        server.forget_clients()


def make(key: Key, directory: Path) -> None:
    """A key and a certificate of its own for it: client.key, client.pem."""
    for run in (
        ("genpkey", "-algorithm", *key.made, "-out", "client.key"),
        ("req", "-x509", "-new", "-key", "client.key", "-subj", "/CN=device", "-out", "client.pem"),
    ):
        subprocess.run(["openssl", *run], cwd=directory, check=True, capture_output=True)


def outcome(server: Listening, directory: Path, version: int) -> Outcome:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.use_certificate_chain_file(str(directory / "client.pem"))
    context.use_privatekey_file(str(directory / "client.key"))
    client = server.tcp()
    client.settimeout(None)  # pyOpenSSL waits by itself; the server ends what takes too long
    connection = SSL.Connection(context, client)
    connection.set_connect_state()
    try:
        connection.do_handshake()
        connection.sendall(GET)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    except SSL.Error:
        return "refused"
    return "taken" if server.app.requests[-1].peer.chain else "not sent"


@pytest.mark.parametrize("name", KEYS)
def test_which_keys_the_handshake_takes(server: Listening, tmp_path: Path, name: str) -> None:
    make(KEYS[name], tmp_path)

    seen = tuple(outcome(server, tmp_path, version) for version in VERSIONS)

    assert seen == (KEYS[name].in_1_2, KEYS[name].in_1_3)


@pytest.mark.parametrize(("bits", "expected"), [(16384, "taken"), (20480, "refused")])
def test_rsa_keys_up_to_16384_bits_are_taken(server: Listening, tmp_path: Path, bits: int, expected: Outcome) -> None:
    key = rsa_of_many_primes(bits)
    content = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (tmp_path / "client.key").write_bytes(content)
    (tmp_path / "client.pem").write_bytes(certificate(key))

    assert {outcome(server, tmp_path, version) for version in VERSIONS} == {expected}


def rsa_of_many_primes(bits: int) -> rsa.RSAPrivateKey:
    """Almost so many bits. Two primes of that size would take minutes to find; the arithmetic is the same with two
    factors of many small ones, if the exponents go with them."""
    primes: list[int] = []
    while len(primes) < bits // 1024:
        found = rsa.generate_private_key(65537, 2048).private_numbers()
        primes += [found.p, found.q]
    halves = primes[: len(primes) // 2], primes[len(primes) // 2 :]
    (p, q), (order_p, order_q) = map(math.prod, halves), (math.lcm(*(prime - 1 for prime in half)) for half in halves)
    d = pow(65537, -1, math.lcm(order_p, order_q))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % order_p, d % order_q, pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


@pytest.mark.parametrize(("size", "expected"), [(49_000, "taken"), (51_500, "refused")])
def test_chains_up_to_100_kib_are_taken(server: Listening, tmp_path: Path, size: int, expected: Outcome) -> None:
    """A leaf and two large certificates; OpenSSL's own limit, with which that of attestation agrees."""
    make(KEYS["P-256"], tmp_path)
    with (tmp_path / "client.pem").open("ab") as chain:
        for _ in range(2):
            chain.write(large_certificate(size))

    assert {outcome(server, tmp_path, version) for version in VERSIONS} == {expected}


def large_certificate(size: int) -> bytes:
    """In PEM; of about so many bytes."""
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(size))
    return certificate(ec.generate_private_key(ec.SECP256R1()), padding)


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> bytes:
    """Self-signed, in PEM."""
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")]), dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
