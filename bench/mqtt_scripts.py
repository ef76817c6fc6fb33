"""Owns what a device says over MQTT 3.1.1, byte for byte, and what it waits for. It must not know who answers.

Written from the standard, as devices write it: no packet of idscope's own making is sent.
"""

from __future__ import annotations

import json
from typing import Final

from bench.load import Step

CONNACK: Final = b"\x20\x02\0\0"
SUBACK: Final = b"\x90\x03\0\1\1"
PUBACK: Final = b"\x40\x02\0\2"
_END: Final = b"\x40\x02\0\1" + b"\xe0\0"  # PUBACK of the server's first PUBLISH, DISCONNECT
_CLEAN_WITH_CREDENTIALS: Final = 0xC2
ANSWERS: Final = "$dps/registrations/res/#"
_REGISTER: Final = "$dps/registrations/PUT/iotdps-register/?$rid=1"
_ECHO_TOPIC: Final = "bench/{:0>28}"  # about as long as the topic on which idscope answers


def registration(identity: str, token: str) -> list[Step]:
    """A whole visit: CONNECT, SUBSCRIBE, register, the result taken, DISCONNECT."""
    device = identity.rpartition("/")[2]
    body = json.dumps({"registrationId": device}).encode()
    return [
        *arrival(device, f"{identity}/api-version=2019-03-31&ClientVersion=bench", token, ANSWERS, keep_alive=60),
        Step(_publish(_REGISTER, body), PUBACK),
        Step(b"", b'"status":"assigned"'),
        Step(b"", b"}}"),
        Step(_END),
    ]


def echo(identity: str, token: str, payload_bytes: int) -> list[Step]:
    """The same with a broker: what is published comes back on the topic subscribed to, and is as long as the answer."""
    device = identity.rpartition("/")[2]
    topic = _ECHO_TOPIC.format(device)
    payload = b"x" * (payload_bytes - 2) + b"}}"
    return [
        *arrival(device, f"{identity}/api-version=2019-03-31&ClientVersion=bench", token, topic, keep_alive=60),
        Step(_publish(topic, payload), b"}}"),
        Step(b"", PUBACK),
        Step(_END),
    ]


def arrival(client_id: str, user_name: str, token: str, subscription: str, *, keep_alive: int) -> list[Step]:
    """CONNECT and SUBSCRIBE with QoS 1; a `keep_alive` of 0 lets the device be silent for ever."""
    body = b"\0\4MQTT\4" + bytes((_CLEAN_WITH_CREDENTIALS,)) + keep_alive.to_bytes(2, "big")
    body += b"".join(map(_text, (client_id, user_name, token)))
    return [
        Step(_packet(0x10, body), CONNACK),
        Step(_packet(0x82, b"\0\1" + _text(subscription) + b"\1"), SUBACK),
    ]


def _publish(topic: str, payload: bytes) -> bytes:
    return _packet(0x32, _text(topic) + b"\0\2" + payload)


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def _packet(first: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return bytes((first,)) + length + bytes((size,)) + body
