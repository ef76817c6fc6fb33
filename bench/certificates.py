"""Owns the certificates of a benchmark's devices: two CAs below a root, and leaves of one key. It must not know who is
shown them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.load import Certificate
from idscope.testing.certificates import CertificateMaker


class DeviceCertificates:
    """Devices below two CAs below a root; a device sends three certificates: its own and those two.

    `root` and `signing` (the CA that signs the devices) are PEM texts.
    """

    def __init__(self, directory: Path) -> None:
        root = CertificateMaker.authority("bench root")
        upper = root.intermediate("bench factory")
        self._signing = upper.intermediate("bench line")
        self._directory = directory
        self.root, self.signing = root.pem.decode(), self._signing.pem.decode()
        self._chain = directory / "issuers.pem"
        self._chain.write_bytes(self._signing.pem + upper.pem)

    def of(self, name: str, devices: Sequence[str]) -> Certificate:
        """Files with a certificate for each device, in their order."""
        first = self._signing.device(devices[0])
        leaves = [first, *(self._signing.device(device, key=first.key) for device in devices[1:])]
        certificates, key = first.write(self._directory, name)
        certificates.write_bytes(b"".join(leaf.pem for leaf in leaves))
        return Certificate(certificates, key, self._chain)
