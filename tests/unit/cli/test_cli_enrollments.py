"""`idscope enrollment`, `enrollment-group` and `registration`: what they ask of a server, and how they tell answers.

Documents are those that the published service API describes; flags are those of `az iot dps`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from operator_listener import Operator

from idscope.cli import main
from idscope.testing.certificates import CertificateMaker

STATUS = (200, {"services": ["one", "two"], "idScopes": ["0ne1", "0ne2"], "hostNames": ["one.test", "two.test"]})
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(32)).decode()
KEYS = {"primaryKey": KEY, "secondaryKey": OTHER_KEY}
ETAG = "IjEi"
MADE = {
    "registrationId": "d",
    "attestation": {"type": "symmetricKey", "symmetricKey": KEYS},
    "etag": ETAG,
    "provisioningStatus": "enabled",
}
INFO = {"subjectName": "CN=d"}


def run(data: Path, *arguments: str | Path, code: int = 0, given: str | bytes = "") -> Result:
    result = CliRunner().invoke(main, [*map(str, arguments), "--data-directory", str(data)], input=given)
    assert result.exit_code == code, result.output
    return result


def put(operator: Operator, data: Path, *arguments: str | Path, noun: str = "enrollment", given: str = "") -> Any:
    """The document that `create` sends."""
    operator.answers = [STATUS, (200, MADE)]
    run(data, noun, "create", "d", *arguments, "-o", "json", given=given)
    method, target, document = operator.asked[-1]
    segment = {"enrollment": "enrollments", "enrollment-group": "enrollmentGroups"}[noun]
    assert (method, target) == ("PUT", f"/provisioningServices/one/{segment}/d?api-version=2026-11-15-preview")
    assert operator.headers[-1]["If-Match"] is None
    return document


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, str]:
    """A file that holds a chain, and its first certificate in PEM."""
    path, _ = CertificateMaker.authority().server("127.0.0.1").write(tmp_path, "device")
    first, *above = x509.load_pem_x509_certificates(path.read_bytes())
    assert above
    return path, first.public_bytes(Encoding.PEM).decode()


SYMMETRIC = {"type": "symmetricKey", "symmetricKey": {}}


@pytest.mark.parametrize(
    ("flags", "members"),
    [
        ([], {}),
        (["--attestation-type", "symmetricKey"], {}),
        (["--at", "none"], {"attestation": {"type": "none"}}),
        (["--pk", KEY, "--sk", OTHER_KEY], {"attestation": {"type": "symmetricKey", "symmetricKey": KEYS}}),
        (["--endorsement-key", "AAEA"], {"attestation": {"type": "tpm", "tpm": {"endorsementKey": "AAEA"}}}),
        (["--cn", "a"], {"attestation": {"type": "x509", "x509": {"caReferences": {"primary": "a"}}}}),
        (["--device-id", "Other"], {"deviceId": "Other"}),
        (["--provisioning-status", "disabled"], {"provisioningStatus": "disabled"}),
        (["--edge-enabled"], {"capabilities": {"iotEdge": True}}),
        (["--ee", "false"], {"capabilities": {"iotEdge": False}}),
        (["--info", '{"a": [1]}'], {"optionalDeviceInformation": {"a": [1]}}),
        (["--tags", '{"a": 1}'], {"initialTwin": {"tags": {"a": 1}}}),
        (
            ["--initial-twin-properties", '{"b": {"c": null}}', "--initial-twin-tags", ""],
            {"initialTwin": {"tags": {}, "properties": {"desired": {"b": {"c": None}}}}},
        ),
        (["--rp", "never"], {"reprovisionPolicy": {"updateHubAssignment": False, "migrateDeviceData": False}}),
        (
            ["--rp", "reprovisionandresetdata"],
            {"reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": False}},
        ),
        (
            ["--reprovision-policy", "reprovisionandmigratedata"],
            {"reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True}},
        ),
        (
            ["--allocation-policy", "hashed", "--iot-hubs", "a.test b.test", "--ih", "c.test"],
            {"allocationPolicy": "hashed", "iotHubs": ["a.test", "b.test", "c.test"]},
        ),
        (["--iot-hub-host-name", "a.test"], {"allocationPolicy": "static", "iotHubs": ["a.test"]}),
        (
            ["--ap", "custom", "--webhook-url", "https://f.test/?code=x", "--api-version", "2019-03-31"],
            {
                "allocationPolicy": "custom",
                "customAllocationDefinition": {"webhookUrl": "https://f.test/?code=x", "apiVersion": "2019-03-31"},
            },
        ),
    ],
)
def test_flags_become_the_published_document(
    operator: Operator, data: Path, flags: list[str], members: dict[str, Any]
) -> None:
    assert put(operator, data, *flags) == {"registrationId": "d", "attestation": SYMMETRIC, **members}


@pytest.mark.parametrize(
    ("noun", "id_member", "pair"),
    [
        ("enrollment", "registrationId", "clientCertificates"),
        ("enrollment-group", "enrollmentGroupId", "signingCertificates"),
    ],
)
def test_certificates_come_from_files_in_pem_and_der(
    operator: Operator, data: Path, certificate: tuple[Path, str], tmp_path: Path, noun: str, id_member: str, pair: str
) -> None:
    path, pem = certificate
    der = tmp_path / "device.der"
    der.write_bytes(x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER))
    slot = {"certificate": pem}
    for flags, given, slots in (
        (["--certificate-path", path], "", {"primary": slot}),
        (["--cp", "-"], pem, {"primary": slot}),
        (["--scp", der], "", {"secondary": slot}),
        (["--cp", path, "--secondary-certificate-path", der], "", {"primary": slot, "secondary": slot}),
    ):
        document = put(operator, data, *flags, noun=noun, given=given)
        assert document == {id_member: "d", "attestation": {"type": "x509", "x509": {pair: slots}}}
    (tmp_path / "second.pem").write_text("no certificate")
    for wrong in (tmp_path / "second.pem", tmp_path / "absent.pem"):
        said = run(data, noun, "create", "d", "--cp", wrong, code=2).output
        assert str(wrong) in said
        assert "--certificate-path" in said


def test_values_come_from_files_and_standard_input_but_from_that_only_once(
    operator: Operator, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "twin.json").write_text(' {"big": 12345678901234567890123, "exact": 1.50}\n')
    (tmp_path / "key").write_text(f"{KEY}\n")
    document = put(operator, data, "--props", f"@{tmp_path / 'twin.json'}", "--pk", "-", given=f" {KEY}\n")
    assert document["attestation"]["symmetricKey"] == {"primaryKey": KEY}
    assert b'{"big": 12345678901234567890123, "exact": 1.50}' in operator.bodies[-1]
    assert put(operator, data, "--pk", f"@{tmp_path / 'key'}")["attestation"]["symmetricKey"] == {"primaryKey": KEY}
    said = run(data, "enrollment", "create", "d", "--pk", "-", "--tags", "-", code=2, given="{}").output
    assert "one value only" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create"], "as the argument, or with --enrollment-id"),
        (["create", "a", "--eid", "b"], "named twice"),
        (["create", "a b"], "'a b' is no id"),
        (["show", "--enrollment-id", "-"], "'-' is no id"),
        (["create", "d", "--at", "tpm"], "--endorsement-key"),
        (["create", "d", "--at", "x509"], "--certificate-path"),
        (["create", "d", "--at", "x509", "--pk", KEY], "--primary-key: not with the attestation x509"),
        (["create", "d", "--cn", "a", "--ek", "AA"], "--endorsement-key: not with the attestation x509"),
        (["create", "d", "--tags", "[1]"], "no JSON object"),
        (["create", "d", "--tags", "{'a': 1}"], "no JSON object"),
        (["create", "d", "--props", "@absent.json"], "absent.json cannot be read"),
        (["create", "d", "--iot-hubs", "a.test"], "--allocation-policy"),
        (["create", "d", "--ap", "static"], "needs one hub"),
        (["create", "d", "--ap", "static", "--ih", "a b"], "needs one hub"),
        (["create", "d", "--ap", "hashed", "--hn", "a"], "stands alone"),
        (["create", "d", "--ap", "custom"], "--webhook-url and --api-version"),
        (["create", "d", "--ap", "custom", "--wh", "https://a.test"], "both"),
        (["create", "d", "--wh", "https://a.test", "--av", "1"], "--allocation-policy custom"),
        (["create", "d", "--ps", "off"], "'off' is not one of"),
        (["update", "d"], "Say what to change"),
        (["delete", "d", "--etag", "é"], "shows as `etag`"),
        (["list", "--top", "0"], "--top"),
    ],
)
def test_mistakes_are_told_before_any_server_is_asked(
    operator: Operator, data: Path, arguments: list[str], said: str
) -> None:
    assert said in run(data, "enrollment", *arguments, code=2).output
    assert operator.asked == []


def test_a_certificate_and_the_name_of_a_ca_are_not_named_together(
    operator: Operator, data: Path, certificate: tuple[Path, str]
) -> None:
    flags = ("--cp", certificate[0], "--cn", "a")
    assert "not both" in run(data, "enrollment-group", "create", "g", *flags, code=2).output
    assert operator.asked == []


PRESENT = (
    b'{"registrationId":"D","attestation":{"type":"symmetricKey"},"initialTwin":{"tags":{"a": 1.50},"properties":'
    b'{"desired":{"b":[ 1 ]}}},"allocationPolicy":"static","iotHubs":["a.test"],"iotHubHostName":"a.test",'
    b'"futureMember":{"x": 1.0},"etag":"IjEi"}'
)


def update(operator: Operator, data: Path, present: Any, *flags: str | Path, noun: str = "enrollment") -> Any:
    """The document that `update` sends, where `present` stands."""
    operator.answers = [STATUS, (200, present), (200, MADE)]
    run(data, noun, "update", "d", *flags)
    return operator.asked[-1][2]


def test_an_update_leaves_what_no_flag_names_byte_for_byte(operator: Operator, data: Path) -> None:
    sent = update(operator, data, PRESENT, "--provisioning-status", "disabled")
    assert sent == {**json.loads(PRESENT), "provisioningStatus": "disabled"}
    for kept in (b'{"a": 1.50}', b'{"desired":{"b":[ 1 ]}}', b'"futureMember":{"x": 1.0}'):
        assert kept in operator.bodies[-1]
    assert operator.headers[-1]["If-Match"] == ETAG  # what was read guards against who writes at the same time
    update(operator, data, PRESENT, "--ps", "enabled", "--etag", "mine")
    assert operator.headers[-1]["If-Match"] == "mine"


@pytest.mark.parametrize(
    ("flags", "changed"),
    [
        (["--tags", "{}"], {"initialTwin": {"tags": {}, "properties": {"desired": {"b": [1]}}}}),
        (["--props", '{"c":1}'], {"initialTwin": {"tags": {"a": 1.5}, "properties": {"desired": {"c": 1}}}}),
        (["--sk", KEY], {"attestation": {"type": "symmetricKey", "symmetricKey": {"secondaryKey": KEY}}}),
        (["--ih", "b.test"], {"iotHubs": ["b.test"], "iotHubHostName": None}),
        (["--ap", "hashed"], {"allocationPolicy": "hashed"}),
    ],
)
def test_an_update_changes_what_a_flag_names(
    operator: Operator, data: Path, flags: list[str], changed: dict[str, Any]
) -> None:
    assert update(operator, data, PRESENT, *flags) == {**json.loads(PRESENT), **changed}


def x509_present(**pairs: Any) -> dict[str, Any]:
    return {"enrollmentGroupId": "d", "attestation": {"type": "x509", "x509": pairs}, "etag": ETAG}


def test_certificates_are_replaced_and_removed(operator: Operator, data: Path, certificate: tuple[Path, str]) -> None:
    path, pem = certificate
    both = {"primary": {"info": INFO_1}, "secondary": {"info": INFO_2}}
    for flags, slots in (
        (["--cp", path], {"primary": {"certificate": pem}, "secondary": {"info": INFO_2}}),
        (["--scp", path], {"primary": {"info": INFO_1}, "secondary": {"certificate": pem}}),
        (["--remove-certificate"], {"secondary": {"info": INFO_2}}),
        (["--rsc", "true"], {"primary": {"info": INFO_1}}),
        (["--rc", "false", "--rsc"], {"primary": {"info": INFO_1}}),
        (["--rc", "--rsc", "--cp", path], {"primary": {"certificate": pem}}),
    ):
        sent = update(operator, data, x509_present(signingCertificates=both), *flags, noun="enrollment-group")
        assert sent["attestation"] == {"type": "x509", "x509": {"signingCertificates": slots}}, flags
    sent = update(operator, data, x509_present(signingCertificates=both), "--cn", "root", noun="enrollment-group")
    assert sent["attestation"] == {"type": "x509", "x509": {"caReferences": {"primary": "root"}}}


def test_names_of_cas_are_replaced_and_removed(operator: Operator, data: Path, certificate: tuple[Path, str]) -> None:
    path, pem = certificate
    present = x509_present(caReferences={"primary": "a", "secondary": "b"})
    for flags, x509_sent in (
        (["--root-ca-name", "c"], {"caReferences": {"primary": "c", "secondary": "b"}}),
        (["--rsc"], {"caReferences": {"primary": "a"}}),
        (["--cp", path], {"signingCertificates": {"primary": {"certificate": pem}}}),
    ):
        sent = update(operator, data, present, *flags, noun="enrollment-group")
        assert sent["attestation"] == {"type": "x509", "x509": x509_sent}, flags


def test_an_update_that_leaves_no_way_in_is_not_sent(operator: Operator, data: Path) -> None:
    present = x509_present(signingCertificates={"primary": {"info": INFO_1}})
    for flags, said in ((["--rc"], "needs a certificate"), (["--pk", KEY], "not with the attestation x509")):
        operator.answers = [STATUS, (200, present)]
        assert said in run(data, "enrollment-group", "update", "d", *flags, code=2).output
        assert operator.asked[-1][0] == "GET"


INFO_1, INFO_2 = (
    {
        "subjectName": f"CN={name}",
        "sha1Thumbprint": "A" * 40,
        "sha256Thumbprint": "B" * 64,
        "issuerName": "CN=i",
        "notBeforeUtc": "2020-01-01T00:00:00Z",
        "notAfterUtc": "2030-01-01T00:00:00Z",
        "serialNumber": "01",
        "version": 3,
    }
    for name in ("one", "two")
)


@pytest.mark.parametrize("output", ["table", "json"])
def test_keys_are_shown_when_they_are_asked_for(operator: Operator, data: Path, output: str) -> None:
    for verb, before in (("create", []), ("update", [(200, PRESENT)])):
        flags = ["--pk", KEY, "-o", output]
        operator.answers = [STATUS, *before, (200, MADE)]
        said = run(data, "enrollment", verb, "d", *flags).output
        assert KEY not in said
        assert OTHER_KEY not in said
        operator.answers = [STATUS, *before, (200, MADE)]
        said = run(data, "enrollment", verb, "d", *flags, "--show-keys").output
        assert KEY in said
        assert OTHER_KEY in said


def test_show_asks_for_the_keys_where_there_are_any(operator: Operator, data: Path) -> None:
    operator.answers = [STATUS, (200, PRESENT), (200, MADE["attestation"])]
    shown = json.loads(run(data, "enrollment", "show", "d", "--show-keys", "-o", "json").output)
    assert shown == {**json.loads(PRESENT), "attestation": MADE["attestation"]}
    assert operator.asked[-1][:2] == (
        "POST",
        "/provisioningServices/one/enrollments/d/attestationmechanism?api-version=2026-11-15-preview",
    )
    operator.answers = [STATUS, (200, {"registrationId": "d", "attestation": {"type": "tpm"}})]
    result = run(data, "enrollment", "show", "d", "--keys", "-o", "json")
    assert "no symmetric keys" in result.stderr
    assert json.loads(result.stdout)["attestation"] == {"type": "tpm"}


def test_what_a_document_holds_is_shown_and_not_obeyed_by_the_terminal(operator: Operator, data: Path) -> None:
    document = (
        b'{"registrationId":"d","iotHubs":["a","b"],"initialTwin":{"tags":{"x": 1.50}},"deviceId":"\\u001b[31m",'
        b'"n":null}'
    )
    operator.answers = [STATUS, (200, document)]
    assert run(data, "enrollment", "show", "d").output.splitlines() == [
        "registrationId    d",
        "iotHubs           a, b",
        'initialTwin.tags  {"x": 1.50}',
        r"deviceId          \x1b[31m",
        "n                 null",
    ]


def refusal(code: int) -> tuple[int, Any]:
    return code // 1000, {"errorCode": code, "trackingId": "t", "message": "in the service's words"}


@pytest.mark.parametrize(
    ("arguments", "before", "code", "exit_code", "said"),
    [
        ("enrollment create d", [], 409201, 1, "exists already: change it with `idscope enrollment update`"),
        ("enrollment-group create d", [], 409202, 1, "`idscope enrollment-group update`"),
        ("enrollment create d", [], 400004, 1, "The server answered 400: in the service's words"),
        ("enrollment show d", [], 404201, 3, "no enrollment d: `idscope enrollment list`"),
        ("enrollment-group show d", [], 404204, 3, "no enrollment group d: `idscope enrollment-group list`"),
        ("enrollment update d --ps enabled", [], 404201, 3, "no enrollment d"),
        ("enrollment update d --ps enabled", [(200, PRESENT)], 412000, 1, "at the same time. Nothing was done"),
        ("enrollment update d --ps enabled -e x", [(200, PRESENT)], 412000, 1, "another etag"),
        ("enrollment delete d -e x", [], 412000, 1, "`idscope enrollment show d`"),
        ("registration list g", [], 404204, 3, "no enrollment group g"),
        ("registration show d", [], 404202, 3, "no registration d"),
        ("registration delete d", [], 404202, 3, "no registration d"),
        ("registration delete d --etag x", [], 412000, 1, "registered meanwhile"),
        ("enrollment list", [], 500000, 1, "The server answered 500"),
    ],
)
def test_a_refusal_says_what_to_do(
    operator: Operator, data: Path, arguments: str, before: list[Any], code: int, exit_code: int, said: str
) -> None:
    operator.answers = [STATUS, *before, refusal(code)]
    assert said in run(data, *arguments.split(), code=exit_code).output


def test_a_service_goes_by_its_name(operator: Operator, data: Path) -> None:
    for flag in ("--service", "--dps-name", "-n"):
        operator.answers = [STATUS, (204, None)]
        run(data, "enrollment", "delete", "d", flag, "TWO")
        assert operator.asked[-1][1].startswith("/provisioningServices/two/enrollments/d?")
    for arguments in ("enrollment list", "enrollment show d", "registration show d", "certificate show c"):
        operator.answers = [STATUS]
        assert "it has one, two" in run(data, *arguments.split(), "--service", "three", code=3).output
    operator.answers = [(200, {"idScopes": ["0ne1"]})]
    assert "of this version" in run(data, "enrollment", "list", code=1).output
    operator.answers = [(200, b"<html>")]
    assert "of this version" in run(data, "enrollment", "list", code=1).output
    operator.answers = [(404, {"errorCode": 404000, "message": "Resource not found."})]
    assert "no operator listener" in run(data, "enrollment", "list", code=1).output


def item(name: str) -> dict[str, Any]:
    return {"registrationId": name, "attestation": {"type": "symmetricKey"}, "provisioningStatus": "enabled"}


def pages() -> list[Any]:
    return [
        STATUS,
        (200, [item("a"), item("b")], {"x-ms-continuation": "next"}),
        (200, [item("a-long-name")], {"x-ms-continuation": "last"}),
        (200, []),
    ]


def test_a_list_reads_page_after_page(operator: Operator, data: Path) -> None:
    operator.answers = pages()
    where = "SELECT * FROM enrollments WHERE provisioningStatus = 'enabled'"
    listed = json.loads(run(data, "enrollment", "list", "--query", where, "-o", "json").output)
    assert listed == [item("a"), item("b"), item("a-long-name")]
    asked = operator.asked[1:]
    assert [(method, target.partition("?")[0], body) for method, target, body in asked] == [
        ("POST", "/provisioningServices/one/enrollments/query", {"query": where})
    ] * 3
    assert [one["x-ms-continuation"] for one in operator.headers[1:]] == [None, "next", "last"]
    operator.answers = pages()
    assert [line.split()[0] for line in run(data, "enrollment", "list").output.splitlines()] == [
        "registrationId",
        "a",
        "b",
        "a-long-name",
    ]
    assert operator.asked[-1][2] == {"query": "SELECT *"}


def test_a_list_ends_where_it_is_told_to(operator: Operator, data: Path) -> None:
    operator.answers = pages()
    listed = json.loads(run(data, "enrollment", "list", "--top", "3", "-o", "json").output)
    assert len(listed) == 3
    assert [one["x-ms-max-item-count"] for one in operator.headers[1:]] == ["3", "1"]


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        ("enrollment list", "registrationId"),
        ("enrollment-group list", "enrollmentGroupId"),
        ("registration list g", ""),
    ],
)
def test_an_empty_list_is_one(operator: Operator, data: Path, arguments: str, title: str) -> None:
    operator.answers = [STATUS, (200, [])]
    assert run(data, *arguments.split(), "-o", "json").output == "[]\n"
    operator.answers = [STATUS, (200, [])]
    (line,) = run(data, *arguments.split()).output.splitlines()
    assert line.startswith(title)


def test_registrations_are_listed_by_group_and_shown_by_id(operator: Operator, data: Path) -> None:
    state = {"registrationId": "d", "status": "assigned", "assignedHub": "hub.test", "deviceId": "D"}
    for noun in ("registration", "enrollment-group registration"):
        operator.answers = [STATUS, (200, [state])]
        said = run(data, *noun.split(), "list", "--group-id", "g:1", "--query", "SELECT * WHERE x = 1").output
        assert said.splitlines()[1].split() == ["d", "assigned", "hub.test", "D", "-", "-"]
        assert operator.asked[-1] == (
            "POST",
            "/provisioningServices/one/registrations/g%3A1/query?api-version=2026-11-15-preview",
            {"query": "SELECT * WHERE x = 1"},
        )
    for noun in ("registration", "enrollment-group registration", "enrollment registration"):
        operator.answers = [STATUS, (200, state)]
        assert json.loads(run(data, *noun.split(), "show", "--rid", "d", "--json").output) == state


def test_a_derived_key_is_the_documented_hmac(operator: Operator, data: Path) -> None:
    expected = base64.b64encode(hmac.digest(bytes(range(32)), b"Device-1", hashlib.sha256)).decode()
    flags = ("compute-device-key", "--registration-id", "Device-1")
    operator.answers = [STATUS, (200, MADE["attestation"])]
    assert run(data, "enrollment-group", *flags, "g").output == f"{expected}\n"
    operator.asked.clear()
    assert run(data, "enrollment-group", *flags, "--key", KEY).output == f"{expected}\n"
    assert json.loads(run(data, "enrollment-group", *flags, "--key", "-", "-o", "json", given=KEY).output) == expected
    assert operator.asked == []  # with the key at hand no server is needed
    assert "--symmetric-key" in run(data, "enrollment-group", *flags, code=2).output
    assert "Base64" in run(data, "enrollment-group", *flags, "--key", "short", code=1).output
    operator.answers = [STATUS, (200, {"type": "x509", "x509": {}})]
    assert "attests by x509" in run(data, "enrollment-group", *flags, "g", code=1).output


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("enrollment create --attestation-type ", ["symmetricKey", "x509", "tpm", "none"]),
        ("enrollment-group create --attestation-type ", ["symmetricKey", "x509", "none"]),
        ("enrollment update --provisioning-status ", ["enabled", "disabled"]),
        ("registration list -o ", ["table", "json"]),
    ],
)
def test_completion_knows_the_words(words: str, offered: list[str]) -> None:
    assert completed(words) == offered


def completed(words: str, *, given: str | None = None, **environment: str) -> list[str]:
    """What a shell offers after the words, the last of which was begun."""
    line = {"_IDSCOPE_COMPLETE": "bash_complete", "COMP_WORDS": f"idscope {words}"}
    position = {"COMP_CWORD": str(len(words.split()) + words.endswith(" "))}
    result = CliRunner().invoke(main, env={**line, **position, **environment}, prog_name="idscope", input=given)
    assert not result.stderr
    return [one.partition(",")[2] for one in result.output.split()]


def test_completion_offers_the_ids_that_there_are(operator: Operator, data: Path) -> None:
    where = {"IDSCOPE_DATA_DIRECTORY": str(data)}
    items = [item("Alpha"), item("alpine"), item("beta")]
    for words in ("enrollment show al", "enrollment update --enrollment-id al", "enrollment delete AL"):
        operator.answers = [STATUS, (200, items)]
        assert completed(words, **where) == ["Alpha", "alpine"], words
    groups = [{"enrollmentGroupId": "g"}]
    for words in ("registration list ", "enrollment-group compute-device-key ", "enrollment-group show "):
        operator.answers = [STATUS, (200, groups)]
        assert completed(f"{words}--service two --gid ", **where) == ["g"], words
        assert operator.asked[-1][1].startswith("/provisioningServices/two/enrollmentGroups/query?")
    assert completed("enrollment create a", **where) == []
    operator.answers = [refusal(500000)]
    assert completed("enrollment show ", **where) == []
    assert completed("enrollment show ", IDSCOPE_DATA_DIRECTORY="/nowhere") == []


def test_completion_reads_no_standard_input_and_no_file(data: Path) -> None:
    words = "enrollment create d --pk - --tags @/dev/stdin --cp - --provisioning-status "
    assert completed(words, given="{}") == ["enabled", "disabled"]


# az iot dps, extension azure-iot: _params.py and the reference of `enrollment`, `enrollment-group`, `registration`
AZURE_FLAGS = {
    "enrollment create": "--enrollment-id --eid --attestation-type --at --allocation-policy --ap --api-version --av "
    "--certificate-path --cp --device-id --device-information --info --dps-name -n --edge-enabled --ee "
    "--endorsement-key --ek --iot-hub-host-name --hn --iot-hubs --ih --initial-twin-properties --props "
    "--initial-twin-tags --tags --primary-key --pk --provisioning-status --ps --reprovision-policy --rp "
    "--secondary-certificate-path --scp --secondary-key --sk --webhook-url --wh",
    "enrollment update": "--enrollment-id --etag -e --remove-certificate --rc --remove-secondary-certificate --rsc "
    "--endorsement-key --ek --certificate-path --primary-key --device-id --edge-enabled --webhook-url",
    "enrollment show": "--enrollment-id --show-keys --keys --dps-name -n",
    "enrollment list": "--top --dps-name -n",
    "enrollment delete": "--enrollment-id --etag -e",
    "enrollment registration show": "--registration-id",
    "enrollment registration delete": "--registration-id --etag -e",
    "enrollment-group create": "--enrollment-id --root-ca-name --ca-name --cn --secondary-root-ca-name "
    "--secondary-ca-name --scn --certificate-path --cp --secondary-certificate-path --scp --primary-key --pk "
    "--secondary-key --sk --edge-enabled --iot-hubs --initial-twin-tags --allocation-policy --webhook-url "
    "--api-version",
    "enrollment-group update": "--enrollment-id --etag --root-ca-name --remove-certificate --rc",
    "enrollment-group show": "--enrollment-id --show-keys --keys",
    "enrollment-group list": "--top",
    "enrollment-group delete": "--enrollment-id --etag -e",
    "enrollment-group compute-device-key": "--registration-id --enrollment-id --symmetric-key --key",
    "enrollment-group registration list": "--enrollment-id --top",
    "enrollment-group registration show": "--registration-id",
    "enrollment-group registration delete": "--registration-id --etag",
    "registration list": "--enrollment-id --top",
    "registration show": "--registration-id",
    "registration delete": "--registration-id --etag",
}


@pytest.mark.parametrize("command", AZURE_FLAGS)
def test_a_command_takes_the_flags_of_azures(command: str) -> None:
    found: Any = main
    for word in command.split():
        found = found.commands[word]
    assert set(AZURE_FLAGS[command].split()) <= {name for one in found.params for name in one.opts}
    assert all(one.help for one in found.params if isinstance(one, click.Option))
    assert found.help
