"""Made the certificates in corpus/, once: `python tests/x509/make_corpus.py`. No private key is kept, so a second run
makes other certificates of the same kinds; what they are worth stands in verdicts.toml, written by hand.

What the library refuses to make (MD5, version 1) is made with the openssl command. It must not know the server.
"""

from __future__ import annotations

import datetime as dt
import secrets
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

CORPUS = Path(__file__).parent / "corpus"
VALID = (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2046, 1, 1, tzinfo=dt.UTC))
EXPIRED = (dt.datetime(2025, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 2, 28, 23, 59, 59, tzinfo=dt.UTC))
FUTURE = (dt.datetime(2026, 3, 1, 0, 0, 1, tzinfo=dt.UTC), VALID[1])
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def cn(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in names])


@dataclass
class Made:
    certificate: x509.Certificate
    key: Any


def key_usage(**uses: bool) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    every = dict.fromkeys([*names.split(), "crl_sign", "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(**{**every, **uses})


def make(
    subject: x509.Name,
    issuer: Made | None = None,
    *,
    ca: bool | None = None,
    path_length: int | None = None,
    key: Any = None,
    public_key: Any = None,
    signing_key: Any = None,
    issuer_name: x509.Name | None = None,
    valid: tuple[dt.datetime, dt.datetime] = VALID,
    digest: Any = None,
    rsa_padding: Any = None,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> Made:
    """One certificate; `issuer` None makes it self-signed, `ca` None leaves basic constraints out."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer = signing_key or (key if issuer is None else issuer.key)
    name = issuer_name or (subject if issuer is None else issuer.certificate.subject)
    builder = x509.CertificateBuilder(name, subject, public_key or key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(valid[0]).not_valid_after(valid[1])
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    edwards = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    algorithm = None if edwards else digest or hashes.SHA256()
    return Made(builder.sign(signer, algorithm, rsa_padding=rsa_padding), key)


def by_openssl(subject: str, issuer: Made | None, digest: str, *, ca: bool = False) -> Made:
    """Signed with any hash; without extensions, so of version 1, unless it is an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = issuer or make(cn("nobody"), key=key)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for name, private in (("key", key), ("issuer-key", issuer.key)):
            pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (place / f"{name}.pem").write_bytes(pem)
        (place / "ca.ext").write_text("basicConstraints=critical,CA:true\n")
        (place / "issuer.pem").write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
        (place / "index.txt").touch()
        (place / "serial").write_text("1001\n")
        (place / "ca.cnf").write_text(
            "[ca]\ndefault_ca=it\n[it]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\npolicy=any\n"
            "[any]\ncommonName=supplied\n"
        )
        run = ["openssl", "req", "-new", "-key", "key.pem", "-subj", subject, "-out", "request.pem"]
        subprocess.run(run, cwd=place, check=True, capture_output=True)
        run = ["openssl", "ca", "-batch", "-notext", "-config", "ca.cnf", "-in", "request.pem", "-md", digest]
        run += ["-cert", "issuer.pem", "-keyfile", "issuer-key.pem", "-out", "leaf.pem"]
        run += ["-extfile", "ca.ext"] if ca else []
        run += ["-selfsign"] if issuer.key is key else []
        run += ["-startdate", VALID[0].strftime("%Y%m%d%H%M%SZ"), "-enddate", VALID[1].strftime("%Y%m%d%H%M%SZ")]
        subprocess.run(run, cwd=place, check=True, capture_output=True)
        return Made(x509.load_pem_x509_certificate((place / "leaf.pem").read_bytes()), key)


def write(name: str, *chain: Made) -> None:
    pem = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in chain)
    (CORPUS / f"{name}.pem").write_bytes(pem)


def rsa_key_with_a_huge_exponent() -> rsa.RSAPrivateKey:
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    phi = (numbers.p - 1) * (numbers.q - 1)
    while True:
        e = secrets.randbits(1900) | (1 << 1899) | 1
        try:
            d = pow(e, -1, phi)
        except ValueError:
            continue
        public = rsa.RSAPublicNumbers(e, numbers.p * numbers.q)
        crt = (rsa.rsa_crt_dmp1(d, numbers.p), rsa.rsa_crt_dmq1(d, numbers.q), rsa.rsa_crt_iqmp(numbers.p, numbers.q))
        return rsa.RSAPrivateNumbers(numbers.p, numbers.q, d, *crt, public).private_key()


def rsa_public_key(bits: int) -> rsa.RSAPublicKey:
    """Of some number that nobody can divide: enough for a leaf that never shows its key."""
    return rsa.RSAPublicNumbers(65537, secrets.randbits(bits) | (1 << (bits - 1)) | 1).public_key()


def main() -> None:
    root = make(cn("root"), ca=True)
    low = make(cn("low"), root, ca=True)
    lower = make(cn("lower"), low, ca=True)
    leaf = make(cn("device"), low, ca=False)
    deep = make(cn("device"), lower, ca=False)
    write("root", root)
    write("good-one-intermediate", leaf, low)
    write("good-two-intermediates", deep, lower, low)
    write("good-with-root", deep, lower, low, root)
    write("leaf-of-root", make(cn("device"), root, ca=False))
    write("shuffled", deep, root, low, lower)
    write("duplicated", deep, lower, lower, deep, low, low)
    write("unrelated-beside", deep, make(cn("root"), ca=True), lower, make(cn("low"), ca=True), low)
    write("missing-link", deep, low)
    write("self-signed", make(cn("device"), ca=False))

    # Validity
    write("expired-leaf", make(cn("device"), low, ca=False, valid=EXPIRED), low)
    write("not-yet-valid-leaf", make(cn("device"), low, ca=False, valid=FUTURE), low)
    expired = make(cn("expired"), root, ca=True, valid=EXPIRED)
    write("expired-intermediate", make(cn("device"), expired), expired)
    future = make(cn("future"), root, ca=True, valid=FUTURE)
    write("not-yet-valid-intermediate", make(cn("device"), future), future)
    expired_root = make(cn("expired root"), ca=True, valid=EXPIRED)
    write("root-expired", expired_root)
    write("expired-root", make(cn("device"), expired_root))

    # Who signed
    write("wrong-issuer-key", make(cn("device"), low, signing_key=lower.key), low)
    fake_root = make(cn("root"), ca=True)
    fake_low = make(cn("low"), fake_root, ca=True)
    write("same-names-other-keys", make(cn("device"), fake_low), fake_low, fake_root)
    write("names-another-issuer", make(cn("device"), low, issuer_name=cn("somebody")), low)
    one, other = make(cn("one"), ca=True), make(cn("other"), ca=True)
    one_by_other = make(cn("one"), other, ca=True, key=one.key)
    other_by_one = make(cn("other"), one, ca=True, key=other.key)
    looped = make(cn("device"), one)
    write("looped", looped, one_by_other, other_by_one)
    write("looped-and-rooted", looped, one_by_other, other_by_one, make(cn("one"), root, ca=True, key=one.key))
    elsewhere = x509.AuthorityKeyIdentifier(b"elsewhere", None, None)
    write("key-identifier-of-nobody", make(cn("device"), low, extensions=((elsewhere, False),)), low)

    # Who may sign
    no_ca = make(cn("no ca"), root, ca=False)
    write("issuer-ca-false", make(cn("device"), no_ca), no_ca)
    absent = make(cn("absent"), root)
    write("issuer-without-basic-constraints", make(cn("device"), absent), absent)
    version_1 = by_openssl("/CN=version 1", root, "sha256")
    write("issuer-version-1", make(cn("device"), version_1), version_1)
    short = make(cn("short"), root, ca=True, path_length=0)
    below = make(cn("below"), short, ca=True)
    write("path-length-exceeded", make(cn("device"), below), below, short)
    write("path-length-kept", make(cn("device"), short), short)
    rolled = make(cn("short"), short, ca=True)
    write("path-length-self-issued", make(cn("device"), rolled), rolled, short)
    no_signing = make(cn("crl only"), root, ca=True, extensions=((key_usage(crl_sign=True), True),))
    write("issuer-key-usage", make(cn("device"), no_signing), no_signing)
    signing = make(cn("signs"), root, ca=True, extensions=((key_usage(key_cert_sign=True), True),))
    uses = ((key_usage(digital_signature=True), True), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), True))
    write("key-usages-good", make(cn("device"), signing, extensions=uses), signing)
    encipher = ((key_usage(key_encipherment=True), True),)
    write("leaf-key-usage", make(cn("device"), low, extensions=encipher), low)
    server = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),)
    write("leaf-for-servers", make(cn("device"), low, extensions=server), low)

    # Extensions
    write("leaf-unknown-critical", make(cn("device"), low, extensions=((UNKNOWN, True),)), low)
    write("leaf-unknown", make(cn("device"), low, extensions=((UNKNOWN, False),)), low)
    unknown = make(cn("unknown"), root, ca=True, extensions=((UNKNOWN, True),))
    write("issuer-unknown-critical", make(cn("device"), unknown), unknown)
    only = x509.NameConstraints([x509.DNSName("contoso.test")], None)
    constrained = make(cn("constrained"), root, ca=True, extensions=((only, True),))
    write("name-constraints", make(cn("device"), constrained), constrained)

    # Strength and kinds of keys
    rsa_low = make(cn("rsa"), root, ca=True, key=rsa.generate_private_key(65537, 2048))
    write("md5-leaf", by_openssl("/CN=device", rsa_low, "md5"), rsa_low)
    write("sha1-leaf", by_openssl("/CN=device", low, "sha1"), low)
    sha1 = by_openssl("/CN=sha1", root, "sha1", ca=True)
    write("sha1-intermediate", make(cn("device"), sha1), sha1)
    sha1_root = by_openssl("/CN=sha1 root", None, "sha1", ca=True)
    write("root-sha1", sha1_root)
    write("sha1-root", make(cn("device"), sha1_root))
    small = rsa.generate_private_key(65537, 1024)
    write("rsa-1024-leaf", make(cn("device"), low, key=small), low)
    weak = make(cn("weak"), root, ca=True, key=small)
    write("rsa-1024-intermediate", make(cn("device"), weak), weak)
    write("rsa-8192-leaf", make(cn("device"), low, public_key=rsa_public_key(8192)), low)
    large = make(cn("large"), root, ca=True, key=rsa.generate_private_key(65537, 8192))
    write("rsa-8192-intermediate", make(cn("device"), large), large)
    write("rsa-16384-leaf", make(cn("device"), low, public_key=rsa_public_key(16384)), low)
    write("rsa-32768-leaf", make(cn("device"), low, public_key=rsa_public_key(32768)), low)
    slow = make(cn("slow"), root, ca=True, key=rsa_key_with_a_huge_exponent())
    write("rsa-huge-exponent", make(cn("device"), slow), slow)
    write("rsa-2048", make(cn("device"), rsa_low), rsa_low)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    write("rsa-pss", make(cn("device"), rsa_low, rsa_padding=pss), rsa_low)
    p384 = make(cn("p384"), root, ca=True, key=ec.generate_private_key(ec.SECP384R1()))
    p384_key = ec.generate_private_key(ec.SECP384R1())
    write("p-384", make(cn("device"), p384, key=p384_key, digest=hashes.SHA384()), p384)
    edwards = make(cn("edwards"), root, ca=True, key=ed25519.Ed25519PrivateKey.generate())
    write("ed25519", make(cn("device"), edwards, key=ed25519.Ed25519PrivateKey.generate()), edwards)
    edwards = make(cn("edwards 448"), root, ca=True, key=ed448.Ed448PrivateKey.generate())
    write("ed448", make(cn("device"), edwards, key=ed448.Ed448PrivateKey.generate()), edwards)
    write("version-1-leaf", by_openssl("/CN=device", low, "sha256"), low)

    # Names
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x" * 10_000, _validate=False)
    long_name = make(x509.Name([organization, *cn("long")]), root, ca=True)
    write("issuer-name-of-10000-bytes", make(cn("device"), long_name), long_name)
    write("common-name-of-10000-bytes", make(cn("device" * 1667), low), low)
    write("common-name-nul", make(cn("device\x00.contoso.test"), low), low)
    write("common-name-fullwidth", make(cn("\uff44\uff45\uff56\uff49\uff43\uff45"), low), low)
    write("common-name-other", make(cn("another"), low), low)
    write("common-name-absent", make(x509.Name([]), low), low)
    write("common-name-twice", make(cn("another", "device"), low), low)
    write("common-name-case", make(cn("DEVICE"), low), low)


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    main()
