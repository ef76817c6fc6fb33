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
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
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


def by_openssl(
    subject: str, issuer: Made | None, digest: str, *, ca: bool = False, curve: tuple[str, ...] = ()
) -> Made:
    """Signed with any hash; without extensions, so of version 1, unless it is an authority. With `curve` its key is of
    a kind that only the command makes, and a PEM for the command."""
    key: Any = ec.generate_private_key(ec.SECP256R1())
    issuer = issuer or make(cn("nobody"), key=key)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)

        def openssl(*arguments: str) -> None:
            subprocess.run(["openssl", *arguments], cwd=place, check=True, capture_output=True)

        for name, private in (("key", key), ("issuer-key", issuer.key)):
            pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (place / f"{name}.pem").write_bytes(pem)
        if curve:
            openssl("ecparam", "-genkey", "-noout", "-out", "key.pem", "-name", *curve)
        (place / "ca.ext").write_text("basicConstraints=critical,CA:true\n")
        (place / "issuer.pem").write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
        (place / "index.txt").touch()
        (place / "serial").write_text("1001\n")
        (place / "ca.cnf").write_text(
            "[ca]\ndefault_ca=it\n[it]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\npolicy=any\n"
            "[any]\ncommonName=supplied\n"
        )
        openssl("req", "-new", "-key", "key.pem", "-subj", subject, "-out", "request.pem")
        run = ["ca", "-batch", "-notext", "-config", "ca.cnf", "-in", "request.pem", "-md", digest]
        run += ["-cert", "issuer.pem", "-keyfile", "issuer-key.pem", "-out", "leaf.pem"]
        run += ["-extfile", "ca.ext"] if ca else []
        run += ["-selfsign"] if issuer.key is key else []
        run += ["-startdate", VALID[0].strftime("%Y%m%d%H%M%SZ"), "-enddate", VALID[1].strftime("%Y%m%d%H%M%SZ")]
        openssl(*run)
        key = (place / "key.pem").read_bytes() if curve else key
        return Made(x509.load_pem_x509_certificate((place / "leaf.pem").read_bytes()), key)


def signed_by_openssl(made: Made, issuer: Made) -> Made:
    """The same certificate, signed with an issuer's key that only the openssl command reads."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "key.pem").write_bytes(issuer.key)
        (place / "signed").write_bytes(made.certificate.tbs_certificate_bytes)
        run = ["openssl", "dgst", "-sha256", "-sign", "key.pem", "-out", "signature", "signed"]
        subprocess.run(run, cwd=place, check=True, capture_output=True)
        return assembled(made.certificate.tbs_certificate_bytes, made, (place / "signature").read_bytes())


def assembled(signed: bytes, like: Made, signature: bytes) -> Made:
    """A certificate of these bytes and this signature, with the algorithm of `like` beside them."""
    whole = like.certificate.public_bytes(Encoding.DER)
    algorithm = whole[
        whole.index(like.certificate.tbs_certificate_bytes) + len(like.certificate.tbs_certificate_bytes) :
    ]
    algorithm = algorithm[: 2 + algorithm[1]]
    der = element(0x30, signed + algorithm + element(0x03, b"\0" + signature))
    return Made(x509.load_der_x509_certificate(der), like.key)


def element(tag: int, content: bytes) -> bytes:
    size = len(content)
    width = (size.bit_length() + 7) // 8
    return (
        bytes((tag,))
        + (bytes((size,)) if size < 128 else bytes((0x80 | width,)) + size.to_bytes(width, "big"))
        + content
    )


def altered(made: Made, issuer: Made, old: bytes, new: bytes) -> Made:
    """Some bytes replaced before it is signed (elliptic issuer, SHA-256)."""
    signed = made.certificate.tbs_certificate_bytes
    assert signed.count(old) == 1
    signed = signed.replace(old, new)
    return assembled(signed, made, issuer.key.sign(signed, ec.ECDSA(hashes.SHA256())))


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
    for_ever = (VALID[0], dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC))
    write("valid-for-ever", make(cn("device"), low, ca=False, valid=for_ever), low)
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
    crossed = make(cn("crossed"), ca=True)
    below = make(cn("device"), crossed)
    by_root = make(cn("crossed"), root, ca=True, key=crossed.key)
    write("cross-signed", below, crossed, by_root)
    by_root_expired = make(cn("crossed"), root, ca=True, key=crossed.key, valid=EXPIRED)
    write("cross-signed-expired", below, by_root_expired)
    write("cross-signed-again", below, by_root_expired, by_root)
    elsewhere = x509.AuthorityKeyIdentifier(b"elsewhere", None, None)
    write("key-identifier-of-nobody", make(cn("device"), low, extensions=((elsewhere, False),)), low)

    # By which algorithm
    sha256, sha384 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040303")
    write("algorithm-named-twice", altered(make(cn("device"), low), low, sha256, sha384), low)
    rsa_only = make(cn("rsa only"), root, ca=True, key=rsa.generate_private_key(65537, 2048))
    named = make(cn("device"), low, issuer_name=cn("rsa only"))
    signed = named.certificate.tbs_certificate_bytes
    made_with_rsa = rsa_only.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    write("algorithm-of-another-kind", assembled(signed, named, made_with_rsa), rsa_only)

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
    root_short = make(cn("root short"), ca=True, path_length=0)
    write("root-short", root_short)
    below = make(cn("below"), root_short, ca=True)
    write("path-length-of-the-root", make(cn("device"), below), below)
    write("leaf-of-an-authority", make(cn("device"), low, ca=True), low)
    no_signing = make(cn("crl only"), root, ca=True, extensions=((key_usage(crl_sign=True), True),))
    write("issuer-key-usage", make(cn("device"), no_signing), no_signing)
    signing = make(cn("signs"), root, ca=True, extensions=((key_usage(key_cert_sign=True), True),))
    uses = ((key_usage(digital_signature=True), True), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), True))
    write("key-usages-good", make(cn("device"), signing, extensions=uses), signing)
    encipher = ((key_usage(key_encipherment=True), True),)
    write("leaf-key-usage", make(cn("device"), low, extensions=encipher), low)
    server = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),)
    write("leaf-for-servers", make(cn("device"), low, extensions=server), low)
    servers = make(cn("servers"), root, ca=True, extensions=server)
    write("issuer-for-servers", make(cn("device"), servers), servers)
    client = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),)
    clients = make(cn("clients"), root, ca=True, extensions=client)
    write("issuer-for-clients", make(cn("device"), clients), clients)
    everything = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False),)
    write("leaf-for-everything", make(cn("device"), low, extensions=everything), low)

    # Extensions
    write("leaf-unknown-critical", make(cn("device"), low, extensions=((UNKNOWN, True),)), low)
    write("leaf-unknown", make(cn("device"), low, extensions=((UNKNOWN, False),)), low)
    unknown_ones = [x509.UnrecognizedExtension(ObjectIdentifier(f"1.3.6.1.4.1.99999.{n}"), b"") for n in range(200)]
    too_many = tuple((each, False) for each in unknown_ones)
    write("leaf-of-200-extensions", make(cn("device"), low, extensions=too_many), low)
    write("leaf-of-128-extensions", make(cn("device"), low, extensions=too_many[:128]), low)
    unknown = make(cn("unknown"), root, ca=True, extensions=((UNKNOWN, True),))
    write("issuer-unknown-critical", make(cn("device"), unknown), unknown)
    only = x509.NameConstraints([x509.DNSName("contoso.test")], None)
    constrained = make(cn("constrained"), root, ca=True, extensions=((only, True),))
    write("name-constraints", make(cn("device"), constrained), constrained)
    constrained = make(cn("constrained"), root, ca=True, extensions=((only, False),))
    write("name-constraints-not-critical", make(cn("device"), constrained), constrained)
    explicit = make(cn("explicit"), root, ca=True, extensions=((x509.PolicyConstraints(0, None), False),))
    write("policy-constraints", make(cn("device"), explicit), explicit)
    mappings = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.33"), bytes.fromhex("300c300a06032a030406032a0305"))
    silent = ((x509.InhibitAnyPolicy(0), True), (mappings, True))
    policies = make(cn("policies"), root, ca=True, extensions=silent)
    write("policies-that-say-nothing", make(cn("device"), policies), policies)
    again = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.99"), bytes.fromhex("30030101ff"))
    both = make(cn("both"), root, ca=False, extensions=((again, True),))
    both = altered(both, root, bytes.fromhex("0603551d63"), bytes.fromhex("0603551d13"))
    write("basic-constraints-twice", make(cn("device"), both), both)

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
    write("dsa-leaf", make(cn("device"), low, public_key=dsa.generate_private_key(2048).public_key()), low)
    write("p-192-leaf", by_openssl("/CN=device", low, "sha256", curve=("prime192v1",)), low)
    spelled_out = by_openssl("/CN=spelled out", root, "sha256", ca=True, curve=("prime256v1", "-param_enc", "explicit"))
    named = make(cn("device"), root, issuer_name=cn("spelled out"))
    write("curve-spelled-out", signed_by_openssl(named, spelled_out), spelled_out)
    write("version-1-leaf", by_openssl("/CN=device", low, "sha256"), low)

    # Names
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x" * 10_000, _validate=False)
    long_name = make(x509.Name([organization, *cn("long")]), root, ca=True)
    write("issuer-name-of-10000-bytes", make(cn("device"), long_name), long_name)
    parts = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"unit {number}") for number in range(200)]
    many = make(x509.Name([*parts, *cn("many parts")]), root, ca=True)
    write("issuer-name-of-many-parts", make(cn("device"), many), many)
    many = make(x509.Name([x509.RelativeDistinguishedName([*parts, *cn("many parts")])]), root, ca=True)
    write("issuer-name-of-one-wide-part", make(cn("device"), many), many)
    few = make(x509.Name([*parts[:127], *cn("few parts")]), root, ca=True)
    write("issuer-name-of-128-parts", make(cn("device"), few), few)
    write("common-name-of-10000-bytes", make(cn("device" * 1667), low), low)
    write("common-name-nul", make(cn("device\x00.contoso.test"), low), low)
    write("common-name-fullwidth", make(cn("\uff44\uff45\uff56\uff49\uff43\uff45"), low), low)
    write("common-name-cyrillic", make(cn("d\u0435vice"), low), low)
    write("common-name-blank", make(cn("device "), low), low)
    wide = x509.NameAttribute(NameOID.COMMON_NAME, "device", _ASN1Type.BMPString)
    write("common-name-bmp-string", make(x509.Name([wide]), low), low)
    unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "unit")
    beside = x509.Name([x509.RelativeDistinguishedName([unit, *cn("device")])])
    write("common-name-beside-a-unit", make(beside, low), low)
    one_rdn = x509.Name([x509.RelativeDistinguishedName([*cn("another", "device")])])
    write("common-name-twice-in-one-part", make(one_rdn, low), low)
    other_name = x509.SubjectAlternativeName([x509.DNSName("another")])
    write("other-dns-name", make(cn("device"), low, extensions=((other_name, False),)), low)
    write("common-name-other", make(cn("another"), low), low)
    write("common-name-absent", make(x509.Name([]), low), low)
    write("common-name-twice", make(cn("another", "device"), low), low)
    write("common-name-case", make(cn("DEVICE"), low), low)


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    main()
