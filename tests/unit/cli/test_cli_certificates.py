"""`idscope ca`, `device-certificate` and `device-key`: what they write, as openssl and Python's TLS see it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from idscope.cli import main


def run(*arguments: str | Path, code: int = 0, given: str = "") -> Result:
    result = CliRunner().invoke(main, [str(one) for one in arguments], input=given)
    assert result.exit_code == code, result.output
    return result


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A directory with a root and an intermediate."""
    run("ca", "create", "--directory", tmp_path / "ca", "--common-name", "Contoso", "--intermediate")
    return tmp_path / "ca"


def test_a_ca_is_one_in_the_eyes_of_openssl(authority: Path) -> None:
    openssl("verify", "-x509_strict", "-CAfile", authority / "root.pem", authority / "intermediate.pem")
    assert sorted(path.name for path in authority.iterdir()) == [
        "intermediate.key",
        "intermediate.pem",
        "root.key",
        "root.pem",
    ]
    for key in authority.glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        openssl("pkey", "-in", key, "-check", "-noout")


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
@pytest.mark.parametrize("signer", ["root", "intermediate", None])
def test_a_device_certificate_is_ready_for_an_sdk(
    authority: Path, tmp_path: Path, kind: str, signer: str | None
) -> None:
    ca: list[str | Path] = [] if signer is None else ["--ca", authority / f"{signer}.pem"]
    result = run("device-certificate", "create", "Dev:1.a-b_c", *ca, "--directory", tmp_path, "--key-kind", kind)
    chain = x509.load_pem_x509_certificates((tmp_path / "Dev:1.a-b_c.pem").read_bytes())
    names = [one.subject.rfc4514_string() for one in chain]
    # the root is left out: the service has it
    assert names == ["CN=Dev:1.a-b_c", *(["CN=Contoso intermediate"] if signer == "intermediate" else [])]
    trusted = tmp_path / "Dev:1.a-b_c.pem" if signer is None else authority / "root.pem"
    leaf = tmp_path / "Dev:1.a-b_c.pem"
    openssl("verify", "-purpose", "sslclient", "-CAfile", trusted, "-untrusted", leaf, leaf)
    thumbprint = openssl("x509", "-in", leaf, "-fingerprint", "-sha256", "-noout").partition("=")[2]
    assert thumbprint.strip().replace(":", "") in result.output
    ssl.create_default_context().load_cert_chain(leaf, tmp_path / "Dev:1.a-b_c.key")
    assert (tmp_path / "Dev:1.a-b_c.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    key, certificate, others = load_key_and_certificates((tmp_path / "Dev:1.a-b_c.pfx").read_bytes(), None)
    assert key is not None
    assert [certificate, *others] == chain
    for name in ("key", "pfx"):
        assert stat.S_IMODE((tmp_path / f"Dev:1.a-b_c.{name}").stat().st_mode) == 0o600


def test_a_pfx_has_the_password_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass wörd\n")
    run("device-certificate", "create", "d", "--directory", tmp_path, "--pfx-password-file", tmp_path / "password")
    shown = openssl("pkcs12", "-in", tmp_path / "d.pfx", "-passin", "pass:pass wörd", "-nokeys")
    assert "BEGIN CERTIFICATE" in shown
    with pytest.raises(ValueError, match="password"):
        load_key_and_certificates((tmp_path / "d.pfx").read_bytes(), None)


def test_nothing_is_written_over(authority: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in authority.iterdir()}
    assert "root.pem exists already" in run("ca", "create", "--directory", authority, code=1).output
    (authority / "root.pem").rename(tmp_path / "root.pem")
    run("ca", "create", "--directory", authority, code=1)
    assert not (authority / "root.pem").exists()
    (tmp_path / "root.pem").rename(authority / "root.pem")
    assert {path: path.read_bytes() for path in authority.iterdir()} == before
    (tmp_path / "d.pfx").write_bytes(b"mine")
    run("device-certificate", "create", "d", "--directory", tmp_path, code=1)
    assert not (tmp_path / "d.pem").exists()


def test_a_device_certificate_does_not_outlive_its_ca(tmp_path: Path) -> None:
    run("ca", "create", "--directory", tmp_path, "--days", "2")
    run("device-certificate", "create", "d", "--ca", tmp_path / "root.pem", "--directory", tmp_path)
    leaf, root = (x509.load_pem_x509_certificate((tmp_path / name).read_bytes()) for name in ("d.pem", "root.pem"))
    assert leaf.not_valid_after_utc == root.not_valid_after_utc


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["device-certificate", "create", "-bad-"], "No such option"),
        (["device-certificate", "create", "a b"], "is no registration id"),
        (["device-certificate", "create", "x" * 65], "1 to 64 bytes"),
        (["device-certificate", "create", "d", "--ca", "absent.pem"], "absent.pem cannot be read"),
        (["ca", "show", "absent.pem"], "absent.pem cannot be read"),
        (["ca", "show", __file__], "holds no certificate"),
        (["device-key", "short", "d"], "must be Base64"),
        (["device-key", base64.b64encode(bytes(16)).decode(), "a b"], "Invalid RegistrationId"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in {1, 2}
    assert said in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_another_ca_is_told(authority: Path, tmp_path: Path) -> None:
    ca: list[str | Path] = ["--ca", authority / "root.pem", "--ca-key", authority / "intermediate.key"]
    result = run("device-certificate", "create", "d", *ca, "--directory", tmp_path / "x", code=1)
    assert "is not the key of the certificate" in result.output


def test_show_says_what_openssl_says(authority: Path) -> None:
    path = authority / "intermediate.pem"
    (shown,) = json.loads(run("ca", "show", path, "--json").output)
    assert shown["subjectName"] == "CN=Contoso intermediate"
    assert shown["issuerName"] == "CN=Contoso"
    assert shown["certificateAuthority"] == "yes"
    for algorithm in ("sha1", "sha256"):
        fingerprint = openssl("x509", "-in", path, "-fingerprint", f"-{algorithm}", "-noout").partition("=")[2]
        assert shown[f"{algorithm}Thumbprint"] == fingerprint.strip().replace(":", "")
    assert "CN=Contoso intermediate" in run("ca", "show", path).output


def test_a_device_key_is_the_documented_hmac() -> None:
    group_key = bytes(range(64))
    expected = base64.b64encode(hmac.digest(group_key, b"Device-1", hashlib.sha256)).decode()
    text = base64.b64encode(group_key).decode()
    assert run("device-key", text, "Device-1").output == f"{expected}\n"
    assert run("device-key", "-", "Device-1", given=f"{text}\n").output == f"{expected}\n"
