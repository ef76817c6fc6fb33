"""A server that cannot start says why, in one sentence that a person can act on, and ends with a code; one that can,
after an odd past, starts."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from idscope.certificate_authority import prepare_server_files
from idscope.clock import MICROSECONDS
from idscope.testing.certificates import CertificateMaker
from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient, enrollment

DAY = 24 * 3600
# An administrator without what lets him ignore rights: to files, and to ports below the first unprivileged one.
WITHOUT_PRIVILEGES = (
    ["setpriv", "--bounding-set=-net_bind_service,-dac_override,-dac_read_search", "--inh-caps=-all"]
    if os.geteuid() == 0
    else []
)
FIRST_UNPRIVILEGED_PORT = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def started(
    server: ServerProcess, *, privileged: bool = True, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """The exit code and what was said on standard error of a server that is expected not to start."""
    end = subprocess.run(
        [*(() if privileged else WITHOUT_PRIVILEGES), *server.command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in end.stderr
    return end.returncode, end.stderr


def refusal(server: ServerProcess, **environment: str) -> str:
    """The sentence of a server that cannot start."""
    code, said = started(server, environment=environment)
    assert code == 1, said
    last = said.splitlines()[-1]
    assert last.startswith("idscope cannot start: "), said
    return last.removeprefix("idscope cannot start: ")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Not started; stopped at the end, if the test starts it."""
    server = ServerProcess(tmp_path)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that ran once."""
    with ServerProcess(tmp_path_factory.mktemp("ran")) as ran:
        pass
    return ran.data_directory


@pytest.fixture
def used(server: ServerProcess, data: Path) -> ServerProcess:
    """Not running, but with data of an earlier run."""
    shutil.copytree(data, server.data_directory)
    return server


# Ports


def test_a_second_server_on_the_same_address_and_data_is_told_so_and_disturbs_nothing(
    server: ServerProcess, tmp_path: Path
) -> None:
    with server:
        assert refusal(server) == (
            f"cannot listen on {server.address} port 443: Address already in use. "
            "See who has it with: ss -ltnp 'sport = :443' or choose another address."
        )
        assert server.ready_file.exists()
        with ServerClient(server.ready) as client:
            assert client.enroll("d", new_key()).status == 200
        sharing = ServerProcess(tmp_path, address=server.address, workers=2)
        assert "port 443: Address already in use" in refusal(sharing)


def test_two_servers_on_one_data_directory_and_two_addresses_serve_the_same(
    server: ServerProcess, tmp_path: Path
) -> None:
    key = new_key()
    other = ServerProcess(tmp_path)
    other.ready_file = tmp_path / "other.json"
    other.command[other.command.index("--ready-file") + 1] = str(other.ready_file)
    with server, other, ServerClient(server.ready) as one, ServerClient(other.ready) as two:
        assert one.enroll("d", key).status == 200
        assert two.register("d", key).json()["status"] == "assigned"
        assert one.device("POST", "d", key).json()["status"] == "assigned"


def test_a_user_who_may_not_have_443_gets_8443_and_the_line_that_allows_it(server: ServerProcess) -> None:
    at = server.command.index("--https-port")
    del server.command[at : at + 2]
    server.command[:0] = WITHOUT_PRIVILEGES
    with server:
        if FIRST_UNPRIVILEGED_PORT <= 443:
            assert server.ready.https_port == 443
        else:
            assert server.ready.https_port == 8443
            assert "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=443" in server.log_text()
        assert f"HostName={server.ready.host_name}" in server.ready.service_connection_string
        with ServerClient(server.ready) as client:
            assert client.enroll("d", new_key()).status == 200


def test_a_user_who_asks_for_443_and_may_not_have_it_is_told_the_line_that_allows_it(server: ServerProcess) -> None:
    if FIRST_UNPRIVILEGED_PORT <= 443:
        server.command[:0] = WITHOUT_PRIVILEGES
        with server:
            assert server.ready.https_port == 443, "this machine lets everybody have it"
    else:
        code, said = started(server, privileged=False)
        assert code == 1
        assert said == (
            f"idscope cannot start: cannot listen on {server.address} port 443: Permission denied. Allow it with: "
            "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=443 or choose a port above 1023.\n"
        )


# The data directory


def test_a_data_directory_that_is_a_file(server: ServerProcess) -> None:
    server.data_directory.touch()
    assert refusal(server) == f"{server.data_directory} is not a directory"


def test_a_data_directory_below_a_file(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = str(tmp_path / "file" / "data")
    server.command[server.command.index("--data-directory") + 1] = below
    assert refusal(server) == f"{below} cannot be made: Not a directory; choose another data directory"


def test_a_data_directory_of_another_user(server: ServerProcess) -> None:
    # Where the tests run as the administrator, the directory is given away; otherwise one of the administrator's does.
    path, owner = (server.data_directory, 65534) if os.geteuid() == 0 else (Path("/usr"), 0)
    if os.geteuid() == 0:
        path.mkdir(mode=0o700)
        os.chown(path, owner, -1)
    server.command[server.command.index("--data-directory") + 1] = str(path)
    assert refusal(server) == (
        f"{path} belongs to user {owner}, but the server runs as {os.geteuid()}: "
        "run it as that user, or choose another data directory"
    )


def test_a_data_directory_without_the_right_to_write(server: ServerProcess) -> None:
    server.data_directory.mkdir(mode=0o500)
    code, said = started(server, privileged=False)
    assert code == 1
    assert said == f"idscope cannot start: {server.data_directory} is not writable for the server\n"


def test_a_directory_with_other_things_in_it_is_not_shut(server: ServerProcess) -> None:
    server.data_directory.mkdir(mode=0o755)
    (server.data_directory / "letters").touch()
    assert "is open to other users and holds other things" in refusal(server)
    assert server.data_directory.stat().st_mode & 0o777 == 0o755


# Secrets, database


def test_a_missing_sealing_key(used: ServerProcess) -> None:
    (used.data_directory / "sealing.key").unlink()
    assert refusal(used) == (
        f"{used.data_directory}/sealing.key is missing, and without it the secrets in the database cannot be read: "
        "restore it, or set IDSCOPE_SEALING_KEY"
    )


def test_a_wrong_sealing_key(used: ServerProcess) -> None:
    (used.data_directory / "sealing.key").write_text(new_key())
    assert refusal(used) == (
        f"the secrets in {used.data_directory}/idscope.db cannot be read with {used.data_directory}/sealing.key "
        "(the key that sealed this is not in the key file): restore the key that belongs to this data directory"
    )


def test_a_wrong_sealing_key_in_the_environment(used: ServerProcess) -> None:
    (used.data_directory / "sealing.key").unlink()
    key = new_key()
    said = refusal(used, IDSCOPE_SEALING_KEY=key)
    assert f"{used.data_directory}/idscope.db cannot be read with IDSCOPE_SEALING_KEY (" in said
    assert key not in said


def test_a_database_of_a_newer_server(used: ServerProcess) -> None:
    database = used.data_directory / "idscope.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (9999, 0, '99.1.0')")
    said = refusal(used)
    assert said.startswith(f"{database} has schema 9999, which needs idscope 99.1.0 or newer; this is ")
    assert said.endswith(
        " Install idscope 99.1.0, or restore the backup made before that upgrade (idscope.db.backup-before-…) in "
        "place of the database."
    )


def test_a_file_that_is_no_database(used: ServerProcess) -> None:
    (used.data_directory / "idscope.db").write_bytes(b"this is not a database, and never was one" * 100)
    assert refusal(used).startswith(
        f"{used.data_directory}/idscope.db cannot be opened as a database: file is not a database. "
    )


# Certificates


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ca.pem", b"damaged", "ca.pem holds no certificate; restore it, or move ca.pem and ca.key away"),
        ("ca.key", b"damaged", "ca.key holds no private key; restore it, or move ca.pem and ca.key away"),
        ("ca.key", None, "ca.pem is here but ca.key is not; restore it, or move ca.pem away for a new CA"),
    ],
    ids=["certificate", "key", "no key"],
)
def test_a_damaged_authority(used: ServerProcess, name: str, content: bytes | None, said: str) -> None:
    (used.data_directory / name).unlink()
    if content is not None:
        (used.data_directory / name).write_bytes(content)
    assert refusal(used) == f"in {used.data_directory}: {said}"


def test_an_own_certificate_with_the_key_of_another(server: ServerProcess, tmp_path: Path) -> None:
    certificate, _ = CertificateMaker.authority().server(server.address).write(tmp_path, "mine")
    _, key = CertificateMaker.authority().server(server.address).write(tmp_path, "another")
    server.command += ["--certificate-file", str(certificate), "--key-file", str(key)]
    assert refusal(server) == (
        f"{key} is not the key of the first certificate in {certificate}: the server's own comes first"
    )


def test_an_own_certificate_that_is_not_valid_yet(server: ServerProcess, tmp_path: Path) -> None:
    certificate, key = CertificateMaker.self_signed(server.address, days=(2, 365)).write(tmp_path, "mine")
    server.command += ["--certificate-file", str(certificate), "--key-file", str(key)]
    said = refusal(server)
    assert said.startswith(f"the certificate in {certificate} is valid from ")
    assert "but this machine's clock says" in said


def made_in_the_future(server: ServerProcess, days: int) -> None:
    """The server's certificates as a machine makes them whose clock is ahead."""
    server.data_directory.mkdir(mode=0o700, exist_ok=True)
    now = time.time_ns() // 1000 + days * DAY * MICROSECONDS
    prepare_server_files(server.data_directory, (server.address,), "ecdsa", now)


def test_an_authority_made_while_the_clock_was_ahead_is_said(server: ServerProcess) -> None:
    made_in_the_future(server, 2 * 365)
    said = refusal(server)
    assert said.startswith(f"in {server.data_directory}: the CA certificate is valid from ")
    assert said.endswith("; set the clock, or move ca.pem and ca.key away for a new CA")


def test_a_certificate_renewed_while_the_clock_was_ahead_is_renewed_again(server: ServerProcess) -> None:
    made_in_the_future(server, 0)
    made_in_the_future(server, 300)
    with server, ServerClient(server.ready) as client:
        assert client.enroll("d", new_key()).status == 200
    assert '"a server certificate was issued"' in server.log_text()


# The clock


def test_a_clock_that_was_years_ahead_and_is_set_back(server: ServerProcess) -> None:
    key, ahead = new_key(), 5 * 365 * DAY
    server.command += ["--test-clock", f"{ahead}s"]
    with server, ServerClient(server.ready, clock_shift=ahead) as client:
        first = client.enroll("d", key).json()
        registered = client.register("d", key).json()["registrationState"]
    del server.command[-2:]
    with server, ServerClient(server.ready) as client:
        second = client.service("PUT", "/enrollments/d", enrollment("d", key), if_match="*").json()
        again = client.register("d", key).json()["registrationState"]
    assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]
    assert last_updated(second) > last_updated(first)
    assert last_updated(again) > last_updated(registered)
    assert second["etag"] != first["etag"]


def last_updated(document: dict[str, str]) -> datetime:
    return datetime.fromisoformat(document["lastUpdatedDateTimeUtc"])


# Settings


def test_all_mistakes_in_the_settings_are_told_at_once(server: ServerProcess, tmp_path: Path) -> None:
    config = tmp_path / "idscope.toml"
    config.write_text('log_level = "loud"\nretry_after_second = 3\nsealing_key = "x"\n')
    server.command += ["--config", str(config), "--workers", "0", "--https-port", "eight", "--certificate-file", "x"]
    code, said = started(server, environment={"IDSCOPE_DRAIN_SECONDS": "long", "IDSCOPE_HUB_HOST_NAME": "hub"})
    assert code == 2
    assert (
        said
        == f"""\
Error: 8 mistakes in the settings:
  - environment IDSCOPE_DRAIN_SECONDS: expected a number from 0 to 600, not 'long'
  - environment: unknown name 'IDSCOPE_HUB_HOST_NAME'. Did you mean 'IDSCOPE_HUB_HOST_NAMES'?
  - flag --https-port: expected a whole number from 1 to 65535, not 'eight'
  - flag --workers: expected a whole number from 1 to 256, not 0
  - file {config}, log_level: expected debug, info, warning or error, not 'loud'
  - file {config}: unknown name 'retry_after_second'. Did you mean 'retry_after_seconds'?
  - file {config}: sealing_key may not stand in a file. Set the environment variable IDSCOPE_SEALING_KEY.
  - certificate_file (flag --certificate-file): is given without key_file. Give both, or neither for the own CA.
"""
    )
