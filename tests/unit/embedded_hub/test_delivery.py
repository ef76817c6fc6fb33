"""What must reach a device reaches it, in whichever worker its session is, after whatever went wrong meanwhile."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import msgspec
import pytest
from hub_world import HUB, FakeWire, a_world, both_stores, run, until
from msgspec import Raw

from idscope.clock import MICROSECONDS, format_time
from idscope.embedded_hub.documents import DeviceChange, TwinChange
from idscope.embedded_hub.message import MessageProperties
from idscope.embedded_hub.methods import MethodRequest, MethodResult
from idscope.errors import (
    HubArgumentInvalid,
    HubDeviceNotFound,
    HubDeviceNotOnline,
    HubGatewayTimeout,
    HubMessageTooLarge,
    HubQueueFull,
    InvalidArgument,
)
from idscope.model.document import decode
from idscope.model.etag import ANYTHING, PRESENT
from idscope.storage import HubConnectionRow, HubMethodCallRow, Key
from idscope.testing.manual_clock import ManualClock

PLAIN = MessageProperties()


def desired(**values: object) -> TwinChange:
    return decode(msgspec.json.encode({"properties": {"desired": values}}), TwinChange)


@both_stores
def test_a_message_crosses_workers_and_is_gone_once_acknowledged(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(kind, tmp_path) as world:
            first, second = world.workers
            session, wire = await world.connect(second, "messages")
            properties = MessageProperties({"messageId": "m"}, {"k": "v"})
            await first.delivery.messages.send(HUB, "d", properties, b"hello")
            await until(lambda: wire.bodies == [b"hello"])
            assert wire.messages[0].properties == properties
            assert (await first.identities.get(HUB, "d")).cloud_to_device_message_count == 1
            assert (await first.twins.get(HUB, "d")).cloud_to_device_message_count == 1
            await session.completed(wire.messages[0])
            assert (await first.identities.get(HUB, "d")).cloud_to_device_message_count == 0
            await session.look_after()
            await until(lambda: session._task is None or session._task.done())
            assert len(wire.messages) == 1

    run(story())


@both_stores
def test_messages_wait_in_order_for_a_device_that_is_away_and_come_again_until_acknowledged(
    kind: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with a_world(kind, tmp_path) as world:
            first, second = world.workers
            for body in (b"1", b"2", b"3"):
                await first.delivery.messages.send(HUB, "d", PLAIN, body)
            session, wire = await world.connect(second, "messages")
            await until(lambda: wire.bodies == [b"1", b"2", b"3"])
            await session.completed(wire.messages[1])
            await session.close()
            _, again = await world.connect(first, "messages")
            await until(lambda: again.bodies == [b"1", b"3"])

    run(story())


def test_a_wire_that_is_full_gets_the_rest_later(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            worker = world.workers[0]
            session, wire = await world.connect(worker, "messages")
            await worker.delivery.messages.send(HUB, "d", PLAIN, b"1")
            await until(lambda: wire.bodies == [b"1"])
            wire.open = False
            await worker.delivery.messages.send(HUB, "d", PLAIN, b"2")
            await until(lambda: not session._due)
            wire.open = True
            await session.completed(wire.messages[0])
            await until(lambda: wire.bodies == [b"1", b"2"])

    run(story())


@both_stores
def test_a_queue_holds_fifty_whoever_sends(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(kind, tmp_path) as world:
            first, second = world.workers
            sending = [
                world.workers[number % 2].delivery.messages.send(HUB, "d", PLAIN, b"%d" % number)
                for number in range(60)
            ]
            outcomes = await asyncio.gather(*sending, return_exceptions=True)
            assert sum(outcome is None for outcome in outcomes) == 50
            assert {type(outcome) for outcome in outcomes if outcome is not None} == {HubQueueFull}
            assert await first.delivery.messages.purge(HUB, "d") == 50
            assert await second.delivery.messages.waiting(HUB, "d") == []

    run(story())


def test_messages_are_bounded_and_expire(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            messages, now = world.workers[0].delivery.messages, world.clock.now()
            with pytest.raises(HubDeviceNotFound):
                await messages.send(HUB, "nobody", PLAIN, b"")
            with pytest.raises(HubMessageTooLarge):
                await messages.send(HUB, "d", MessageProperties({}, {"name": "v"}), b"x" * (64 * 1024 - 4))
            for wrong in (now, now + 48 * 3600 * MICROSECONDS + 1):
                with pytest.raises(HubArgumentInvalid):
                    await messages.send(HUB, "d", PLAIN, b"", wrong)
            await messages.send(HUB, "d", PLAIN, b"x" * 64 * 1024)
            await messages.send(HUB, "d", PLAIN, b"short", now + 10 * MICROSECONDS)
            world.clock.advance(11)
            assert [len(one.body) for one in await messages.waiting(HUB, "d")] == [64 * 1024]
            world.clock.advance(3600)
            assert await messages.waiting(HUB, "d") == []

    run(story())


@both_stores
def test_a_second_connection_ends_the_first_also_in_another_worker(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(kind, tmp_path) as world:
            first, second = world.workers
            one, wire_one = await world.connect(first)
            two, wire_two = await world.connect(second)
            await until(lambda: bool(wire_one.closed))
            await one.close()
            assert await world.state() == "Connected"
            three, wire_three = await world.connect(second)
            await until(lambda: bool(wire_two.closed))
            await two.close()
            assert await world.state() == "Connected"
            assert wire_three.closed == []
            await three.close()
            assert await world.state() == "Disconnected"

    run(story())


@both_stores
def test_of_many_that_connect_at_once_one_stays(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(kind, tmp_path) as world:
            connecting = (world.connect(world.workers[number % 2], "messages") for number in range(6))
            wires = [wire for _, wire in await asyncio.gather(*connecting)]
            await until(lambda: sum(not wire.closed for wire in wires) == 1)
            await world.workers[0].delivery.messages.send(HUB, "d", PLAIN, b"x")
            [left] = [wire for wire in wires if not wire.closed]
            await until(lambda: left.bodies == [b"x"])

    run(story())


def test_the_state_of_the_connection_is_told_by_identity_twin_and_statistics(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            worker = world.workers[0]
            before = await worker.identities.get(HUB, "d")
            assert (before.connection_state, before.connection_state_updated_time, before.last_activity_time) == (
                "Disconnected",
                "0001-01-01T00:00:00Z",
                "0001-01-01T00:00:00Z",
            )
            world.clock.advance(5)
            connected = format_time(world.clock.now())
            session, _ = await world.connect(worker)
            device = await worker.identities.get(HUB, "d")
            assert device.etag == before.etag
            assert (device.connection_state, device.connection_state_updated_time) == ("Connected", connected)
            assert [one.connection_state for one in await worker.identities.page(HUB, None, 10)] == ["Connected"]
            assert [one.connection_state for one in await worker.twins.page(HUB, None, 10)] == ["Connected"]
            assert await worker.identities.connected(HUB) == 1
            world.clock.advance(7)
            session.touch()
            assert (await worker.identities.get(HUB, "d")).last_activity_time == connected
            await session.look_after()
            heard = format_time(world.clock.now())
            assert (await worker.twins.get(HUB, "d")).last_activity_time == heard
            world.clock.advance(1)
            await session.close()
            after = await worker.identities.get(HUB, "d")
            assert (after.connection_state, after.connection_state_updated_time, after.last_activity_time) == (
                "Disconnected",
                format_time(world.clock.now()),
                heard,
            )
            assert await worker.identities.connected(HUB) == 0

    run(story())


@pytest.mark.parametrize("how", ["disabled", "deleted", "made anew"])
def test_a_device_that_may_no_longer_be_connected_is_not(how: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            first, second = world.workers
            session, wire = await world.connect(second)
            if how == "disabled":
                await first.identities.create_or_update(HUB, "d", DeviceChange(status="disabled"), PRESENT)
            else:
                world.clock.advance(1)
                await first.identities.delete(HUB, "d", ANYTHING)
                if how == "made anew":
                    await world.device()
            await until(lambda: bool(wire.closed))
            await session.close()
            if how != "deleted":
                assert await world.state() == "Disconnected"

    run(story())


def test_a_token_that_expires_ends_the_session(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            expires = world.clock.now() + 100 * MICROSECONDS
            _, wire = await world.connect(world.workers[0], expires=expires)
            await world.workers[0].delivery.tend()
            world.clock.advance(101)
            assert wire.closed == []
            await world.workers[0].delivery.tend()
            await until(lambda: bool(wire.closed))

    run(story())


def test_devices_of_a_dead_worker_are_shown_as_disconnected(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            first, second = world.workers
            await world.connect(second, "methods")
            await first.delivery.tend()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM):
                world.workers.pop()
            name = second.delivery._wake_ups.name
            sock = second.delivery._wake_ups._socket
            assert sock is not None
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()  # as a killed process leaves it: the name stays
            assert await world.state() == "Connected"
            with pytest.raises(HubDeviceNotOnline):
                await first.delivery.methods.invoke(HUB, "d", MethodRequest(method_name="m"))
            await first.delivery.tend()
            assert await world.state() == "Disconnected"
            assert not (world.directory / f"hub-{name}.sock").exists()
            [row] = await world.store.fetch([Key(HubConnectionRow, (HUB, "d"))])
            assert row.worker == ""

    run(story())


@both_stores
def test_desired_changes_are_pushed_in_the_order_of_their_versions(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(kind, tmp_path) as world:
            first, second = world.workers
            await first.twins.patch(HUB, "d", desired(before=1))
            _, wire = await world.connect(second, "desired")
            patches = (world.workers[number % 2].twins.patch(HUB, "d", desired(n=number)) for number in range(10))
            await asyncio.gather(*patches)
            await until(lambda: len(wire.changes) == 10)
            assert [change.version for change in wire.changes] == list(range(3, 13))
            last = msgspec.json.decode(wire.changes[-1].patch)
            twin = await first.twins.get(HUB, "d")
            assert last == {"n": msgspec.json.decode(twin.properties.desired)["n"], "$version": 12}

    run(story())


def test_what_a_device_is_told_of_a_replacement_removes_what_is_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            worker = world.workers[0]
            await worker.twins.patch(HUB, "d", desired(a=1, b={"x": 1, "y": 2}, c={"z": 3}))
            _, wire = await world.connect(worker, "desired")
            await worker.twins.patch(HUB, "d", decode(b'{"tags":{"t":1}}', TwinChange))
            await worker.twins.patch_reported(HUB, "d", Raw(b'{"r":1}'))
            await worker.twins.patch(HUB, "d", desired(a=None))
            await worker.twins.replace(HUB, "d", desired(b={"y": 5}, c=4, d={}))
            await until(lambda: len(wire.changes) == 2)
            assert [msgspec.json.decode(change.patch) for change in wire.changes] == [
                {"a": None, "$version": 3},
                {"b": {"x": None, "y": 5}, "c": 4, "d": {}, "$version": 4},
            ]

    run(story())


@both_stores
def test_a_method_is_answered_across_workers(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(kind, tmp_path) as world:
            first, second = world.workers
            session, wire = await world.connect(second, "methods")
            request = decode(b'{"methodName":"reboot","payload":{"delay": 1.0}}', MethodRequest)
            calling = asyncio.ensure_future(first.delivery.methods.invoke(HUB, "d", request))
            await until(lambda: bool(wire.calls))
            [call] = wire.calls
            assert (call.name, call.payload) == ("reboot", b'{"delay": 1.0}')
            await session.answered("unknown", 200, b"{}")
            await session.answered(call.call_id, 201, b'{"ok" : true}')
            assert await calling == MethodResult(status=201, payload=Raw(b'{"ok" : true}'))
            assert await world.store.page(HubMethodCallRow, (), None, 10) == []

    run(story())


@pytest.mark.parametrize(("said", "handed_over"), [(b"", b"null"), (b" ", b"null"), (b"not json", b'"not json"')])
def test_an_answer_that_is_no_json_is_made_into_some(said: bytes, handed_over: bytes, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            session, wire = await world.connect(world.workers[0], "methods")
            invoke = world.workers[0].delivery.methods.invoke(HUB, "d", MethodRequest(method_name="m"))
            calling = asyncio.ensure_future(invoke)
            await until(lambda: bool(wire.calls))
            assert wire.calls[0].payload == b"null"
            await session.answered(wire.calls[0].call_id, 200, said)
            assert bytes((await calling).payload) == handed_over

    run(story())


def test_a_method_without_anybody_to_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            methods = world.workers[0].delivery.methods
            request = MethodRequest(method_name="m", response_timeout_in_seconds=5)
            with pytest.raises(HubDeviceNotFound):
                await methods.invoke(HUB, "nobody", request)
            with pytest.raises(HubDeviceNotOnline) as offline:
                await methods.invoke(HUB, "d", request)
            assert (offline.value.error_code, offline.value.code_word) == (404103, "DeviceNotOnline")
            session, wire = await world.connect(world.workers[1], "messages")
            with pytest.raises(HubDeviceNotOnline):
                await methods.invoke(HUB, "d", request)
            await session.ask(frozenset({"methods"}), {})
            silent = asyncio.ensure_future(methods.invoke(HUB, "d", request))
            await until(lambda: bool(wire.calls) and world.clock.waiting > 0)
            await advance(world.clock, silent, 6)
            with pytest.raises(HubGatewayTimeout) as late:
                await silent
            assert (late.value.error_code, late.value.code_word) == (504101, "GatewayTimeout")
            gone = asyncio.ensure_future(methods.invoke(HUB, "d", request))
            await until(lambda: len(wire.calls) == 2 and world.clock.waiting > 0)
            await session.close()
            await advance(world.clock, gone, 2)
            with pytest.raises(HubDeviceNotOnline):
                await gone
            assert await world.store.page(HubMethodCallRow, (), None, 10) == []

    run(story())


async def advance(clock: ManualClock, call: asyncio.Future[MethodResult], seconds: int) -> None:
    """Let time pass in small steps until the call is done."""
    for _ in range(seconds * 4):
        clock.advance(0.25)
        for _ in range(50):
            await asyncio.sleep(0)
        if call.done():
            return


def test_a_method_waits_for_the_device_to_connect_where_it_is_asked_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            methods = world.workers[0].delivery.methods
            request = MethodRequest(method_name="m", connect_timeout_in_seconds=10)
            calling = asyncio.ensure_future(methods.invoke(HUB, "d", request))
            await until(lambda: world.clock.waiting > 0)
            session, wire = await world.connect(world.workers[1], "methods")
            await advance(world.clock, calling, 1)
            await until(lambda: bool(wire.calls))
            await session.answered(wire.calls[0].call_id, 200, b"1")
            assert (await calling).status == 200
            await session.close()
            late = asyncio.ensure_future(methods.invoke(HUB, "d", request))
            await until(lambda: world.clock.waiting > 0)
            await advance(world.clock, late, 11)
            with pytest.raises(HubDeviceNotOnline):
                await late

    run(story())


@pytest.mark.parametrize(
    "body",
    [
        b'{"payload":1}',
        b'{"methodName":""}',
        b'{"methodName":"m","responseTimeoutInSeconds":4}',
        b'{"methodName":"m","responseTimeoutInSeconds":301}',
        b'{"methodName":"m","connectTimeoutInSeconds":301}',
    ],
)
def test_a_method_request_outside_of_the_published_bounds(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"\$|method"):
        decode(body, MethodRequest)


def test_what_a_session_asked_for_is_there_again_unless_it_begins_clean(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            first, second = world.workers
            session, _ = await world.connect(first, "messages", "methods")
            await session.close()
            again, wire = await world.connect(second, clean=False)
            assert again.asked.filters == {"messages/#": 1, "methods/#": 1}
            await first.delivery.messages.send(HUB, "d", PLAIN, b"x")
            await until(lambda: wire.bodies == [b"x"])
            await again.close()
            clean, _ = await world.connect(second)
            assert clean.asked.filters == {}

    run(story())


def test_a_lost_wake_up_is_made_up_for(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            first, second = world.workers
            session, wire = await world.connect(second, "messages")
            await until(lambda: session._task is not None and session._task.done())
            second.delivery._wake_ups._listener = None
            await first.delivery.messages.send(HUB, "d", PLAIN, b"x")
            await asyncio.sleep(0)
            assert wire.bodies == []
            await second.delivery.tend()
            await until(lambda: wire.bodies == [b"x"])

    run(story())


def test_a_closed_session_is_sent_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world("memory", tmp_path) as world:
            session, wire = await world.connect(world.workers[0], "messages")
            await session.close()
            await session.close()
            session.wake("message", "nonsense")
            await world.workers[0].delivery.messages.send(HUB, "d", PLAIN, b"x")
            assert isinstance(wire, FakeWire)
            assert wire.bodies == []

    run(story())
