"""Owns the ways in that the SDK tests try: what is enrolled, what the device holds, and what another one might hold
instead. It must not know over which wire a device comes, nor how certificates are judged.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sdk_documents import derived_key, new_key, symmetric_key_enrollment, symmetric_key_group
from sdk_drivers import Wire
from sdk_refusals import CA_NOT_FOUND, INVALID_CERTIFICATE, UNAUTHORIZED

from idscope.testing.certificates import CertificateMaker

Document = dict[str, Any]

# To be uploaded and verified: every X.509 group of the table is below it.
ROOT = CertificateMaker.authority("SDK root")


def pem(*makers: CertificateMaker) -> str:
    return "".join(maker.certificate.public_bytes(Encoding.PEM).decode() for maker in makers)


def thumbprint(maker: CertificateMaker) -> str:
    return hashlib.sha256(maker.certificate.public_bytes(Encoding.DER)).hexdigest().upper()


def x509(kind: str, primary: CertificateMaker, secondary: CertificateMaker | None = None) -> Document:
    """An attestation by `clientCertificates` or `signingCertificates`."""
    slots = {"primary": primary, "secondary": secondary}
    given = {slot: {"certificate": pem(maker)} for slot, maker in slots.items() if maker is not None}
    return {"type": "x509", "x509": {kind: given}}


@dataclass(frozen=True)
class Credential:
    """A symmetric key, or a leaf with its key and the certificates that are sent after it."""

    key: str | None = None
    chain: tuple[CertificateMaker, ...] = ()

    def held(self, wire: Wire, directory: Path) -> Document:
        """As the wire's SDK takes it: Node certificates as texts, Python as files in `directory`."""
        if not self.chain:
            return {"key": self.key}
        private_key = self.chain[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        if wire.sdk == "node":
            return {"certificate": pem(*self.chain), "private_key": private_key}
        name = secrets.token_hex(8)
        certificate_file, key_file = directory / f"{name}.pem", directory / f"{name}.key"
        certificate_file.write_text(pem(*self.chain))
        key_file.write_text(private_key)
        return {"certificate_file": str(certificate_file), "key_file": str(key_file)}

    def is_that_of(self, authentication: Document) -> bool:
        """Whether the hub's device has it in its primary slot."""
        if not self.chain:
            return bool(authentication["type"] == "sas" and authentication["symmetricKey"]["primaryKey"] == self.key)
        primary = authentication["x509Thumbprint"]["primaryThumbprint"]
        return bool(authentication["type"] == "selfSigned" and primary == thumbprint(self.chain[0]))


def signed(*chain: CertificateMaker) -> Credential:
    """What a device with this leaf holds, and sends of the certificates above it."""
    return Credential(chain=chain)


@dataclass(frozen=True)
class Case:
    """One device: the enrollment that admits it, its credential, and one that looks like it."""

    kind: Literal["individual", "group"]
    enrollment: Document
    right: Credential
    wrong: Credential

    @property
    def group_id(self) -> str | None:
        return self.enrollment.get("enrollmentGroupId")

    @property
    def signer(self) -> CertificateMaker | None:
        """The certificate that the group holds."""
        return self.right.chain[1] if len(self.right.chain) > 1 else None


@dataclass(frozen=True)
class Attestation:
    """A row: the case of a registration id, and what a device is told that no enrollment is for, or that holds the
    wrong credential."""

    name: str
    case: Callable[[str], Case]
    unknown: str
    wrong: str

    def __str__(self) -> str:
        return self.name


def _symmetric_individual(registration_id: str) -> Case:
    keys = {"primaryKey": new_key(), "secondaryKey": new_key()}
    enrollment = symmetric_key_enrollment(registration_id, keys)
    return Case("individual", enrollment, Credential(keys["primaryKey"]), Credential(new_key()))


def _symmetric_group(registration_id: str) -> Case:
    """Wrong is the key of a neighbour."""
    keys = {"primaryKey": new_key(), "secondaryKey": new_key()}
    right, wrong = (derived_key(keys["primaryKey"], each) for each in (registration_id, f"{registration_id}0"))
    return Case("group", symmetric_key_group(f"group-{registration_id}", keys), Credential(right), Credential(wrong))


def _self_signed(registration_id: str) -> Case:
    """Wrong is another certificate of the same name."""
    right, wrong = (CertificateMaker.self_signed(registration_id) for _ in range(2))
    enrollment = {"registrationId": registration_id, "attestation": x509("clientCertificates", right)}
    return Case("individual", enrollment, signed(right), signed(wrong))


def _x509_group(registration_id: str, *, intermediates: int, with_root: bool) -> Case:
    """Wrong are other keys under the same names, from the root on."""

    def chain(root: CertificateMaker) -> tuple[CertificateMaker, ...]:
        above = [root]
        for number in range(intermediates):
            above.insert(0, above[0].intermediate(f"SDK {number} of {registration_id}"))
        return (above[0].device(registration_id), *above[: None if with_root else -1])

    right = chain(ROOT)
    enrollment = {
        "enrollmentGroupId": f"group-{registration_id}",
        "attestation": x509("signingCertificates", right[1]),
    }
    return Case("group", enrollment, signed(*right), signed(*chain(CertificateMaker.authority("SDK root"))))


ATTESTATIONS = (
    Attestation("symmetric-individual", _symmetric_individual, unknown=UNAUTHORIZED, wrong=UNAUTHORIZED),
    Attestation("symmetric-group", _symmetric_group, unknown=UNAUTHORIZED, wrong=UNAUTHORIZED),
    Attestation("x509-self-signed", _self_signed, unknown=INVALID_CERTIFICATE, wrong=INVALID_CERTIFICATE),
    *(
        Attestation(
            f"x509-group-{count}-intermediate-{'with' if with_root else 'without'}-root",
            partial(_x509_group, intermediates=count, with_root=with_root),
            unknown=INVALID_CERTIFICATE,
            wrong=CA_NOT_FOUND,
        )
        for count in (1, 2)
        for with_root in (False, True)
    ),
)
