"""The own CA and server certificate, as OpenSSL and RFC 5280 judge them."""

from __future__ import annotations

import hashlib
import ipaddress
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from idscope.certificate_authority import (
    AuthorityUnusable,
    KeyKind,
    issue_server_certificate,
    make_authority,
    reason_to_renew,
    server_names,
)
from idscope.clock import from_datetime

START = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = from_datetime(START)
NAMES = ("dps.example.com", "10.1.2.3", "127.0.0.1", "::1", "localhost")


def after(**passed: float) -> int:
    return from_datetime(START + timedelta(**passed))


def test_the_ca_has_what_every_client_asks_of_one() -> None:
    certificate = make_authority(NOW).certificate
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca) == (True, True)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.digital_signature
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert identifier.digest == hashlib.sha1(point).digest()  # RFC 5280, section 4.2.1.2, method 1
    assert key.curve.name == "secp256r1"
    assert certificate.subject.rfc4514_string().startswith("CN=idscope CA ")
    assert certificate.not_valid_before_utc < START
    assert timedelta(days=3640) < certificate.not_valid_after_utc - START < timedelta(days=3660)


def test_two_cas_have_two_names() -> None:
    assert make_authority(NOW).certificate.subject != make_authority(NOW).certificate.subject


@pytest.mark.parametrize("key_kind", ["ecdsa", "rsa"])
def test_the_server_certificate_has_names_and_extensions(key_kind: KeyKind) -> None:
    authority = make_authority(NOW)
    certificate = issue_server_certificate(authority, NAMES, key_kind, NOW).certificate
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["dps.example.com", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address(each) for each in ("10.1.2.3", "127.0.0.1", "::1")
    ]
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == x509.ExtendedKeyUsage(
        [x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]
    )
    issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == issuer.digest
    assert certificate.not_valid_before_utc < START
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=398)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey if key_kind == "rsa" else ec.EllipticCurvePublicKey)
    assert not isinstance(key, rsa.RSAPublicKey) or key.key_size == 2048


@pytest.mark.parametrize("key_kind", ["ecdsa", "rsa"])
@pytest.mark.parametrize("checked", ["-verify_hostname dps.example.com", "-verify_ip 127.0.0.1", "-verify_ip ::1"])
def test_openssl_verifies_the_server_certificate_strictly(tmp_path: Path, key_kind: KeyKind, checked: str) -> None:
    authority = make_authority(NOW)
    issued = issue_server_certificate(authority, NAMES, key_kind, NOW)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem())
    (tmp_path / "server.pem").write_bytes(issued.certificate_pem())
    command = ["openssl", "verify", "-x509_strict", "-attime", str(NOW // 1_000_000), "-purpose", "sslserver"]
    answer = subprocess.run(
        [*command, *checked.split(), "-CAfile", "ca.pem", "server.pem"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr


def test_a_good_certificate_is_not_renewed() -> None:
    authority = make_authority(NOW)
    certificate = issue_server_certificate(authority, NAMES, "ecdsa", NOW).certificate
    assert reason_to_renew(certificate, authority, NAMES, "ecdsa", NOW) is None
    assert reason_to_renew(certificate, authority, tuple(reversed(NAMES)), "ecdsa", after(days=200)) is None


def test_a_certificate_is_renewed_for_each_reason() -> None:
    authority, other = make_authority(NOW), make_authority(NOW)
    certificate = issue_server_certificate(authority, NAMES, "ecdsa", NOW).certificate
    assert reason_to_renew(certificate, other, NAMES, "ecdsa", NOW) == "the CA is another one"
    assert reason_to_renew(certificate, authority, NAMES[1:], "ecdsa", NOW) == "the names changed"
    assert reason_to_renew(certificate, authority, (*NAMES, "a.test"), "ecdsa", NOW) == "the names changed"
    assert reason_to_renew(certificate, authority, NAMES, "rsa", NOW) == "the kind of key changed"
    assert reason_to_renew(certificate, authority, NAMES, "ecdsa", after(days=300)) == "it is near its end"
    assert reason_to_renew(certificate, authority, NAMES, "ecdsa", after(days=-1)) == "it is not valid yet"


def test_a_server_certificate_does_not_outlive_the_ca() -> None:
    authority = make_authority(NOW)
    late = after(days=3600)
    certificate = issue_server_certificate(authority, NAMES, "ecdsa", late).certificate
    assert certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc
    assert reason_to_renew(certificate, authority, NAMES, "ecdsa", late) is None


def test_an_expired_ca_is_told() -> None:
    with pytest.raises(AuthorityUnusable, match="has expired"):
        make_authority(NOW).check(after(days=3700))


def test_names_are_once_each_and_only_what_a_certificate_can_hold() -> None:
    assert server_names("Box", ["dps.example.com", "127.0.0.1", "0.0.0.0", "::"]) == (
        "dps.example.com",
        "127.0.0.1",
        "::1",
        "localhost",
        "box",
    )
    assert server_names("", []) == ("127.0.0.1", "::1", "localhost")
    assert server_names("küche", []) == ("127.0.0.1", "::1", "localhost")
