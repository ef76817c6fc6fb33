"""`idscope certificate` against a running server: from a fresh CA to a verified one, with local files and from afar."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import idscope

from idscope.testing.server import ServerProcess


@pytest.fixture(scope="module")
def server(serve: Callable[..., ServerProcess]) -> ServerProcess:
    return serve()


Run = Callable[..., str]


@pytest.fixture
def certificate(server: ServerProcess) -> Run:
    """`idscope certificate …` for the server, found by its data directory."""

    def run(command: str, *arguments: str | Path, code: int = 0) -> str:
        return idscope("certificate", command, *arguments, "--data-directory", server.data_directory, code=code)

    return run


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    idscope("ca", "create", "--directory", tmp_path, "--common-name", "Contoso", "--intermediate")
    return tmp_path


def test_from_a_fresh_ca_to_a_verified_one(certificate: Run, authority: Path) -> None:
    root = authority / "root.pem"
    assert certificate("create", "Root-1", root) == "Root-1 (Contoso) is not verified yet.\n"
    assert certificate("verify", "Root-1", "--key", authority / "root.key") == "Root-1 (Contoso) is verified.\n"
    shown: Any = json.loads(certificate("show", "root-1", "--output", "json"))
    assert shown["properties"]["isVerified"] is True
    listed = json.loads(certificate("list", "-o", "json"))
    assert shown in listed
    lines = certificate("list").splitlines()
    assert lines[0].split() == ["name", "subject", "verified", "expiry", "thumbprint"]
    assert any(line.split()[:3] == ["Root-1", "Contoso", "true"] for line in lines)
    assert re.search(r"^properties\.subject +Contoso$", certificate("show", "Root-1"), re.MULTILINE)
    assert "--replace takes its place" in certificate("create", "Root-1", root, code=1)
    assert "not verified" in certificate("create", "Root-1", authority / "intermediate.pem", "--replace")
    assert certificate("delete", "Root-1") == "Root-1 is gone.\n"
    for command in ("show", "delete", "generate-verification-code"):
        assert "There is no certificate Root-1" in certificate(command, "Root-1", code=3)


def test_verified_at_upload(certificate: Run, authority: Path) -> None:
    assert certificate("create", "at-once", authority / "root.pem", "--verified").endswith("is verified.\n")


def test_a_proof_that_is_signed_elsewhere(certificate: Run, authority: Path) -> None:
    certificate("create", "elsewhere", authority / "root.pem")
    code = certificate("generate-verification-code", "elsewhere").strip()
    proof, request = authority / "proof.pem", authority / "proof.csr"
    key = authority / "proof.key"
    for arguments in (
        ["req", "-new", "-newkey", "rsa:2048", "-noenc", "-keyout", key, "-out", request, "-subj", f"/CN={code}"],
        [
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            authority / "root.pem",
            "-CAkey",
            authority / "root.key",
            "-CAcreateserial",
            "-out",
            proof,
        ],
    ):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
    assert certificate("verify", "elsewhere", "--proof", proof).endswith("is verified.\n")


def test_an_encrypted_key_of_another_kind(certificate: Run, tmp_path: Path) -> None:
    ca, key, password = tmp_path / "ca.pem", tmp_path / "ca.key", tmp_path / "password"
    password.write_text("secret words\n")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ed25519", "-keyout", key, "-out", ca),
            *("-subj", "/CN=Ed", "-passout", f"file:{password}"),
        ],
        check=True,
        capture_output=True,
    )
    certificate("create", "ed", ca)
    assert "its password is needed" in certificate("verify", "ed", "--key", key, code=1)
    assert certificate("verify", "ed", "--key", key, "--key-password-file", password).endswith("is verified.\n")


def test_what_proves_nothing_is_told(certificate: Run, authority: Path) -> None:
    certificate("create", "wrong", authority / "root.pem")
    assert "is not the key" in certificate("verify", "wrong", "--key", authority / "intermediate.key", code=1)
    assert "--key" in certificate("verify", "wrong", code=2)
    said = certificate("verify", "wrong", "--proof", authority / "intermediate.pem", code=1)
    assert "Proof-Of-Possession failed" in said
    assert json.loads(certificate("show", "wrong", "-o", "json"))["properties"]["isVerified"] is False


def test_a_server_elsewhere_and_a_service_by_name(server: ServerProcess, authority: Path) -> None:
    document = server.ready.document
    elsewhere = [
        "--url",
        document["operator_url"],
        "--token",
        document["admin_token"],
        "--ca-file",
        document["ca_file"],
    ]
    created = idscope("certificate", "create", "far", authority / "root.pem", "--service", "idscope", *elsewhere)
    assert created == "far (Contoso) is not verified yet.\n"
    refused = idscope("certificate", "list", "--service", "other", *elsewhere, code=3)
    assert refused == "Error: There is no provisioning service other on this server: it has idscope.\n"
    wrong = [*elsewhere[:3], "wrong", *elsewhere[4:]]
    assert "does not take this admin token" in idscope("certificate", "list", *wrong, code=1)
