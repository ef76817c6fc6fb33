"""A TPM at a server with two workers and a real store: any worker takes the answer to any other's challenge, all agree
on one key, and it survives them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

from idscope.testing.application import Response
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient
from idscope.testing.software_tpm import SoftwareTpm

ROUNDS = 12  # connections are spread over the workers at random


class Device:
    """A device that asks each time over a connection of its own."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.tpm = SoftwareTpm()

    def ask(self, method: str, what: str, body: Any = None, *, token: str | None = None) -> Response:
        target = f"/{self.server.ready.id_scope}/registrations/chip/{what}?api-version=2021-06-01"
        with ServerClient(self.server.ready) as client:
            return client.request(method, target, body, authorization=token)

    def register(self) -> tuple[Response, str]:
        challenged = self.ask("PUT", "register", {"tpm": self.tpm.document})
        assert challenged.status == 401
        self.tpm.activate(base64.b64decode(challenged.json()["authenticationKey"]))
        resource = f"{self.server.ready.id_scope}%2Fregistrations%2Fchip"
        token = self.tpm.token(resource, int(time.time()) + 3600)
        return self.ask("PUT", "register", {"tpm": self.tpm.document}, token=token), token

    def take_in(self, answer: Response) -> bytes:
        state = answer.json()["registrationState"]
        self.tpm.activate(base64.b64decode(state["tpm"]["authenticationKey"]))
        return self.tpm.key


def test_every_worker_knows_the_nonce_and_the_key(serve: Callable[..., ServerProcess]) -> None:
    server = serve(workers=2)
    device = Device(server)
    with ServerClient(server.ready) as client:
        attestation = {"type": "tpm", "tpm": {"endorsementKey": device.tpm.endorsement_key}}
        body = {"registrationId": "chip", "attestation": attestation}
        assert client.service("PUT", "/enrollments/chip", body).status == 200

        for _ in range(ROUNDS):
            registered, token = device.register()
            assert registered.status == 202
            polled = device.ask("GET", f"operations/{registered.json()['operationId']}", token=token)
            assert polled.json() == registered.json()
            device.take_in(registered)

        key = device.take_in(device.register()[0])
        identity = client.hub("GET", "/devices/chip").json()["authentication"]["symmetricKey"]
        assert [base64.b64decode(one) for one in identity.values()] == [key, key]

    server.kill()
    server.start()
    assert device.take_in(device.register()[0]) == key
    files = {file.name: file.read_bytes() for file in server.data_directory.glob("idscope.db*")}
    assert files["idscope.db"]
    assert [name for name, held in files.items() if base64.b64encode(key) in held] == []
