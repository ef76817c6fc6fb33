"""A storm of connects against the real server, on every wire, beyond its limits: those within them are served, the rest
is refused at once, none is left hanging, and afterwards all is as before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.load import Step
from bench.mqtt_scripts import ANSWERS, arrival
from bench.provisioning import Requests, device_names
from listening import until
from raw_client import RawClient
from storm import WIRES, Client, End, Wire, in_websocket, storm, visit

from idscope.testing.server import ServerProcess

CLIENTS = 300
CONNECTIONS = 50
REFUSED_WITHIN = 10.0
SECONDS = 1.0  # of each limit on what a client may be silent for
RESIDENT_GROWTH = 48 * 1024 * 1024
DEVICES = device_names("storm", CLIENTS)
PING, PONG = b"\xc0\0", b"\xd0\0"
WEBSOCKET_CLOSE = b"\x88\x02"
PORTS = ("https_port", "mqtt_port", "amqp_port")

on_every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())


@pytest.fixture(scope="module")
def server(serve: Callable[..., ServerProcess]) -> ServerProcess:
    """Few connections, few handshakes at once, and all devices enrolled."""
    server = serve(
        arguments=(
            *("--max-connections", str(CONNECTIONS), "--max-concurrent-handshakes", "4"),
            *("--header-seconds", str(SECONDS), "--keep-alive-seconds", str(SECONDS)),
        )
    )
    enroll(server)
    return server


@pytest.fixture(scope="module")
def impatient(serve: Callable[..., ServerProcess]) -> ServerProcess:
    """Few connections, and little time for the handshake and the head of a request."""
    server = serve(
        arguments=(
            *("--max-connections", str(CONNECTIONS), "--handshake-seconds", str(SECONDS)),
            *("--header-seconds", str(SECONDS), "--keep-alive-seconds", str(SECONDS)),
        )
    )
    enroll(server)
    return server


def enroll(server: ServerProcess) -> None:
    with RawClient(server.ready) as raw:
        for request in Requests(server.ready).create_in_bulk(DEVICES):
            assert raw.exchange(request, method="POST").json()["isSuccessful"] is True


def scripts(server: ServerProcess, wire: Wire, count: int = CLIENTS) -> list[list[Step]]:
    requests = Requests(server.ready)
    return [list(wire.visit(requests, device)) for device in DEVICES[:count]]


def resident_bytes(server: ServerProcess) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def is_served(server: ServerProcess, wire: Wire) -> bool:
    (script,) = scripts(server, wire, 1)
    return asyncio.run(visit(server, wire, script)).end is End.SERVED


@on_every_wire
def test_a_storm_is_weathered(server: ServerProcess, wire: Wire) -> None:
    before, log_before = resident_bytes(server), len(server.log_text())

    outcomes = asyncio.run(storm(server, wire, scripts(server, wire)))

    ends = [outcome.end for outcome in outcomes]
    assert End.HANGING not in ends
    assert ends.count(End.SERVED) >= CONNECTIONS
    assert ends.count(End.REFUSED) > 0
    assert max(outcome.seconds for outcome in outcomes if outcome.end is End.REFUSED) < REFUSED_WITHIN
    assert resident_bytes(server) - before < RESIDENT_GROWTH
    log = server.log_text()[log_before:]
    assert "Traceback" not in log
    assert len(log.splitlines()) < CLIENTS / 10, "every refusal wrote a line"
    until(lambda: is_served(server, wire))  # the last of the storm may still hold their places


@on_every_wire
def test_a_storm_of_clients_that_vanish_leaves_nothing(server: ServerProcess, wire: Wire) -> None:
    """Each drops its connection amid its visit, another step later than the one before."""
    cut = [script[: 1 + number % len(script)] for number, script in enumerate(scripts(server, wire, 100))]
    gone = [[*(Step(*step) for step in script[:-1]), Step(script[-1].say)] for script in cut]

    outcomes = asyncio.run(storm(server, wire, gone))

    assert {outcome.end for outcome in outcomes} <= {End.SERVED, End.REFUSED}
    until(lambda: is_served(server, wire))
    assert "Traceback" not in server.log_text()


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "begun"])
def test_half_open_connections_are_reaped(impatient: ServerProcess, port: str, begun: bytes) -> None:
    """They fill every place, so that a device is refused until they are gone."""
    wire = next(wire for wire in WIRES.values() if wire.port == port)
    address = (impatient.address, int(impatient.ready.document[port]))
    held = [socket.create_connection(address, timeout=30.0) for _ in range(CONNECTIONS)]
    try:
        for one in held:
            one.sendall(begun)
        assert not is_served(impatient, wire)
        assert [_is_ended(one) for one in held] == [True] * CONNECTIONS
    finally:
        for one in held:
            one.close()
    until(lambda: is_served(impatient, wire))


def _is_ended(client: socket.socket) -> bool:
    try:
        return client.recv(100) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("wire", [WIRES["Mqtt"], WIRES["MqttWs"]], ids=["Mqtt", "MqttWs"])
def test_a_silent_device_without_keep_alive_is_not_reaped(impatient: ServerProcess, wire: Wire) -> None:
    """One that promised a keep-alive of a second is the clock: it is gone when every limit has passed."""
    requests = Requests(impatient.ready)

    def come(device: str, keep_alive: int) -> list[Step]:
        user_name = f"{requests.identity(device)}/api-version=2019-03-31"
        said = arrival(device, user_name, requests.device_token(device), ANSWERS, keep_alive=keep_alive)
        return in_websocket(said) if wire.port == "https_port" else said

    def words(script: list[Step]) -> list[Step]:
        return in_websocket(script)[1:] if wire.port == "https_port" else script

    async def scene() -> None:
        async with asyncio.timeout(30.0):
            silent, *promised = [await Client.connect(impatient, wire) for _ in range(3)]
            await silent.play(come(DEVICES[0], 0))
            for device, client in zip(DEVICES[1:], promised, strict=False):
                await client.play(come(device, 1))
                with contextlib.suppress(EOFError):  # a WebSocket is told first, and need not be waited out
                    await client.play([Step(b"", WEBSOCKET_CLOSE)])
                client.drop()
            await silent.play(words([Step(PING, PONG)]))
            silent.drop()

    asyncio.run(scene())


def test_the_log_tells_how_many_were_refused(tmp_path: Path) -> None:
    """The first at once, the others by their number, here when the server stops."""
    with ServerProcess(tmp_path, arguments=("--max-connections", "1")) as server:
        port = (server.address, int(server.ready.document["amqp_port"]))
        with socket.create_connection(port):
            for _ in range(5):
                with socket.create_connection(port, timeout=30.0) as refused:
                    assert _is_ended(refused)
    told = [line["event"] for line in map(json.loads, server.log_text().splitlines()) if "refused" in line["event"]]
    assert told == [
        "a connection was refused: too many connections",
        "4 more connections were refused in the minute since; 5 in all",
    ]


def test_a_server_out_of_file_descriptors_comes_back(impatient: ServerProcess) -> None:
    wire = WIRES["Mqtt"]
    assert is_served(impatient, wire)
    most = resource.prlimit(impatient.pid, resource.RLIMIT_NOFILE)
    used = max(int(one.name) for one in Path(f"/proc/{impatient.pid}/fd").iterdir())
    try:
        resource.prlimit(impatient.pid, resource.RLIMIT_NOFILE, (used + 10, most[1]))
        outcomes = asyncio.run(storm(impatient, wire, scripts(impatient, wire, 100)))
        assert End.HANGING not in {outcome.end for outcome in outcomes}
    finally:
        resource.prlimit(impatient.pid, resource.RLIMIT_NOFILE, most)
    until(lambda: is_served(impatient, wire))
    assert is_served(impatient, WIRES["Https"])
