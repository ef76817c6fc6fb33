"""CA certificates, as Microsoft's management SDK for Python uploads, proves, reads and deletes them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from sdk_drivers import HERE, SDK_PYTHON, Driver, SdkError

from idscope.testing.certificates import CertificateMaker
from idscope.testing.server import ServerProcess

Document = dict[str, Any]
SERVICE = "idscope"

# The only version that the SDK lists, and the older ones that it is told: the documents of these are the same.
VERSIONS = (None, "2022-02-05", "2022-12-12", "2023-03-01-preview", "2025-02-01-preview", "2026-04-01")


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


class Management:
    """The SDK with the operator's address and token."""

    def __init__(self, driver: Driver, url: str, token: str) -> None:
        self._driver = driver
        self._client: Document = {"url": url, "token": token}

    def at(self, **changes: str | None) -> Management:
        other = Management(self._driver, "", "")
        other._client = {**self._client, **{name: value for name, value in changes.items() if value is not None}}
        return other

    def call(self, operation: str, name: str | None = None, **arguments: Any) -> Any:
        named = {} if name is None else {"name": name}
        return self._driver.call(operation, **{"client": self._client, "service": SERVICE, **named, **arguments})


@pytest.fixture(scope="module")
def server(serve: Callable[..., ServerProcess]) -> ServerProcess:
    return serve()


@pytest.fixture(scope="module")
def management(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Management]:
    assert SDK_PYTHON.is_file(), "the SDKs for Python are not installed: make test installs them"
    log_file: Path = tmp_path_factory.mktemp("sdk") / "management.log"
    trust = {"REQUESTS_CA_BUNDLE": str(server.ready.ca_file)}
    document = server.ready.document
    with Driver([str(SDK_PYTHON), str(HERE / "management_driver.py")], trust, log_file) as driver:
        yield Management(driver, str(document["operator_url"]), str(document["admin_token"]))


@pytest.fixture(scope="module")
def authority() -> CertificateMaker:
    return CertificateMaker.authority("SDK root")


@pytest.fixture
def name() -> str:
    return f"ca-{secrets.token_hex(4)}"


def refusal(management: Management, operation: str, name: str, **arguments: Any) -> tuple[str, int | None, Document]:
    with pytest.raises(SdkError) as refused:
        management.call(operation, name, **arguments)
    assert refused.value.body is not None
    return refused.value.name, refused.value.status, json.loads(refused.value.body)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_whole_proof_of_possession(
    management: Management, authority: CertificateMaker, name: str, version: str | None
) -> None:
    sdk = management.at(api_version=version)
    created = sdk.call("put_model", name, certificate=pem(authority.certificate), verified=False)
    assert created["name"] == name
    properties = created["properties"]
    assert (properties["subject"], properties["isVerified"]) == ("SDK root", False)
    assert properties["thumbprint"] == authority.certificate.fingerprint(hashes.SHA1()).hex().upper()
    asked = sdk.call("generate", name, etag=created["etag"], certificate_is_verified=False, certificate_name1="x")
    code = asked["properties"]["verificationCode"]
    assert re.fullmatch(r"[0-9A-F]{48}", code)
    verified = sdk.call("verify", name, certificate=pem(authority.device(code).certificate), etag=asked["etag"])
    assert verified["properties"]["isVerified"] is True
    assert len({created["etag"], asked["etag"], verified["etag"]}) == 3
    assert sdk.call("get", name) == verified
    sdk.call("delete", name, etag=verified["etag"])
    assert refusal(sdk, "get", name)[:2] == ("ResourceNotFoundError", 404)


def test_verified_at_upload_and_listed(management: Management, authority: CertificateMaker, name: str) -> None:
    created = management.call("put_model", name, certificate=pem(authority.certificate), verified=True)
    assert created["properties"]["isVerified"] is True
    assert created in management.call("list")
    expected = authority.certificate.not_valid_after_utc.isoformat()
    assert management.call("expiry", name) == expected
    management.call("delete", name, etag="*")
    management.call("delete", name, etag="*")  # 204
    assert created not in management.call("list")


def test_an_update_needs_the_etag(management: Management, authority: CertificateMaker, name: str) -> None:
    body = {"properties": {"certificate": pem(authority.certificate)}}
    created = management.call("put", name, body=body)
    kind, status, document = refusal(management, "put", name, body=body)
    assert (kind, status, document["code"]) == ("HttpResponseError", 412, 412001)
    updated = management.call("put", name, body=body, etag=created["etag"])
    for operation, more in (
        ("put", {"body": body}),
        ("get", {}),
        ("generate", {}),
        ("verify", {"certificate": "x" * 4}),
        ("delete", {}),
    ):
        kind, status, document = refusal(management, operation, name, etag=created["etag"], **more)
        assert status in {400, 412}, operation
        assert kind == ("ResourceModifiedError" if status == 412 else "HttpResponseError")
        assert document["httpStatusCode"] in {"PreconditionFailed", "BadRequest"}
    assert management.call("put", name, body=body, etag="*")["etag"] != updated["etag"]
    management.call("delete", name, etag="*")


def test_the_sdk_shows_why_a_proof_fails(management: Management, authority: CertificateMaker, name: str) -> None:
    management.call("put_model", name, certificate=pem(authority.certificate), verified=False)
    code = management.call("generate", name, etag="*")["properties"]["verificationCode"]
    wrong = CertificateMaker.authority("SDK root").device(code)
    with pytest.raises(SdkError) as refused:
        management.call("verify", name, certificate=pem(wrong.certificate), etag="*")
    assert refused.value.status == 400
    assert "(400053) Proof-Of-Possession failed." in refused.value.message
    management.call("delete", name, etag="*")


def test_another_service_or_token_is_refused(management: Management, name: str) -> None:
    kind, status, document = refusal(management, "get", name, service="other")
    assert (kind, status) == ("ResourceNotFoundError", 404)
    assert SERVICE in document["message"]
    kind, status, _ = refusal(management.at(token="wrong"), "get", name)
    assert (kind, status) == ("ClientAuthenticationError", 401)
