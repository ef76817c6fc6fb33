"""Loads every capture with its row in captures.toml, enrolls captured devices, signs their tokens anew. It must not
know how a capture is served, nor what the answers should be."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from websocket_wire import deframe

from idscope.clock import MICROSECONDS, from_datetime
from idscope.events import Wire
from idscope.testing.application import Application
from idscope.testing.certificates import CertificateMaker
from idscope.testing.manual_clock import ManualClock
from idscope.testing.software_tpm import SoftwareTpm

DIRECTORY = Path(__file__).parent
# Any 32 bytes: the devices' own keys are not known.
KEY = base64.b64encode(hashlib.sha256(b"the key of a test").digest()).decode()

# TPM2B_PUBLIC: size, RSA, SHA-256, attributes
_ENDORSEMENT_KEY = re.compile(rb"\x01\x3a\x00\x01\x00\x0b\x00\x03\x00\xb2.{306}", re.DOTALL)
_STORAGE_ROOT_KEY = re.compile(rb"\x01\x1a\x00\x01\x00\x0b\x00\x03\x04\x72.{274}", re.DOTALL)

_TOKEN = re.compile(
    rb"SharedAccessSignature sr=(?P<sr>[^&\s]+)&sig=(?P<sig>[^&]+)&(?:skn=registration&)?se=(?P<se>\d{10})"
)


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What captures.toml says of one capture; its head says what the words mean."""

    file: str
    wire: Wire
    sdk: Literal["C", "Java", "Node", "Python"]
    scenario: str
    proof: Literal["symmetricKey", "x509", "tpm", "none"]
    verdict: Literal["assigned", "let in", "challenged", "hub", "silent", "404000"]
    ends: Literal["disconnect", "open"] = "disconnect"


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    capture: list[Row]


@dataclass(frozen=True)
class Capture:
    """One connection: `sent` is what the client said on the wire, as it was cut; `chain` the names of its certificates.

    In a WebSocket, `upgrade` is the request for it, `frames` what followed, and `sent` the payload of each data frame.
    """

    row: Row
    chain: tuple[str, ...]
    sent: tuple[bytes, ...]
    upgrade: bytes = b""
    frames: tuple[bytes, ...] = ()

    @property
    def name(self) -> str:
        return self.row.file

    @property
    def stream(self) -> bytes:
        return b"".join(self.sent)

    @property
    def framed(self) -> bytes:
        return b"".join(self.frames)


def load_table() -> list[Row]:
    """The rows of captures.toml."""
    return msgspec.toml.decode((DIRECTORY / "captures.toml").read_bytes(), type=_Table).capture


def load_fixtures() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every fixture by its capture's name."""
    for path in sorted(DIRECTORY.glob("*/*.json")):
        document = json.loads(path.read_text())
        for one in document["connections"]:
            yield f"{document['group']}/{one['file']}", one


def load_captures(*wires: Wire) -> list[Capture]:
    """All captures on these wires."""
    rows = {row.file: row for row in load_table()}
    return [_capture(rows[name], one) for name, one in load_fixtures() if rows[name].wire in wires]


def _capture(row: Row, fixture: dict[str, Any]) -> Capture:
    chain = tuple(fixture["chain"])
    if "frames" not in fixture:
        return Capture(row, chain, tuple(part.encode("latin-1") for part in fixture["sent"]))
    frames = tuple(base64.b64decode(part) for part in fixture["frames"])
    sent = tuple(payload for opcode, _, payload in deframe(b"".join(frames)) if opcode == 2)
    return Capture(row, chain, sent, fixture["request"].encode("latin-1"), frames)


# Its device


def certificate_of(capture: Capture) -> CertificateMaker | None:
    """A certificate such as the device had, self-signed or below an intermediate authority."""
    if not capture.chain:
        return None
    if len(capture.chain) == 1:
        return CertificateMaker.self_signed(capture.row.scenario)
    return CertificateMaker.authority().intermediate("Dev Intermediate").device(capture.row.scenario)


def clock_for(certificate: CertificateMaker | None) -> ManualClock:
    """A clock by which the certificate is valid, and not for long."""
    if certificate is None:
        return ManualClock()
    return ManualClock(from_datetime(certificate.certificate.not_valid_before_utc) + MICROSECONDS)


@functools.cache
def tpm_of(capture: Capture) -> SoftwareTpm | None:
    """A TPM in the place of the device's; what it took in last is forgotten."""
    return SoftwareTpm() if capture.row.proof == "tpm" else None


def with_keys_of(tpm: SoftwareTpm, data: bytes) -> bytes:
    """The bytes with the keys of this TPM, of the same length. In JSON they stay: over AMQP nobody reads them there."""
    data = _ENDORSEMENT_KEY.sub(lambda _: base64.b64decode(tpm.endorsement_key), data)
    return _STORAGE_ROOT_KEY.sub(lambda _: base64.b64decode(tpm.storage_root_key), data)


async def enroll(
    app: Application, registration_id: str, certificate: CertificateMaker | None, endorsement_key: str = ""
) -> None:
    """The individual enrollment that the device expects."""
    attestation: dict[str, Any] = {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}
    if certificate is not None:
        leaf = base64.b64encode(certificate.der_chain()[0]).decode()
        attestation = {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": leaf}}}}
    if endorsement_key:
        attestation = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key}}
    await app.enroll(registration_id, attestation=attestation)


def sign_anew(data: bytes, expiry: int, key: str = KEY) -> bytes:
    """The bytes with their token signed by this key, in the same spelling, order, escapes, and of the same length.

    The expiry is moved on until its signature takes as many escapes as the old one: no packet and no frame changes its
    size.
    """
    token = _TOKEN.search(data)
    if token is None:
        return data
    lower = re.search(rb"%[0-9a-f]?[a-f]", token["sig"]) is not None
    safe = "/" if b"/" in token["sig"] else ""
    for moment in range(expiry, expiry + 100_000):
        signed = hmac.new(base64.b64decode(key), token["sr"] + b"\n%d" % moment, hashlib.sha256).digest()
        text = quote(base64.b64encode(signed), safe=safe)
        escaped = re.sub("%..", lambda escape: escape[0].lower(), text).encode() if lower else text.encode()
        if len(escaped) == len(token["sig"]):
            begin, end = token.span("sig")
            data = data[:begin] + escaped + data[end:]
            begin, end = token.span("se")
            return data[:begin] + b"%d" % moment + data[end:]
    raise AssertionError("no expiry has a signature of that length")
