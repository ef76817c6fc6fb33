"""What tests of a running server share: a client of it; and for those against hostile requests one server, and a guard
over its store and its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hostile import KEY, Attacker, dump, group

from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient


@pytest.fixture
def client(server: ServerProcess) -> Iterator[ServerClient]:
    """A client of the server that the module starts."""
    with ServerClient(server.ready) as client:
        yield client


@pytest.fixture(scope="module")
def attacked(serve: Callable[..., ServerProcess]) -> ServerProcess:
    """A server with one device, `d`, enrolled and registered, and a group of that name."""
    server = serve()
    with ServerClient(server.ready) as client:
        assert client.enroll("d", KEY).status == 200
        assert client.service("PUT", "/enrollmentGroups/d", group("d", KEY)).status == 200
        assert client.register("d", KEY).json()["status"] == "assigned"
    return server


@pytest.fixture
def attacker(attacked: ServerProcess) -> Iterator[Attacker]:
    """Nothing may be changed in the store, and nothing failed inside the server, when the test is over."""
    before = dump(attacked.data_directory)
    attacker = Attacker(attacked)
    with attacker.raw:
        yield attacker
    assert not attacker.complaints, "\n".join(attacker.complaints)
    assert dump(attacked.data_directory) == before
    assert "Traceback" not in attacked.log_text()
