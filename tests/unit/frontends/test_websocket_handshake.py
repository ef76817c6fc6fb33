from __future__ import annotations

import pytest

from idscope.errors import InvalidArgument, UnsupportedWebSocketVersion
from idscope.frontends.websocket.handshake import asks_for_websocket, check_request, choose_subprotocol

UPGRADE = [(b"upgrade", b"websocket")]
KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")


@pytest.mark.parametrize(
    "path",
    ["/", "/mqtt", "/MQTT", "/mqtt/", "/$iothub/websocket", "/$iothub/websocket/", "/$IotHub/WebSocket"],
)
def test_paths_that_sdks_ask_for(path: str) -> None:
    assert asks_for_websocket(path, UPGRADE)


@pytest.mark.parametrize("path", ["//", "/mqtt//", "/mqtt/x", "/$iothub", "/iothub/websocket", "/x/mqtt", "*"])
def test_other_paths(path: str) -> None:
    assert not asks_for_websocket(path, UPGRADE)


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ([(b"upgrade", b"WebSocket")], True),
        ([(b"upgrade", b"h2c, websocket")], True),
        ([(b"upgrade", b"h2c"), (b"upgrade", b"websocket")], True),
        ([(b"upgrade", b"h2c")], False),
        ([(b"upgrade", b"websocket/13")], False),
        ([], False),
    ],
)
def test_the_upgrade_header(headers: list[tuple[bytes, bytes]], asks: bool) -> None:
    assert asks_for_websocket("/mqtt", headers) is asks


def test_the_accept_value_of_the_rfc() -> None:
    assert check_request("GET", "1.1", [KEY, VERSION]) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


@pytest.mark.parametrize(("method", "version"), [("POST", "1.1"), ("HEAD", "1.1"), ("get", "1.1"), ("GET", "1.0")])
def test_only_get_in_http_1_1(method: str, version: str) -> None:
    with pytest.raises(InvalidArgument):
        check_request(method, version, [KEY, VERSION])


@pytest.mark.parametrize("versions", [[], [b"8"], [b"13, 8"], [b"13", b"13"], [b""]])
def test_only_version_13(versions: list[bytes]) -> None:
    with pytest.raises(UnsupportedWebSocketVersion):
        check_request("GET", "1.1", [KEY, *((b"sec-websocket-version", one) for one in versions)])


@pytest.mark.parametrize(
    "keys",
    [[], [b""], [b"dGhlIHNhbXBsZQ=="], [b"dGhlIHNhbXBsZSBub25jZQ"], [b"dGhlIHNhbXBsZSBub25j!Q=="], [KEY[1], KEY[1]]],
)
def test_the_key_is_16_bytes(keys: list[bytes]) -> None:
    with pytest.raises(InvalidArgument):
        check_request("GET", "1.1", [VERSION, *((b"sec-websocket-key", one) for one in keys)])


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ([b"mqtt"], "mqtt"),
        ([b"MQTT"], "MQTT"),
        ([b"AMQPWSB10"], "AMQPWSB10"),
        ([b"mqttv3.1, mqtt"], "mqtt"),
        ([b"AMQPWSB10 ,MQTT"], "AMQPWSB10"),
        ([b"x", b",, mqtt ,"], "mqtt"),
    ],
)
def test_the_first_known_subprotocol_is_echoed_as_it_was_spelled(offers: list[bytes], chosen: str) -> None:
    headers = [(b"sec-websocket-protocol", one) for one in offers]
    assert choose_subprotocol(headers, {"mqtt", "amqpwsb10"}) == chosen


@pytest.mark.parametrize("offers", [[], [b""], [b"mqttv3.1"], [b"mqtt AMQPWSB10"], [b"m\xfcll"]])
def test_no_known_subprotocol(offers: list[bytes]) -> None:
    with pytest.raises(InvalidArgument):
        choose_subprotocol([(b"sec-websocket-protocol", one) for one in offers], {"mqtt", "amqpwsb10"})
