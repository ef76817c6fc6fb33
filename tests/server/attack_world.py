"""Owns the server that is attacked, and everybody on it: devices of each kind, a neighbour for each, authorities that
look like the genuine ones, a second service. It must not know any attack.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from attack_wires import Shown
from cryptography.hazmat.primitives.serialization import Encoding
from second_service import add_service

from idscope.testing.application import sas_token
from idscope.testing.certificates import CertificateMaker
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient, connection_parts, enrollment

OTHER_SCOPE, OTHER_HOST = "0ne00SECOND", "second.test"
UNKNOWN_SCOPE = "0ne00FFFFFF"

ROOT = CertificateMaker.authority("root")
LOW = ROOT.intermediate("low")
MACHINE, NEIGHBOUR = (LOW.device(name) for name in ("machine-1", "machine-2"))
OWN, OTHERS_OWN = (CertificateMaker.self_signed(name) for name in ("own-1", "own-2"))
# Authorities with the names of the genuine ones: one that nobody knows, one that is uploaded and not verified.
UNKNOWN_LOW = CertificateMaker.authority("root").intermediate("low")
UNVERIFIED_ROOT = CertificateMaker.authority("root")
UNVERIFIED_LOW = UNVERIFIED_ROOT.intermediate("low")


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def derived(key: bytes, registration_id: str) -> str:
    return base64.b64encode(hmac.digest(key, registration_id.encode(), hashlib.sha256)).decode()


def soon() -> int:
    return int(time.time()) + 3600


@dataclass(frozen=True)
class Keys:
    """Of the devices `d` and `e`, of the group `fleet`, of `d` in the second service."""

    d: str
    e: str
    fleet: str
    d_elsewhere: str

    def of_fleet(self, registration_id: str) -> str:
        return derived(base64.b64decode(self.fleet), registration_id)


@dataclass(frozen=True)
class World:
    """The server, who is enrolled on it, the owner of the second service, and an operation of `d`."""

    server: ServerProcess
    keys: Keys
    second_owner: str
    operation_id: str = ""

    @property
    def scope(self) -> str:
        return self.server.ready.id_scope

    @property
    def owner(self) -> Mapping[str, str]:
        return connection_parts(self.server.ready.service_connection_string)

    def resource(self, registration_id: str, scope: str | None = None) -> str:
        return f"{scope or self.scope}/registrations/{registration_id}"

    def token(self, registration_id: str, key: str, *, scope: str | None = None) -> str:
        return sas_token(self.resource(registration_id, scope), key, soon(), "registration")

    def genuine(self) -> dict[str, Shown]:
        """Who must get in whatever happened."""
        return {
            "d": Shown(self.token("d", self.keys.d)),
            "member-1": Shown(self.token("member-1", self.keys.of_fleet("member-1"))),
            "machine-1": Shown(chain=(MACHINE, LOW)),
            "own-1": Shown(chain=(OWN,)),
        }


def pem(maker: CertificateMaker) -> str:
    return maker.certificate.public_bytes(Encoding.PEM).decode()


def x509(kind: str, maker: CertificateMaker) -> dict[str, Any]:
    return {"type": "x509", "x509": {kind: {"primary": {"certificate": pem(maker)}}}}


def peopled(server: ServerProcess) -> World:
    """The world on a fresh server, which is stopped and started once."""
    server.stop()
    second_owner = add_service(server.data_directory, OTHER_SCOPE, OTHER_HOST)
    server.start()
    world = World(server, Keys(new_key(), new_key(), new_key(), new_key()), second_owner)
    with ServerClient(server.ready) as client:
        enroll_everybody(world, client)
        upload(world, client, "root", ROOT, verified=True)
        upload(world, client, "a-root", UNVERIFIED_ROOT, verified=False)
        return replace(world, operation_id=client.register("d", world.keys.d).json()["operationId"])


def enroll_everybody(world: World, client: ServerClient) -> None:
    keys = world.keys
    assert client.enroll("d", keys.d).status == client.enroll("e", keys.e).status == 200
    symmetric = enrollment("", keys.fleet)["attestation"]
    groups = {
        "fleet": symmetric,
        "machines": x509("signingCertificates", LOW),
        "unproved": x509("signingCertificates", UNVERIFIED_LOW),
    }
    for group_id, attestation in groups.items():
        body = {"enrollmentGroupId": group_id, "attestation": attestation}
        assert client.service("PUT", f"/enrollmentGroups/{group_id}", body).status == 200
    for maker in (OWN, OTHERS_OWN):
        name = "own-1" if maker is OWN else "own-2"
        body = {"registrationId": name, "attestation": x509("clientCertificates", maker)}
        assert client.service("PUT", f"/enrollments/{name}", body).status == 200
    elsewhere = client.request(
        "PUT",
        "/enrollments/d?api-version=2021-10-01",
        enrollment("d", keys.d_elsewhere),
        {"Host": OTHER_HOST},
        authorization=owner_token(world.second_owner),
    )
    assert elsewhere.status == 200


def upload(world: World, client: ServerClient, name: str, maker: CertificateMaker, *, verified: bool) -> None:
    path = (
        "/subscriptions/any/resourceGroups/any/providers/Microsoft.Devices/provisioningServices/idscope"
        f"/certificates/{name}?api-version=2022-12-12"
    )
    body = {"properties": {"certificate": pem(maker), "isVerified": verified}}
    answer = client.operator("PUT", path, body, token=world.server.ready.document["admin_token"])
    assert answer.status in {200, 201}


def owner_token(connection_string: str) -> str:
    parts = connection_parts(connection_string)
    return sas_token(parts["HostName"], parts["SharedAccessKey"], soon(), parts["SharedAccessKeyName"])
