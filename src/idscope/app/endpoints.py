"""Owns where the server listens: the asked address and port, or the next best one, and what a person is told then.
It must not know what is served there.

Only what nobody asked for by name is replaced: an address or port that is given and cannot be had is an error.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from idscope.frontends.listener import AddressNotPermitted, AddressTaken, CannotListen, bind_sockets
from idscope.settings import Origin, Settings

UNPRIVILEGED_PORT: Final = 8443
HTTPS_PORT: Final = 443
_LAST_LOOPBACK: Final = 9


class Endpoints(msgspec.Struct, frozen=True):
    """Addresses and ports that were free when the server started; `notes` are for a person.

    A port of 0 is not served. `own_names` are the names under which the server is reached; the first one is what
    devices are told of a hub without a name of its own.
    """

    addresses: tuple[str, ...]
    https_port: int
    mqtt_port: int
    amqp_port: int
    operator_address: str
    operator_port: int
    own_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def choose_endpoints(settings: Settings, origins: Mapping[str, Origin], machine_name: str) -> Endpoints:
    """Raises CannotListen where nothing fits; no socket is left open."""
    notes: list[str] = []
    address, port = _https(settings, origins, notes)
    operator = _operator(settings, origins, address, notes)
    specific = not ipaddress.ip_address(address).is_unspecified if _is_ip(address) else True
    shown = address if specific else next(iter(settings.host_names), "127.0.0.1")
    own_names = dict.fromkeys(
        name.lower() for name in (shown, *settings.host_names, address, "localhost", "127.0.0.1", "::1", machine_name)
    )
    further = [name for name in settings.hub_host_names if _is_loopback(name) and name != address and specific]
    for extra in further:
        _probe_all(extra, (port, *_device_ports(settings)))
    return Endpoints(
        (address, *further),
        port,
        settings.mqtt_port,
        settings.amqp_port,
        operator,
        settings.operator_port,
        tuple(own_names),
        tuple(notes),
    )


def _device_ports(settings: Settings) -> tuple[int, ...]:
    """The ports that stand beside HTTPS on every public address."""
    return tuple(filter(None, (settings.mqtt_port, settings.amqp_port)))


def _https(settings: Settings, origins: Mapping[str, Origin], notes: list[str]) -> tuple[str, int]:
    port = settings.https_port
    try:
        return _address(settings, origins, port, notes), port
    except AddressNotPermitted:
        if _asked(origins, "https_port"):
            raise
    notes.append(_not_permitted(HTTPS_PORT))
    return _address(settings, origins, UNPRIVILEGED_PORT, notes), UNPRIVILEGED_PORT


def _address(settings: Settings, origins: Mapping[str, Origin], port: int, notes: list[str]) -> str:
    address, ports = settings.listen_address, (port, *_device_ports(settings))
    try:
        _probe_all(address, ports)
    except AddressTaken as taken:
        found = None if _asked(origins, "listen_address") else _next_free(*ports)
        if found is None:
            raise
        notes.append(f"{address} port {taken.port} is taken by another program; serving on {found} instead.")
        return found
    return address


def _operator(settings: Settings, origins: Mapping[str, Origin], address: str, notes: list[str]) -> str:
    """Where the public address moved, the operator listener moves with it."""
    asked = _asked(origins, "operator_address")
    wanted = address if not asked and _is_loopback(address) else settings.operator_address
    ports = tuple(filter(None, (settings.operator_port, settings.operator_plain_port)))
    try:
        _probe_all(wanted, ports)
    except AddressTaken as taken:
        found = None if asked else _next_free(*ports)
        if found is None:
            raise
        notes.append(f"{wanted} port {taken.port} is taken by another program; the operator listener is on {found}.")
        return found
    return wanted


def _next_free(*ports: int) -> str | None:
    """The first loopback address behind the first one on which all of the ports are free."""
    for last in range(2, _LAST_LOOPBACK + 1):
        address = f"127.0.0.{last}"
        try:
            _probe_all(address, ports)
        except AddressTaken:
            continue
        return address
    return None


def _probe_all(address: str, ports: Iterable[int]) -> None:
    for port in ports:
        _probe(address, port)


def _probe(address: str, port: int) -> None:
    """Bind without sharing, listen, and let go: another server that shares its port is found too."""
    for one in bind_sockets(address, port):
        with one:
            try:
                one.listen(1)
            except OSError as error:
                raise AddressTaken(address, port, error.strerror or "taken") from None


def _not_permitted(port: int) -> str:
    return (
        f"The system does not let this user listen on port {port}; serving on {UNPRIVILEGED_PORT} instead. "
        "Excluded there: Node, C and Java devices over HTTPS, every device over WebSocket, and the Node service SDKs, "
        f"which all insist on {port}; the Python service SDKs take HostName=127.0.0.1:{UNPRIVILEGED_PORT}. "
        f"To allow it: sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port}"
    )


def advice(problem: CannotListen) -> str:
    """What to do about an address that was asked for and cannot be had."""
    if isinstance(problem, AddressNotPermitted):
        return (
            f"{problem}. Allow it with: sudo sysctl -w net.ipv4.ip_unprivileged_port_start={problem.port} "
            "or choose a port above 1023."
        )
    if isinstance(problem, AddressTaken):
        return f"{problem}. See who has it with: ss -ltnp 'sport = :{problem.port}' or choose another address."
    return f"{problem}."


def _asked(origins: Mapping[str, Origin], name: str) -> bool:
    return origins[name].source != "default"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_ip(text) and ipaddress.ip_address(text).is_loopback
