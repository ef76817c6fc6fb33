"""Owns what a device says over AMQP 1.0, byte for byte, and what it waits for. It must not know who answers.

One frame after the other as Microsoft's Node SDK sends them (observed), each write once the server has answered the
one before; written from the standard alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bench.load import Step

_SASL_HEADER: Final = b"AMQP\3\1\0\0"
_AMQP_HEADER: Final = b"AMQP\0\1\0\0"
_OPEN, _BEGIN, _ATTACH, _FLOW, _TRANSFER, _DISPOSITION, _DETACH, _END, _CLOSE = range(0x10, 0x19)
_MECHANISMS, _INIT, _OUTCOME = 0x40, 0x41, 0x44
_ACCEPTED, _SOURCE, _TARGET = 0x24, 0x28, 0x29
_PROPERTIES, _APPLICATION_PROPERTIES, _DATA = 0x73, 0x74, 0x75
_PLAIN: Final = 0
_SASL: Final = 1
_WINDOW: Final = 2048
_CREDIT: Final = 1000


class _Symbol(str):
    __slots__ = ()


class _Described:
    def __init__(self, descriptor: int, value: Any) -> None:
        self.descriptor = descriptor
        self.value = value


def registration(identity: str, token: str, host: str) -> list[Step]:
    """A whole visit: SASL, OPEN, BEGIN, both links, register, the result taken, everything closed."""
    device = identity.rpartition("/")[2]
    request = _message(
        {
            _PROPERTIES: [None, None, None, None, None, f"{device:.36}-0000"],
            _APPLICATION_PROPERTIES: {"iotdps-operation-type": "iotdps-register", "iotdps-forceRegistration": False},
            _DATA: json.dumps({"registrationId": device}).encode(),
        }
    )
    login = f"\0{identity}\0{token}".encode()
    return [
        Step(_SASL_HEADER, _answer(_MECHANISMS)),
        Step(_frame(_INIT, _Symbol("PLAIN"), login, host, kind=_SASL), _answer(_OUTCOME)),
        Step(_AMQP_HEADER + _frame(_OPEN, f"{device} container", host), _answer(_OPEN)),
        Step(_frame(_BEGIN, None, 0, _WINDOW, 2**32 - 1), _answer(_BEGIN)),
        Step(_link(0, identity, receives=True), _answer(_ATTACH)),
        Step(_frame(_FLOW, 0, _WINDOW, 0, 2**32 - 1, 0, 0, _CREDIT)),
        Step(_link(1, identity, receives=False), _answer(_ATTACH)),
        Step(b"", _answer(_FLOW)),
        Step(_frame(_TRANSFER, 1, 0, b"0", 0, False, False, payload=request), _answer(_DISPOSITION)),
        Step(b"", _answer(_TRANSFER)),
        Step(b"", b'"status":"assigned"'),
        Step(b"", b"}}"),
        Step(_frame(_DISPOSITION, True, 0, 0, True, _Described(_ACCEPTED, []))),
        Step(_frame(_DETACH, 1, True), _answer(_DETACH)),
        Step(_frame(_DETACH, 0, True), _answer(_DETACH)),
        Step(_frame(_END), _answer(_END)),
        Step(_frame(_CLOSE), _answer(_CLOSE)),
    ]


def _answer(performative: int) -> bytes:
    """How the server's frame with it begins, in the short form of its descriptor."""
    return b"\0\x53" + bytes((performative,))


def _link(handle: int, address: str, *, receives: bool) -> bytes:
    near, far = _Described(_SOURCE, [address] if receives else []), _Described(_TARGET, [] if receives else [address])
    properties = {
        _Symbol("com.microsoft:client-version"): "azure-iot-provisioning-device/1.9.1",
        _Symbol("com.microsoft:api-version"): "2019-03-31",
    }
    count = None if receives else 0
    name = f"{'Receiver' if receives else 'Sender'}_{address}"
    return _frame(
        *(_ATTACH, name, handle, receives, None, None, near, far, None, None, count, None, None, None, properties)
    )


def _frame(performative: int, *fields: Any, kind: int = _PLAIN, payload: bytes = b"") -> bytes:
    body = _encode(_Described(performative, list(fields))) + payload
    return (len(body) + 8).to_bytes(4, "big") + bytes((2, kind, 0, 0)) + body


def _message(sections: Mapping[int, Any]) -> bytes:
    return b"".join(_encode(_Described(code, value)) for code, value in sections.items())


def _encode(value: Any) -> bytes:
    match value:
        case None:
            return b"\x40"
        case bool():
            return b"\x41" if value else b"\x42"
        case int():
            return b"\x70" + value.to_bytes(4, "big")
        case bytes():
            return b"\xb0" + _variable(value)
        case _Symbol():
            return b"\xb3" + _variable(value.encode())
        case str():
            return b"\xb1" + _variable(value.encode())
        case _Described():
            return b"\0\x53" + bytes((value.descriptor,)) + _encode(value.value)
        case dict():
            return b"\xd1" + _compound([part for pair in value.items() for part in pair])
        case list():
            return b"\xd0" + _compound(value)
    raise TypeError(f"no encoding for {type(value).__name__}")


def _variable(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _compound(items: list[Any]) -> bytes:
    return _variable(len(items).to_bytes(4, "big") + b"".join(map(_encode, items)))
