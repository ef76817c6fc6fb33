"""The AMQP front end on a real listener, in TLS: what a client needs to see arrives before the end of the connection.
It must not know what stands behind the front end."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import amqp_frames as amqp
import pytest
from amqp_device import enroll, link
from amqp_frames import Frame, Symbol
from captured import KEY

from idscope.frontends.amqp.claims import AmqpUseCases
from idscope.frontends.amqp.front_end import AmqpFrontEnd
from idscope.frontends.amqp.limits import AmqpLimits
from idscope.frontends.listener import Listener, bind_sockets
from idscope.frontends.tls_context import tls_context
from idscope.testing.application import ID_SCOPE, Application, sas_token
from idscope.testing.certificates import CertificateMaker

ADDRESS = "127.0.71.1"
PATIENCE = 10.0


async def converse(
    directory: Path, key: str, *words: tuple[bytes, bytes], limits: AmqpLimits | None = None
) -> list[bytes | Frame]:
    """All that the server says, until it ends, to a client that logs in and says each word once it was told the bytes
    before it."""
    server_files = CertificateMaker.authority().server(ADDRESS).write(directory, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with Application() as app, asyncio.timeout(PATIENCE):
        await enroll(app, "a-device")
        front_end = AmqpFrontEnd(AmqpUseCases(app.workflow, app.clock), limits=limits)
        listener = Listener(front_end.protocol_factory, context=tls_context(*server_files))
        (bound,) = bind_sockets(ADDRESS, 0)
        port = bound.getsockname()[1]
        await listener.start([bound])
        reader, writer = await asyncio.open_connection(ADDRESS, port, ssl=context)
        token = sas_token(f"{ID_SCOPE}/registrations/a-device", key, app.expiry)
        identity = f"\0{ID_SCOPE}/registrations/a-device\0{token}".encode()
        writer.write(amqp.SASL + amqp.frame(amqp.INIT, Symbol("PLAIN"), identity, kind=1))
        said = b""
        for told, word in words:
            while told not in said:
                said += await reader.readexactly(1)
            writer.write(word)
        said += await reader.read()
        writer.close()
        await listener.drain(1.0)
        assert listener.connections == 0
        return list(amqp.split(said))


def performatives(said: list[bytes | Frame]) -> list[int | None]:
    return [one.performative for one in said if isinstance(one, Frame)]


def test_a_whole_registration_pipelined_from_the_login_on(tmp_path: Path) -> None:
    address = f"{ID_SCOPE}/registrations/a-device"
    request = amqp.message({amqp.APPLICATION_PROPERTIES: {"iotdps-operation-type": "iotdps-register"}})
    everything = (
        amqp.AMQP
        + amqp.frame(amqp.OPEN, "a device", ADDRESS)
        + amqp.frame(amqp.BEGIN, None, 0, 100, 100)
        + link(0, address, receiver=True)
        + link(1, address, receiver=False)
        + amqp.frame(amqp.FLOW, 0, 100, 0, 100, 0, 0, 10)
    )
    said = asyncio.run(
        converse(
            tmp_path,
            KEY,
            (amqp.SASL, everything),
            (b"\x00\x53\x13", amqp.frame(amqp.TRANSFER, 1, 0, b"0", 0, False, False, payload=request)),
            (b"}}", amqp.frame(amqp.CLOSE)),
        )
    )
    told = [one for one in performatives(said) if one != amqp.FLOW]
    links = [amqp.ATTACH] * 2
    begun = [amqp.MECHANISMS, amqp.OUTCOME, amqp.OPEN, amqp.BEGIN]
    assert told == [*begun, *links, amqp.DISPOSITION, amqp.TRANSFER, amqp.CLOSE]


@pytest.mark.parametrize("linger", [0.05])
def test_a_refusal_arrives_and_the_connection_ends(tmp_path: Path, linger: float) -> None:
    said = asyncio.run(converse(tmp_path, "bm90IHRoZSBrZXk=", limits=AmqpLimits(linger_seconds=linger)))
    assert performatives(said) == [amqp.MECHANISMS, amqp.OUTCOME]
    assert isinstance(said[-1], Frame)
    assert said[-1].field(0) == 1
