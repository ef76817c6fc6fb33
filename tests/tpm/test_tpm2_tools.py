"""A blob from this server, taken in by a TPM that others wrote: Debian's swtpm, commanded by tpm2-tools."""

from __future__ import annotations

import base64
import hmac
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from emulated_tpm import HOST, EmulatedTpm, emulated_tpm

from idscope.security.tpm_activation import activation_blob
from idscope.security.tpm_public import TpmKey, read_key

KEY = bytes(range(32))
SRK_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"


@dataclass(frozen=True)
class Tools:
    """tpm2-tools on one TPM, in a directory of their own."""

    directory: Path
    tpm: EmulatedTpm

    def run(self, command: str, *arguments: str, fails: bool = False) -> str:
        environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:host={HOST},port={self.tpm.swtpm_port}"}
        done = subprocess.run(
            [f"tpm2_{command}", *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert bool(done.returncode) is fails, f"{command}: {done.stderr}"
        return done.stderr

    def flush(self) -> None:
        self.run("flushcontext", "-t")

    def write(self, name: str, content: bytes) -> None:
        (self.directory / name).write_bytes(content)

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def key(self, name: str) -> TpmKey:
        """A TPM2B_PUBLIC in a file, as a device would send it."""
        return read_key(base64.b64encode(self.read(name)).decode())

    def activate(self, parts: list[bytes], *, fails: bool = False) -> str:
        """TPM2_ActivateCredential with the endorsement key's policy; the inner key is in a file afterwards."""
        self.write("credential", bytes.fromhex("badcc0de00000001") + parts[0] + parts[1])
        self.run("startauthsession", "--policy-session", "-S", "session")
        self.run("policysecret", "-S", "session", "-c", "e")
        keys = ("-c", "srk.context", "-C", "ek.context", "-P", "session:session")
        said = self.run("activatecredential", *keys, "-i", "credential", "-o", "inner", fails=fails)
        self.run("flushcontext", "session")
        self.flush()
        return said


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    """With an endorsement key and a storage root key as the SDKs create them."""
    directory = tmp_path_factory.mktemp("tools")
    with emulated_tpm(directory / "tpm") as tpm:
        tools = Tools(directory, tpm)
        tools.run("createek", "-G", "rsa", "-c", "ek.context", "-u", "ek")
        tools.flush()
        algorithms = ("-G", "rsa2048:aes128cfb", "-g", "sha256", "-a", SRK_ATTRIBUTES)
        tools.run("createprimary", "-C", "o", *algorithms, "-c", "srk.context")
        tools.run("readpublic", "-c", "srk.context", "-o", "srk", "-f", "tss", "-n", "srk.name")
        tools.flush()
        tools.run("readpublic", "-c", "ek.context", "-n", "ek.name")
        tools.flush()
        yield tools


def cut(blob: bytes) -> list[bytes]:
    parts = []
    while blob:
        end = 2 + int.from_bytes(blob[:2], "big")
        parts.append(blob[:end])
        blob = blob[end:]
    return parts


@pytest.mark.parametrize("name", ["ek", "srk"])
def test_names_are_those_of_the_tpm(tools: Tools, name: str) -> None:
    assert tools.key(name).name == tools.read(f"{name}.name")


def test_the_tpm_takes_the_key_in_and_signs_with_it(tools: Tools) -> None:
    parts = cut(activation_blob(tools.key("ek"), tools.key("srk"), KEY, "note"))
    tools.activate(parts)
    assert len(tools.read("inner")) == 16
    for name, part in zip(("duplicate", "seed", "public"), parts[2:5], strict=True):
        tools.write(name, part)
    wrapped = ("-i", "duplicate", "-s", "seed", "-k", "inner", "-u", "public")
    tools.run("import", "-C", "srk.context", *wrapped, "-r", "private")
    tools.flush()
    tools.run("load", "-C", "srk.context", "-u", "public", "-r", "private", "-c", "key.context")
    tools.flush()
    tools.write("message", b"0ne00ABCDEF%2Fregistrations%2Fdevice\n1700003600")
    tools.run("hmac", "-c", "key.context", "-o", "signature", "message")
    tools.flush()
    assert tools.read("signature") == hmac.digest(KEY, tools.read("message"), "sha256")


def test_the_tpm_refuses_a_credential_for_another_storage_root_key(tools: Tools) -> None:
    parts = cut(activation_blob(tools.key("ek"), tools.key("ek"), KEY, "note"))
    assert "integrity check failed" in tools.activate(parts, fails=True)
