"""The server process of the tests: it starts, says what it is, stops, starts again, and leaves nothing behind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from idscope.testing.server import ServerDidNotStart, ServerProcess, unused_address


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_addresses_differ() -> None:
    addresses = [unused_address() for _ in range(50)]

    assert len(set(addresses)) == 50
    assert all(address.startswith("127.0.") and not address.startswith("127.0.0.") for address in addresses)


def test_says_what_it_is_and_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        first = server.ready
        assert first.host_name == first.hub_host_name == server.address
        assert first.https_port == 443
        assert first.id_scope.startswith("0ne")
        assert first.ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
        assert stat.S_IMODE(server.ready_file.stat().st_mode) == 0o600

        assert server.stop() == 0
        assert not server.ready_file.exists()

        second = server.start()
        assert second.id_scope == first.id_scope
        assert second.service_connection_string == first.service_connection_string
        pid = server.pid
    assert not is_running(pid)


def test_a_killed_server_starts_again(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, workers=2) as server:
        first = server.ready
        server.kill()
        assert server.start().id_scope == first.id_scope


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServerDidNotStart, match="no-such-setting"):
        ServerProcess(tmp_path, arguments=["--no-such-setting"]).start()


def test_the_repr_of_what_it_said_holds_no_secret(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert "SharedAccessKey" not in repr(server.ready)
