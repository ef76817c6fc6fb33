"""The corpus of odd and hostile chains, each with its verdict written down, and any bytes at all as a chain."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from x509_world import World, play

from idscope.attestation import AttestationRules
from idscope.security import certificate_chain
from idscope.security.certificate_chain import LIMITS, CertificatePool, find_paths, read_chain
from idscope.security.chain_certificate import ChainCertificate, ChainRefused, is_signed_by
from idscope.security.chain_signature import MAX_RSA_BITS, MAX_RSA_EXPONENT_BITS, signature_work
from idscope.security.path_validation import check_path
from idscope.testing.certificates import CertificateMaker

HERE = Path(__file__).parents[2] / "x509"
VERDICTS = tomllib.loads((HERE / "verdicts.toml").read_text())
CHAINS: list[dict[str, Any]] = VERDICTS["chain"]
JUDGED_AT: dt.datetime = VERDICTS["judged_at"]
WEAK = {
    "p-192-leaf",
    "md5-leaf",
    "sha1-leaf",
    "sha1-intermediate",
    "rsa-1024-leaf",
    "rsa-1024-intermediate",
}
by_name = pytest.mark.parametrize("row", CHAINS, ids=[row["name"] for row in CHAINS])


def read(name: str) -> tuple[bytes, ...]:
    pem = (HERE / "corpus" / f"{name}.pem").read_bytes()
    return tuple(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(pem))


def judge(row: dict[str, Any], **options: Any) -> tuple[str, str]:
    """What the device is told, and what the operator is."""
    root = (HERE / "corpus" / f"{row.get('root', 'root')}.pem").read_text()

    async def scenario(world: World) -> tuple[str, str]:
        await world.upload("root", x509.load_pem_x509_certificate(root.encode()).public_bytes(Encoding.DER))
        slots = {"primary": {"certificate": root}}
        await world.group("fleet", {"type": "x509", "x509": {"signingCertificates": slots}})
        outcome = await world.outcome("device", *read(row["name"]))
        return outcome, (await world.last_attempt("device"))["reason"]

    return play(scenario, now=JUDGED_AT.timestamp(), **options)


@by_name
def test_the_verdict_is_the_one_written_down(row: dict[str, Any]) -> None:
    outcome, reason = judge(row)
    assert outcome == row["expected"], row["because"]
    assert row.get("reason", "") in reason


@by_name
def test_the_openssl_command_says_the_same_where_the_question_is_the_same(row: dict[str, Any]) -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None, "make test installs the openssl command"
    chain = HERE / "corpus" / f"{row['name']}.pem"
    root = HERE / "corpus" / f"{row.get('root', 'root')}.pem"
    command = [openssl, "verify", "-attime", str(int(JUDGED_AT.timestamp())), "-purpose", "sslclient"]
    command += ["-auth_level", "2", "-CAfile", str(root), "-untrusted", str(chain), str(chain)]
    verdict = "accepts" if subprocess.run(command, check=False, capture_output=True).returncode == 0 else "refuses"
    assert verdict == row["openssl"]
    same = (verdict == "accepts") == row["expected"].startswith("assigned")
    assert same != ("differs" in row)


@pytest.mark.parametrize("name", sorted(WEAK))
def test_weak_keys_and_hashes_are_a_setting(name: str) -> None:
    rules = AttestationRules(refuse_weak_certificates=False)
    assert judge({"name": name}, attestation=rules)[0] == "assigned by fleet"


def test_every_file_has_a_verdict() -> None:
    files = {path.stem for path in (HERE / "corpus").glob("*.pem")}
    assert files == {row["name"] for row in CHAINS} | {row.get("root", "root") for row in CHAINS}


# Any bytes

GENUINE = [der for row in CHAINS for der in read(row["name"]) if len(der) < 2000]
ROOT = read("root")


def look_at(chain: tuple[bytes, ...]) -> None:
    """Everything that a chain goes through; only the refusal may come of it."""
    with contextlib.suppress(ChainRefused):
        leaf, *others = read_chain(chain)
        for path in find_paths(leaf, others, CertificatePool(read_chain(ROOT))):
            check_path(path, int(JUDGED_AT.timestamp() * 1_000_000))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A genuine certificate with some of its bytes changed, cut out or put in."""
    der = bytearray(draw(st.sampled_from(GENUINE)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(der) - 1))
        der[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(der)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(damaged(), st.sampled_from(GENUINE), st.binary(max_size=64)), max_size=6).map(tuple))
@example(())
@example((b"",))
@example((b"\x30\x80",))
@example((b"\x30" * 70_000,))
@example(tuple(GENUINE[:40]))
def test_any_bytes_as_a_chain_raise_nothing_but_the_refusal(chain: tuple[bytes, ...]) -> None:
    look_at(chain)


def signed_by(signer: CertificateMaker, signed: CertificateMaker) -> bytes:
    return CertificateMaker._make("all", issuer=signer, authority=True, key=signed.key).der_chain()[0]


def test_certificates_that_sign_each_other_in_all_ways_are_refused_in_bounded_work(monkeypatch) -> None:
    """Five authorities, each of which has signed each other: more chains than anyone should look at."""
    authorities = [CertificateMaker.authority("all") for _ in range(5)]
    pairs = [(one, other) for one in authorities for other in authorities if one is not other]
    crossed = [signed_by(one, other) for one, other in pairs][: LIMITS.certificates - 1]
    checks: list[object] = []

    def counted(child: ChainCertificate, issuer: ChainCertificate) -> bool:
        checks.append(child)
        return is_signed_by(child, issuer)

    monkeypatch.setattr(certificate_chain, "_is_leaf_issued_by", counted)
    monkeypatch.setattr(certificate_chain, "_is_issued_by", counted)
    leaf, *others = read_chain((authorities[0].device("device").der_chain()[0], *crossed))
    with pytest.raises(ChainRefused, match=r"chains|signature checks"):
        find_paths(leaf, others, CertificatePool())
    assert len(checks) <= LIMITS.signature_checks


def heavy_authority(name: str) -> bytes:
    """Of the largest key that is looked at, with the largest exponent: each signature check takes milliseconds."""
    modulus = secrets.randbits(MAX_RSA_BITS) | (1 << (MAX_RSA_BITS - 1)) | 1
    key = rsa.RSAPublicNumbers((1 << MAX_RSA_EXPONENT_BITS) - 1, modulus).public_key()
    signer = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key, x509.random_serial_number())
    builder = builder.not_valid_before(JUDGED_AT).not_valid_after(JUDGED_AT + dt.timedelta(days=1))
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def test_authorities_with_heavy_keys_are_refused_before_they_take_long(monkeypatch) -> None:
    work: list[int] = []

    def weighed(child: ChainCertificate, issuer: ChainCertificate) -> bool:
        work.append(signature_work(issuer.public_key))
        return is_signed_by(child, issuer)

    monkeypatch.setattr(certificate_chain, "_is_leaf_issued_by", weighed)
    heavy = [heavy_authority("heavy") for _ in range(LIMITS.certificates - 1)]
    leaf, *others = read_chain((CertificateMaker.authority("heavy").device("device").der_chain()[0], *heavy))
    with pytest.raises(ChainRefused, match="take too long"):
        find_paths(leaf, others, CertificatePool())
    assert 0 < sum(work) <= LIMITS.signature_work


def test_what_a_signature_check_costs_is_never_told_too_low() -> None:
    """Against what it was measured to cost (RSA on one machine, OpenSSL 4.0), in units of RSA-2048 with 65537."""
    measured = {(2048, 64): 1.3, (4096, 17): 1.2, (4096, 64): 4.5, (8192, 17): 3.9, (8192, 64): 17}
    measured |= {(16384, 17): 15, (16384, 64): 67}
    for (bits, exponent_bits), units in measured.items():
        numbers = rsa.RSAPublicNumbers((1 << exponent_bits) - 1, (1 << (bits - 1)) | 1)
        assert signature_work(numbers.public_key()) >= units
    assert signature_work(rsa.RSAPublicNumbers(65537, (1 << 2047) | 1).public_key()) == 1


def test_more_certificates_than_allowed_are_refused_unread() -> None:
    with pytest.raises(ChainRefused, match="more than 20 certificates"):
        read_chain((b"",) * 21)
    with pytest.raises(ChainRefused, match="longer than 102400 bytes"):
        read_chain((b"0" * 60_000,) * 2)
    with pytest.raises(ChainRefused, match="longer than 65536 bytes"):
        read_chain((b"0" * 70_000,))


def test_a_chain_deeper_than_allowed_is_refused() -> None:
    maker = CertificateMaker.authority("top")
    for depth in range(LIMITS.depth):
        maker = maker.intermediate(f"down {depth}")
    leaf, *others = read_chain(maker.device("device").der_chain())
    with pytest.raises(ChainRefused, match="longer than 12 certificates"):
        find_paths(leaf, others, CertificatePool())
