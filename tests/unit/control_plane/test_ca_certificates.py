"""CA certificates over the control plane: upload, etags, versions, proof of possession. Certificates and verification
certificates are made by the openssl command where the question is what others make."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from idscope.control_plane import CaCertificates
from idscope.errors import ControlPlanePreconditionFailed
from idscope.model.api_version import CONTROL_PLANE_PUBLISHED
from idscope.model.ca_certificate import CertificateContent
from idscope.model.etag import PRESENT, Matches
from idscope.records import read_ca_certificate
from idscope.storage import CaCertificateRow, Key, ProvisioningServiceRow
from idscope.testing.application import ADMIN_TOKEN, ID_SCOPE, SERVICE_RESOURCE, Application, Response
from idscope.testing.certificates import CertificateMaker

FLAT = [version for version in CONTROL_PLANE_PUBLISHED if version < "2022-02-05"]
NESTED = [version for version in CONTROL_PLANE_PUBLISHED if version >= "2022-02-05"]
HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\Z")


def with_application(scenario: Any) -> Any:
    async def inside() -> Any:
        async with Application() as app:
            return await scenario(app)

    return asyncio.run(inside())


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def der64(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def pem64(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.PEM)).decode()


async def put(
    app: Application, name: str, certificate: str, *, verified: bool | None = None, **headers: str
) -> Response:
    content = {"certificate": certificate, **({} if verified is None else {"isVerified": verified})}
    return await app.control_plane("PUT", f"/certificates/{name}", {"properties": content}, **headers)


async def uploaded(app: Application, authority: CertificateMaker, name: str = "root", **more: Any) -> Any:
    answer = await put(app, name, pem(authority.certificate), **more)
    assert answer.status == 200, answer.body
    return answer.json()


async def code_for(app: Application, name: str = "root", etag: str = "*") -> Any:
    answer = await app.control_plane("POST", f"/certificates/{name}/generateVerificationCode", if_match=etag)
    assert answer.status == 200, answer.body
    return answer.json()


async def verify(app: Application, proof: str, name: str = "root", etag: str = "*") -> Response:
    return await app.control_plane("POST", f"/certificates/{name}/verify", {"certificate": proof}, if_match=etag)


def refused(answer: Response, code: int) -> str:
    """The message of an answer in the control plane's form, without its correlation identifier."""
    document = answer.json()
    assert document.keys() == {"code", "httpStatusCode", "message", "details"}
    assert (answer.status, document["code"]) == (code // 1000, code), document
    assert answer.headers["x-ms-request-id"] in document["message"]
    return str(document["message"])


def test_an_upload_answers_as_observed() -> None:
    authority = CertificateMaker.authority("Contoso Root")

    async def scenario(app: Application) -> Any:
        return (await uploaded(app, authority, "Root-1._")), app.clock.now()

    document, _ = with_application(scenario)
    assert list(document) == ["properties", "id", "name", "type", "etag"]
    assert document["id"] == f"{SERVICE_RESOURCE}/certificates/Root-1._"
    assert (document["name"], document["type"]) == ("Root-1._", "Microsoft.Devices/provisioningServices/Certificates")
    assert base64.b64decode(document["etag"]).startswith(b'"')
    properties = document["properties"]
    assert properties["subject"] == "Contoso Root"
    assert properties["thumbprint"] == authority.certificate.fingerprint(hashes.SHA1()).hex().upper()
    assert properties["isVerified"] is False
    assert properties["created"] == "Mon, 01 Jan 0001 00:00:00 GMT"
    assert properties["certificate"] is None
    assert HTTP_DATE.match(properties["updated"])
    assert properties["expiry"] == authority.certificate.not_valid_after_utc.strftime("%a, %d %b %Y %H:%M:%S GMT")


@pytest.mark.parametrize("form", [pem, der64, pem64, lambda one: pem(one) + "\n \n"])
def test_a_certificate_comes_in_each_form(form: Any) -> None:
    authority = CertificateMaker.authority()

    async def scenario(app: Application) -> Any:
        answer = await put(app, "root", form(authority.certificate))
        assert answer.status == 200
        (row,) = await app.store.fetch((Key(CaCertificateRow, (ID_SCOPE, "root")),))
        return read_ca_certificate(row)

    assert with_application(scenario).certificate == authority.certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize("version", CONTROL_PLANE_PUBLISHED)
def test_the_body_is_flat_before_2022_02_05_and_nested_since(version: str) -> None:
    content = {"certificate": pem(CertificateMaker.authority().certificate), "isVerified": True}

    async def scenario(app: Application) -> Any:
        body = content if version in FLAT else {"properties": content}
        answer = await app.control_plane("PUT", f"/certificates/x?api-version={version}", body)
        assert answer.status == 200, answer.body
        assert answer.json()["properties"]["isVerified"] is True

    assert len(FLAT) == 7
    assert len(NESTED) == 9
    with_application(scenario)


@pytest.mark.parametrize("version", ["", "2021-10-01", "2026-11-02", "latest"])
def test_another_version_is_refused(version: str) -> None:
    answer = with_application(lambda app: app.control_plane("GET", f"/certificates?api-version={version}"))
    refused(answer, 400004)


def test_the_whole_proof_of_possession() -> None:
    authority = CertificateMaker.authority()

    async def scenario(app: Application) -> None:
        first = await uploaded(app, authority)
        asked = await code_for(app, etag=first["etag"])
        code = asked["properties"]["verificationCode"]
        assert re.fullmatch(r"[0-9A-F]{48}", code)
        assert asked["etag"] != first["etag"]
        assert asked["properties"]["isVerified"] is False
        assert base64.b64decode(asked["properties"]["certificate"]) == authority.der_chain()[0]
        refused(await verify(app, pem(authority.device(code).certificate), etag=first["etag"]), 412001)
        answer = await verify(app, der64(authority.device(code).certificate), etag=f'"{asked["etag"]}"')
        assert answer.status == 200, answer.body
        assert answer.json()["properties"]["isVerified"] is True
        assert answer.json()["etag"] not in {first["etag"], asked["etag"]}
        got = await app.control_plane("GET", "/certificates/ROOT")
        assert got.json() == answer.json()
        refused(await verify(app, pem(authority.device(code).certificate)), 400053)  # a code proves once

    with_application(scenario)


def test_what_proves_nothing() -> None:
    authority, same_name = CertificateMaker.authority("root"), CertificateMaker.authority("root")
    other = CertificateMaker.authority("other")
    below = authority.intermediate("below")

    async def scenario(app: Application) -> None:
        await uploaded(app, authority)
        refused(await verify(app, pem(authority.device("none").certificate)), 400053)
        old = (await code_for(app))["properties"]["verificationCode"]
        code = (await code_for(app))["properties"]["verificationCode"]
        assert code != old
        for wrong in (
            authority.device(old),
            authority.device(code.lower()),
            authority.device("x" + code),
            authority,
            same_name.device(code),
            other.device(code),
            below.device(code),
            CertificateMaker.self_signed(code),
        ):
            message = refused(await verify(app, pem(wrong.certificate)), 400053)
            assert code not in message
        refused(await verify(app, "no certificate"), 400000)
        got = await app.control_plane("GET", "/certificates/root")
        assert got.json()["properties"]["isVerified"] is False
        assert (await verify(app, pem(authority.device(code).certificate))).status == 200

    with_application(scenario)


@pytest.mark.parametrize(
    "kind", [["rsa:2048"], ["rsa:1024"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], ["ed25519"]]
)
@pytest.mark.parametrize("extensions", [True, False])
def test_what_openssl_makes_proves(kind: list[str], *, extensions: bool, tmp_path: Path) -> None:
    """`openssl x509 -req` without extensions makes what the documentation shows: up to OpenSSL 3.1 X.509 version 1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", *kind, "-noenc", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=A/O=Ü")

    async def scenario(app: Application) -> None:
        assert (await put(app, "ca", (tmp_path / "ca.pem").read_text())).status == 200
        code = (await code_for(app, "ca"))["properties"]["verificationCode"]
        (tmp_path / "x").write_text("basicConstraints=CA:FALSE\n")
        openssl(
            "req", "-new", "-newkey", "rsa:2048", "-noenc", "-keyout", "v.key", "-out", "v.csr", "-subj", f"/CN={code}"
        )
        more = ["-extfile", "x"] if extensions else []
        openssl(
            "x509",
            "-req",
            "-in",
            "v.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "v.pem",
            *more,
        )
        answer = await verify(app, (tmp_path / "v.pem").read_text(), "ca")
        assert answer.status == 200, answer.body

    with_application(scenario)


def test_verified_at_upload_and_what_an_update_keeps() -> None:
    authority, other = CertificateMaker.authority("a"), CertificateMaker.authority("b")

    async def scenario(app: Application) -> None:
        def verified(answer: Response) -> bool:
            assert answer.status == 200, answer.body
            return bool(answer.json()["properties"]["isVerified"])

        first = await uploaded(app, authority, verified=True)
        assert first["properties"]["isVerified"] is True
        assert verified(await put(app, "root", pem(authority.certificate), if_match=first["etag"]))
        assert not verified(await put(app, "root", pem(other.certificate), if_match="*"))
        code = (await code_for(app))["properties"]["verificationCode"]
        assert not verified(await put(app, "ROOT", pem(other.certificate), if_match="*"))
        assert verified(await verify(app, pem(other.device(code).certificate)))
        assert not verified(await put(app, "root", pem(other.certificate), verified=False, if_match="*"))
        code = (await code_for(app))["properties"]["verificationCode"]
        await put(app, "root", pem(authority.certificate), if_match="*")
        refused(await verify(app, pem(authority.device(code).certificate)), 400053)

    with_application(scenario)


def test_etags() -> None:
    authority = CertificateMaker.authority()
    text = pem(authority.certificate)

    async def scenario(app: Application) -> None:
        first = (await put(app, "root", text, if_match="anything")).json()  # passed over while creating (published)
        refused(await put(app, "root", text), 412001)
        refused(await put(app, "root", text, if_match="AAAA"), 412001)
        second = (await put(app, "root", text, if_match=f'"{first["etag"]}"')).json()
        assert second["etag"] != first["etag"]
        path = "/certificates/root"
        refused(await app.control_plane("GET", path, if_match=first["etag"]), 412001)
        assert (await app.control_plane("GET", path, if_match=second["etag"])).json() == second
        for method, target in (("DELETE", path), ("POST", f"{path}/generateVerificationCode")):
            refused(await app.control_plane(method, target), 400000)
            refused(await app.control_plane(method, target, if_match=first["etag"]), 412001)
        proof = {"certificate": text}
        refused(await app.control_plane("POST", f"{path}/verify", proof), 400000)
        refused(await app.control_plane("POST", f"{path}/verify", proof, if_match=first["etag"]), 412001)
        deleted = await app.control_plane("DELETE", path, if_match=second["etag"])
        assert (deleted.status, deleted.body) == (200, b"")
        assert (await app.control_plane("DELETE", path, if_match="*")).status == 204
        refused(await app.control_plane("GET", path), 404000)
        refused(await app.control_plane("POST", f"{path}/generateVerificationCode", if_match="*"), 404000)
        refused(await verify(app, text), 404000)

    with_application(scenario)


def test_names_are_compared_without_case_and_keep_their_first_spelling() -> None:
    authority = CertificateMaker.authority()

    async def scenario(app: Application) -> Any:
        await uploaded(app, authority, "Beta")
        await uploaded(app, authority, "alpha")
        assert (await put(app, "BETA", pem(authority.certificate))).status == 412
        assert (await put(app, "BETA", pem(authority.certificate), if_match="*")).json()["name"] == "Beta"
        listed = (await app.control_plane("GET", "/certificates")).json()
        assert list(listed) == ["value"]
        return [one["name"] for one in listed["value"]]

    assert with_application(scenario) == ["alpha", "Beta"]


@pytest.mark.parametrize("name", ["a" * 65, "a%20b", "a%2Fb", "%C3%A4", "a%0A", "~"])
def test_names_that_none_may_have(name: str) -> None:
    text = pem(CertificateMaker.authority().certificate)
    refused(with_application(lambda app: put(app, name, text)), 400000)


def test_more_than_the_published_25_are_taken() -> None:
    text = pem(CertificateMaker.authority().certificate)

    async def scenario(app: Application) -> int:
        for number in range(30):
            assert (await put(app, f"c{number}", text)).status == 200
        return len((await app.control_plane("GET", "/certificates")).json()["value"])

    assert with_application(scenario) == 30


@pytest.mark.parametrize(
    "body",
    [{}, {"properties": None}, {"properties": {}}, {"properties": {"certificate": None}}, {"certificate": ""}],
)
def test_a_body_without_a_certificate(body: Any) -> None:
    refused(with_application(lambda app: app.control_plane("PUT", "/certificates/x", body)), 400000)


@pytest.mark.parametrize("certificate", ["MA==", "x", "-----BEGIN CERTIFICATE-----", "A" * 70_000])
def test_what_is_no_certificate(certificate: str) -> None:
    refused(with_application(lambda app: put(app, "x", certificate)), 400000)


def test_the_service_is_found_by_its_own_name_below_any_subscription_and_group() -> None:
    async def scenario(app: Application) -> None:
        resource = "/SUBSCRIPTIONS/any%20one/resourcegroups/g/Providers/microsoft.devices/ProvisioningServices"
        bearer = f"bearer {ADMIN_TOKEN}"
        found = await app.request(
            "GET", f"{resource}/IDscope/certificates?api-version=2022-12-12", authorization=bearer
        )
        assert (found.status, found.json()) == (200, {"value": []})
        other = await app.request("GET", f"{resource}/other/certificates?api-version=2022-12-12", authorization=bearer)
        assert "'idscope'" in refused(other, 404000)

    with_application(scenario)


def test_only_the_admin_token_opens_it() -> None:
    async def scenario(app: Application) -> None:
        target = f"{SERVICE_RESOURCE}/certificates?api-version=2022-12-12"
        for authorization in (None, "Bearer x", "Bearer", app.service_token(), app.hub_token()):
            refused(await app.request("GET", target, authorization=authorization), 401002)

    with_application(scenario)


def test_an_error_before_the_handler_has_the_form_too() -> None:
    async def scenario(app: Application) -> None:
        refused(await app.control_plane("PATCH", "/certificates/x"), 405000)
        refused(await app.control_plane("GET", "/nothing"), 404000)
        refused(await app.control_plane("PUT", "/certificates/x", b"{"), 400006)
        refused(await app.control_plane("PUT", "/certificates/x"), 400006)
        refused(await app.control_plane("PUT", "/certificates/x", {"properties": {"isVerified": "yes"}}), 400004)

    with_application(scenario)


def test_a_change_raises_the_services_revision() -> None:
    authority = CertificateMaker.authority()

    async def scenario(app: Application) -> None:
        async def revision() -> int:
            (row,) = await app.store.fetch((Key(ProvisioningServiceRow, (ID_SCOPE,)),))
            return int(row.revision)

        seen = [await revision()]
        await uploaded(app, authority)
        seen.append(await revision())
        code = (await code_for(app))["properties"]["verificationCode"]
        await verify(app, pem(authority.device(code).certificate))
        seen.append(await revision())
        await app.control_plane("DELETE", "/certificates/root", if_match="*")
        seen.append(await revision())
        assert seen == sorted(set(seen))

    with_application(scenario)


def test_of_two_who_change_at_once_one_finds_another_etag() -> None:
    authority = CertificateMaker.authority()
    content = CertificateContent(certificate=pem(authority.certificate))

    async def scenario(app: Application) -> None:
        certificates = CaCertificates(app.store, app.clock)
        first = await certificates.put(ID_SCOPE, "root", content, None)
        told = Matches(first.etag)
        outcomes = await asyncio.gather(
            *(certificates.put(ID_SCOPE, "root", content, told) for _ in range(8)), return_exceptions=True
        )
        assert sum(isinstance(one, ControlPlanePreconditionFailed) for one in outcomes) == 7
        coded = await asyncio.gather(
            *(certificates.generate_verification_code(ID_SCOPE, "root", PRESENT) for _ in range(8))
        )
        assert len({one.etag for one in coded}) == 8

    with_application(scenario)
