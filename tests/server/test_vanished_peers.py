"""Peers that vanish without a word, as behind a router that lost its power: what they were sent is never acknowledged.
Such a peer's socket drops all that reaches it, before its own TCP sees it."""

from __future__ import annotations

import ctypes
import socket
import struct
from pathlib import Path

import pytest
from listening import Listening, listening

from idscope.frontends import listener

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K: keep 0 bytes
PATIENCE_MS = 700
GET = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"


def vanish(client: socket.socket) -> None:
    """From now on nothing reaches it."""
    program = ctypes.create_string_buffer(DROP_ALL)
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", 1, ctypes.addressof(program)))


def open_slow(server: Listening) -> socket.socket:
    """A client that waits for its answer."""
    client = server.tls()
    client.sendall(GET)
    assert server.app.entered.wait(10.0)
    return client


def test_a_peer_that_vanished_with_data_under_way_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *keepalive, (level, option, _) = listener._KEEPALIVE
    monkeypatch.setattr(listener, "_KEEPALIVE", (*keepalive, (level, option, PATIENCE_MS)))
    with listening(tmp_path) as server:
        vanish(open_slow(server))
        server.app.release.set()
        server.until(lambda: server.listener.connections == 0)


def test_the_listening_socket_hands_its_patience_on(tmp_path: Path) -> None:
    with listening(tmp_path) as server:
        open_slow(server)
        (connection,) = server.call(lambda: list(server.listener._connections))
        accepted = connection._raw.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        server.app.release.set()
