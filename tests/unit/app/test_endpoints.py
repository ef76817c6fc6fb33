"""Where the server listens: as asked or not at all, and the next best place where nobody asked."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from idscope.app import endpoints
from idscope.app.endpoints import advice, choose_endpoints
from idscope.frontends.listener import AddressNotPermitted, AddressTaken, CannotListen
from idscope.settings import Origin, Settings
from idscope.settings.table import ROWS

UNPRIVILEGED_ADVICE = "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=443"


def origins(*asked: str) -> Mapping[str, Origin]:
    return {row.name: Origin("flag" if row.name in asked else "default") for row in ROWS}


class Machine:
    """Addresses and ports that are taken, and the first port that this user may listen on."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, int]] = set()
        self.first_port = 0

    def bind_sockets(self, address: str, port: int) -> list[socket.socket]:
        if port < self.first_port:
            raise AddressNotPermitted(address, port, "Permission denied")
        if (address, port) in self.taken:
            raise AddressTaken(address, port, "Address already in use")
        return []


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(endpoints, "bind_sockets", machine.bind_sockets)
    return machine


def chosen(*asked: str, **settings: Any) -> endpoints.Endpoints:
    return choose_endpoints(Settings(**settings), origins(*asked), "machine")


def test_the_defaults_where_all_is_free(machine: Machine) -> None:
    found = chosen()
    assert (found.addresses, found.https_port) == (("127.0.0.1",), 443)
    assert (found.operator_address, found.operator_port) == ("127.0.0.1", 9443)
    assert found.own_names == ("127.0.0.1", "localhost", "::1", "machine")
    assert found.notes == ()


def test_a_taken_default_address_is_replaced_by_the_next_and_the_operator_listener_goes_with_it(
    machine: Machine,
) -> None:
    machine.taken = {("127.0.0.1", 443), ("127.0.0.2", 443)}
    found = chosen()
    assert (found.addresses, found.https_port) == (("127.0.0.3",), 443)
    assert found.operator_address == "127.0.0.3"
    assert found.own_names[0] == "127.0.0.3"
    assert found.notes[0] == "127.0.0.1 port 443 is taken by another program; serving on 127.0.0.3 instead."


def test_a_taken_default_operator_port_moves_that_listener_alone(machine: Machine) -> None:
    machine.taken = {("127.0.0.1", 9443), ("127.0.0.2", 9080)}
    found = chosen("operator_plain_port", operator_plain_port=9080)
    assert found.addresses == ("127.0.0.1",)
    assert found.operator_address == "127.0.0.3"
    assert found.notes == ("127.0.0.1 port 9443 is taken by another program; the operator listener is on 127.0.0.3.",)


def test_the_last_loopback_address_that_is_tried_is_9(machine: Machine) -> None:
    machine.taken = {(f"127.0.0.{last}", 443) for last in range(1, 9)}
    assert chosen().addresses == ("127.0.0.9",)
    machine.taken.add(("127.0.0.9", 443))
    with pytest.raises(AddressTaken, match=r"127\.0\.0\.1 port 443"):
        chosen()


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("listen_address", ("127.0.0.1", 443)),
        ("operator_address", ("127.0.0.1", 9443)),
    ],
)
def test_a_taken_address_that_was_asked_for_is_an_error(machine: Machine, asked: str, taken: tuple[str, int]) -> None:
    machine.taken = {taken}
    with pytest.raises(AddressTaken) as caught:
        chosen(asked)
    assert advice(caught.value) == (
        f"cannot listen on 127.0.0.1 port {taken[1]}: Address already in use. "
        f"See who has it with: ss -ltnp 'sport = :{taken[1]}' or choose another address."
    )


def test_where_443_is_not_permitted_8443_is_served_and_it_is_said_who_is_left_out(machine: Machine) -> None:
    machine.first_port = 1024
    found = chosen()
    assert (found.addresses, found.https_port) == (("127.0.0.1",), 8443)
    (note,) = found.notes
    assert note.endswith(UNPRIVILEGED_ADVICE)
    for words in ("Node, C and Java devices", "WebSocket", "Node service SDKs", "HostName=127.0.0.1:8443"):
        assert words in note


def test_8443_is_looked_for_on_the_next_address_like_443(machine: Machine) -> None:
    machine.first_port = 1024
    machine.taken = {("127.0.0.1", 8443)}
    found = chosen()
    assert (found.addresses, found.https_port) == (("127.0.0.2",), 8443)
    assert "8443 instead" in found.notes[0]
    assert found.notes[1] == "127.0.0.1 port 8443 is taken by another program; serving on 127.0.0.2 instead."


def test_a_port_that_was_asked_for_and_is_not_permitted_is_an_error(machine: Machine) -> None:
    machine.first_port = 1024
    with pytest.raises(AddressNotPermitted) as caught:
        chosen("https_port")
    text = advice(caught.value)
    assert text.startswith("cannot listen on 127.0.0.1 port 443: Permission denied. ")
    assert UNPRIVILEGED_ADVICE in text


def test_an_address_that_is_not_of_this_machine_is_an_error_of_its_own() -> None:
    with pytest.raises(CannotListen) as caught:
        chosen("listen_address", "https_port", listen_address="192.0.2.1", https_port=54321)
    assert not isinstance(caught.value, AddressTaken | AddressNotPermitted)
    assert advice(caught.value) == "cannot listen on 192.0.2.1 port 54321: Cannot assign requested address."


def test_hubs_on_loopback_addresses_of_their_own_are_listened_on_too(machine: Machine) -> None:
    names = ("127.0.0.1", "127.0.0.2", "hub.example")
    assert chosen("hub_host_names", hub_host_names=names).addresses == ("127.0.0.1", "127.0.0.2")
    machine.taken = {("127.0.0.2", 443)}
    with pytest.raises(AddressTaken):
        chosen("hub_host_names", hub_host_names=names)


def test_listening_on_all_addresses_shows_one_that_can_be_reached(machine: Machine) -> None:
    found = chosen("listen_address", listen_address="0.0.0.0")
    assert found.addresses == ("0.0.0.0",)
    assert found.own_names[0] == "127.0.0.1"
    named = chosen("listen_address", "host_names", listen_address="0.0.0.0", host_names=("dps.example",))
    assert named.own_names[0] == "dps.example"


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A port that another program listens on, on 127.0.0.1, sharing it as another server's worker would."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


def test_a_real_neighbour_is_found(neighbour: int) -> None:
    found = chosen("https_port", https_port=neighbour, operator_port=neighbour)
    assert found.addresses != ("127.0.0.1",)
    assert found.https_port == neighbour
