"""Attacks on the real server, over every wire to which they apply: the documented answer, nothing changed in the store,
and a genuine device still gets in afterwards.

What is sent that is not well-formed: `test_hostile_requests.py`, `test_hostile_bodies.py`. TPM devices stand elsewhere.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from attack_mqtt import mqtt_session
from attack_streams import Told, answered
from attack_wires import WIRES, Shown, Visitor, WireName, stolen_key
from attack_world import (
    LOW,
    MACHINE,
    NEIGHBOUR,
    OTHER_HOST,
    OTHER_SCOPE,
    OTHERS_OWN,
    OWN,
    ROOT,
    UNKNOWN_LOW,
    UNKNOWN_SCOPE,
    UNVERIFIED_LOW,
    UNVERIFIED_ROOT,
    World,
    derived,
    owner_token,
    peopled,
    soon,
)
from hostile import dump

from idscope.testing.application import sas_token
from idscope.testing.certificates import CertificateMaker
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient, connection_parts, enrollment

UNAUTHORIZED = "401002 Unauthorized"
INVALID = "401002 Invalid certificate."
NO_CA = "401002 CA certificate not found."
NO_SCOPE = "404000 IdScope not found."


@pytest.fixture(scope="module")
def world(serve: Callable[..., ServerProcess]) -> World:
    return peopled(serve())


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> WireName:
    return cast("WireName", request.param)


@pytest.fixture
def visitor(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Visitor]:
    """When the test is over nothing may have changed in the store, nor failed; then everybody genuine gets in, over the
    test's own wire."""
    wire = request.getfixturevalue("wire") if "wire" in request.fixturenames else WIRES[0]
    before = dump(world.server.data_directory)
    visitor = Visitor(world.server.ready, tmp_path)
    yield visitor
    assert dump(world.server.data_directory) == before
    for registration_id, shown in world.genuine().items():
        assert visitor.register(wire, registration_id, shown).told == "assigned"
    assert "Traceback" not in world.server.log_text()


def told_of_tokens(wire: WireName, words: str = UNAUTHORIZED) -> str:
    """A bad token is refused in SASL, where no reason can be told."""
    return "SASL 1" if wire.startswith("Amqp") else words


# Tokens

Token = Callable[[World], str | None]
EMPTY = ""

TOKENS: dict[str, tuple[str, Token]] = {
    "of another device": ("d", lambda world: world.token("e", world.keys.e)),
    "for this id, with another device's key": ("d", lambda world: world.token("d", world.keys.e)),
    "for another id, with this device's key": ("d", lambda world: world.token("e", world.keys.d)),
    "for an id that begins like it": ("d", lambda world: world.token("d2", world.keys.d)),
    "for all ids": ("d", lambda world: sas_token(f"{world.scope}/registrations", world.keys.d, soon())),
    "for the scope": ("d", lambda world: sas_token(world.scope, world.keys.d, soon())),
    "for the path to register": (
        "d",
        lambda world: sas_token(f"{world.resource('d')}/register", world.keys.d, soon(), "registration"),
    ),
    "of another scope": ("d", lambda world: world.token("d", world.keys.d, scope=UNKNOWN_SCOPE)),
    "of the device of that id in another service": (
        "d",
        lambda world: world.token("d", world.keys.d_elsewhere, scope=OTHER_SCOPE),
    ),
    "for here, with the key in another service": ("d", lambda world: world.token("d", world.keys.d_elsewhere)),
    "for elsewhere, with the key of here": ("d", lambda world: world.token("d", world.keys.d, scope=OTHER_SCOPE)),
    "of the group's own key": ("member-1", lambda world: world.token("member-1", world.keys.fleet)),
    "of the group's own key, a new device": ("member-9", lambda world: world.token("member-9", world.keys.fleet)),
    "of the key of another member": (
        "member-1",
        lambda world: world.token("member-1", world.keys.of_fleet("member-2")),
    ),
    "of a member, in another spelling of its id": (
        "MEMBER-1",
        lambda world: world.token("MEMBER-1", world.keys.of_fleet("Member-1")),
    ),
    "of the group's key for a device enrolled by itself": (
        "d",
        lambda world: world.token("d", world.keys.of_fleet("d")),
    ),
    "of an empty key": ("d", lambda world: world.token("d", EMPTY)),
    "of an empty key, a device of a group": ("member-1", lambda world: world.token("member-1", EMPTY)),
    "derived from an empty key": ("member-1", lambda world: world.token("member-1", derived(b"", "member-1"))),
    "of an empty key, nobody's id": ("nobody", lambda world: world.token("nobody", EMPTY)),
    "with an empty signature": ("d", lambda world: f"SharedAccessSignature sr={world.resource('d')}&sig=&se={soon()}"),
    "that is empty": ("d", lambda _: ""),
    "of the service's owner": ("d", lambda world: owner_token(world.server.ready.service_connection_string)),
    "for the device, by the service's owner": (
        "d",
        lambda world: sas_token(
            world.resource("d"), world.owner["SharedAccessKey"], soon(), world.owner["SharedAccessKeyName"]
        ),
    ),
    "for the device, by the service's owner under the device's name": (
        "d",
        lambda world: sas_token(world.resource("d"), world.owner["SharedAccessKey"], soon(), "registration"),
    ),
    "of the hub's owner": ("d", lambda world: owner_token(world.server.ready.hub_connection_string)),
    "that opens the hub": (
        "d",
        lambda world: sas_token(f"{world.server.ready.hub_host_name}/devices/d", world.keys.d, soon()),
    ),
    "for a device that has a certificate": ("own-1", lambda world: world.token("own-1", world.keys.d)),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_token(world: World, visitor: Visitor, wire: WireName, name: str) -> None:
    registration_id, token = TOKENS[name]

    answer = visitor.register(wire, registration_id, Shown(token(world)))

    assert answer.told == told_of_tokens(wire)


def test_nothing_at_all(visitor: Visitor, wire: WireName) -> None:
    words = "401002 IotHubUnauthorizedAccess" if wire.startswith("Amqp") else UNAUTHORIZED
    for registration_id in ("d", "member-1", "machine-1", "own-1", "nobody"):
        assert visitor.register(wire, registration_id, Shown()).told == words


def test_a_genuine_token_at_another_scope(world: World, visitor: Visitor, wire: WireName) -> None:
    shown = Shown(world.token("d", world.keys.d))

    assert visitor.register(wire, "d", shown, id_scope=OTHER_SCOPE).told == told_of_tokens(wire)
    unknown = visitor.register(wire, "d", shown, id_scope=UNKNOWN_SCOPE).told
    assert unknown == ("CONNACK 3" if wire.startswith("Mqtt") else told_of_tokens(wire, NO_SCOPE))


@pytest.mark.usefixtures("visitor")
def test_the_token_of_the_other_service_is_good_there(world: World) -> None:
    """So that the attacks with it fail for the right reason."""
    path = f"/{world.resource('d', OTHER_SCOPE)}?api-version=2021-06-01"
    token = world.token("d", world.keys.d_elsewhere, scope=OTHER_SCOPE)
    with ServerClient(world.server.ready) as client:
        answer = client.request("POST", path, {"registrationId": "d"}, authorization=token)

    assert (answer.status, answer.json()["status"]) == (200, "unassigned")


# Certificates

Chain = Callable[[], Shown]

CERTIFICATES: dict[str, tuple[str, Chain, str]] = {
    "of another device of the group": ("machine-1", lambda: Shown(chain=(NEIGHBOUR, LOW)), INVALID),
    "of another enrolled device": ("own-1", lambda: Shown(chain=(OTHERS_OWN,)), INVALID),
    "of a device of a group, for one enrolled by itself": ("own-1", lambda: Shown(chain=(MACHINE, LOW)), INVALID),
    "of one enrolled by itself, for a device of a group": ("machine-1", lambda: Shown(chain=(OWN,)), INVALID),
    "issued by the group, for one enrolled by itself": (
        "own-1",
        lambda: Shown(chain=(LOW.device("own-1"), LOW)),
        INVALID,
    ),
    "self-signed, with the name of one enrolled by itself": (
        "own-1",
        lambda: Shown(chain=(CertificateMaker.self_signed("own-1"),)),
        INVALID,
    ),
    "of a device with a certificate, for one with a key": ("d", lambda: Shown(chain=(OWN,)), UNAUTHORIZED),
    "below unknown authorities with the genuine names": (
        "machine-1",
        lambda: Shown(chain=(UNKNOWN_LOW.device("machine-1"), UNKNOWN_LOW)),
        NO_CA,
    ),
    "below unknown authorities, the genuine ones sent along": (
        "machine-1",
        lambda: Shown(chain=(UNKNOWN_LOW.device("machine-1"), LOW, ROOT)),
        NO_CA,
    ),
    "of a group below an uploaded authority that is not verified": (
        "machine-1",
        lambda: Shown(chain=(UNVERIFIED_LOW.device("machine-1"), UNVERIFIED_LOW, UNVERIFIED_ROOT)),
        NO_CA,
    ),
    "of that group, a verified authority sent along": (
        "machine-1",
        lambda: Shown(chain=(UNVERIFIED_LOW.device("machine-1"), UNVERIFIED_LOW, ROOT)),
        NO_CA,
    ),
    "issued by a device": (
        "machine-1",
        lambda: Shown(chain=(NEIGHBOUR.device("machine-1"), NEIGHBOUR, LOW)),
        INVALID,
    ),
    "issued by an authority that a device issued": (
        "machine-1",
        lambda: Shown(chain=((rogue := NEIGHBOUR.intermediate("low")).device("machine-1"), rogue, NEIGHBOUR, LOW)),
        INVALID,
    ),
    "another leaf first, the genuine one behind it": (
        "machine-1",
        lambda: Shown(chain=(CertificateMaker.self_signed("machine-1"), MACHINE, LOW)),
        INVALID,
    ),
    "of the group's authority itself": ("low", lambda: Shown(chain=(LOW,), key_pem=None), INVALID),
}


@pytest.mark.parametrize("name", sorted(CERTIFICATES))
def test_a_certificate(visitor: Visitor, wire: WireName, name: str) -> None:
    registration_id, shown, told = CERTIFICATES[name]

    assert visitor.register(wire, registration_id, shown()).told == told


def test_a_certificate_whose_key_is_another_ones(visitor: Visitor, wire: WireName) -> None:
    """The handshake itself wants the key: nobody gets as far as to be judged."""
    thief = CertificateMaker.self_signed("machine-1")
    shown = Shown(chain=(MACHINE, LOW), key_pem=stolen_key(MACHINE, thief))

    with pytest.raises((OSError, EOFError)):
        visitor.register(wire, "machine-1", shown)

    rightful = Shown(chain=(MACHINE, LOW), key_pem=stolen_key(MACHINE, MACHINE))
    stream = visitor.stream(wire, rightful)
    stream.close()


def test_a_certificate_beside_the_token_of_another_device(world: World, visitor: Visitor, wire: WireName) -> None:
    """What the enrollment does not attest by counts for nothing."""
    token = world.token("d", world.keys.d)

    assert visitor.register(wire, "own-1", Shown(token, chain=(OTHERS_OWN,))).told == told_of_tokens(wire, INVALID)
    assert visitor.register(wire, "d", Shown(world.token("e", world.keys.e), (OWN,))).told == told_of_tokens(wire)
    assert visitor.register(wire, "machine-1", Shown(token, (NEIGHBOUR, LOW))).told == told_of_tokens(wire)


# Who is asked for once somebody is let in


def test_a_body_that_names_another_device(world: World, visitor: Visitor, wire: WireName) -> None:
    for registration_id, shown in world.genuine().items():
        answer = visitor.register(wire, registration_id, shown, body={"registrationId": "e"})

        assert answer.told.startswith("400004 Invalid RegistrationId")


def test_the_operation_of_another_device(world: World, visitor: Visitor, wire: WireName) -> None:
    d, e, own = Shown(world.token("d", world.keys.d)), Shown(world.token("e", world.keys.e)), Shown(chain=(OWN,))
    _, mac, guid = world.operation_id.split(".")

    assert visitor.poll(wire, "e", e, world.operation_id).told == "404202 Operation not found."
    assert visitor.poll(wire, "own-1", own, world.operation_id).told == "404202 Operation not found."
    assert visitor.poll(wire, "d", e, world.operation_id).told == told_of_tokens(wire)
    for forged in (f"4.{mac}.{uuid.uuid4()}", f"4.{'0' * len(mac)}.{guid}", f"4..{guid}", guid):
        assert visitor.poll(wire, "d", d, forged).told == "404202 Operation not found."
    assert visitor.poll(wire, "d", d, world.operation_id).told == "assigned"


@pytest.mark.parametrize("wire", [wire for wire in WIRES if not wire.startswith("Mqtt")], indirect=True)
def test_the_registration_of_another_device(world: World, visitor: Visitor, wire: WireName) -> None:
    e, own = Shown(world.token("e", world.keys.e)), Shown(chain=(OWN,))

    assert visitor.look_up(wire, "d", e).told == told_of_tokens(wire)
    assert visitor.look_up(wire, "member-1", e).told == told_of_tokens(wire)
    assert visitor.look_up(wire, "d", own).told == UNAUTHORIZED
    assert visitor.look_up(wire, "machine-1", own).told == INVALID
    assert visitor.look_up(wire, "e", e).told == "unassigned"


@pytest.mark.parametrize("wire", ["Mqtt", "MqttWs"], indirect=True)
def test_the_client_id_of_another_device(world: World, visitor: Visitor, wire: WireName) -> None:
    """MQTT has two places for an id."""
    for shown in (Shown(world.token("d", world.keys.d)), Shown(chain=(OWN,))):
        stream = visitor.stream(wire, shown)
        with pytest.raises(Told, match="CONNACK 5"):
            mqtt_session(stream, "e", f"{world.resource('d')}/api-version=2019-03-31", shown.token)
        stream.close()


# The hub


@pytest.mark.parametrize("wire", ["Mqtt", "MqttWs"], indirect=True)
def test_the_hubs_device_is_not_opened_by_another_ones_credential(
    world: World, visitor: Visitor, wire: WireName
) -> None:
    host = world.server.ready.hub_host_name
    credentials = {
        "another device's certificate": Shown(chain=(OTHERS_OWN,)),
        "a certificate of its name": Shown(chain=(CertificateMaker.self_signed("own-1"),)),
        "another device's token": Shown(sas_token(f"{host}/devices/d", world.keys.d, soon())),
        "a token for it by another device": Shown(sas_token(f"{host}/devices/own-1", world.keys.d, soon())),
        "an empty key": Shown(sas_token(f"{host}/devices/own-1", EMPTY, soon())),
        "its token for provisioning": Shown(world.token("own-1", world.keys.d)),
        "the service's owner": Shown(owner_token(world.server.ready.service_connection_string)),
        "nothing": Shown(),
    }
    for shown in credentials.values():
        stream = visitor.stream(wire, shown)
        with pytest.raises(Told, match="CONNACK 5"):
            mqtt_session(stream, "own-1", f"{host}/own-1/?api-version=2021-04-12", shown.token)
        stream.close()


# The service API


@pytest.mark.usefixtures("visitor")
def test_devices_are_no_services(world: World) -> None:
    """Whatever a device holds opens nothing of the service API, and the owner of one service nothing of the other."""
    host = world.server.ready.host_name
    tokens = {
        "a device's": world.token("d", world.keys.d),
        "a device's for the host": sas_token(host, world.keys.d, soon(), "registration"),
        "a device's under the owner's name": sas_token(host, world.keys.d, soon(), world.owner["SharedAccessKeyName"]),
        "an empty key's under the owner's name": sas_token(host, EMPTY, soon(), world.owner["SharedAccessKeyName"]),
        "the hub's owner's": owner_token(world.server.ready.hub_connection_string),
        "the second owner's": owner_token(world.second_owner),
        "the second owner's for this host": sas_token(
            host, connection_parts(world.second_owner)["SharedAccessKey"], soon(), world.owner["SharedAccessKeyName"]
        ),
        "the administrator's": f"Bearer {world.server.ready.document['admin_token']}",
    }
    requests = [
        ("GET", "/enrollments/d", None),
        ("PUT", "/enrollments/new", enrollment("new", world.keys.d)),
        ("DELETE", "/enrollments/d", None),
        ("POST", "/enrollments/d/attestationmechanism", None),
        ("POST", "/enrollments/query", {"query": "SELECT * FROM enrollments"}),
        ("GET", "/enrollmentGroups/fleet", None),
        ("DELETE", "/enrollmentGroups/fleet", None),
        ("POST", "/enrollmentGroups/fleet/attestationmechanism", None),
        ("GET", "/registrations/d", None),
        ("DELETE", "/registrations/d", None),
        ("POST", "/registrations/fleet/query", None),
    ]
    with ServerClient(world.server.ready) as client:
        for method, path, body in requests:
            for label, token in tokens.items():
                answer = client.request(method, f"{path}?api-version=2021-10-01", body, authorization=token)
                assert (answer.status, answered(answer.body).told) == (401, UNAUTHORIZED), (method, path, label)


@pytest.mark.usefixtures("visitor")
def test_an_owner_does_nothing_in_the_other_service(world: World) -> None:
    token = owner_token(world.server.ready.service_connection_string)
    with ServerClient(world.server.ready) as client:
        for method, path in (("GET", "/enrollments/d"), ("DELETE", "/enrollments/d"), ("GET", "/registrations/d")):
            target = f"{path}?api-version=2021-10-01"
            answer = client.request(method, target, None, {"Host": OTHER_HOST}, authorization=token)

            assert (answer.status, json.loads(answer.body)["errorCode"]) == (401, 401002)
