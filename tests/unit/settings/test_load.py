"""What is in force when flags, environment, file and defaults speak, and what is said of mistakes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from idscope.secret import Secret
from idscope.settings import Origin, Settings, SettingsMistakes, load_settings

Flags = dict[str, Any]

KEY = base64.b64encode(bytes(range(32))).decode()


def mistakes_of(
    flags: Flags | None = None, environment: dict[str, str] | None = None, config: Path | None = None
) -> list[str]:
    with pytest.raises(SettingsMistakes) as caught:
        load_settings(flags or {}, environment or {}, str(config) if config else None)
    return [str(mistake) for mistake in caught.value.mistakes]


def written(directory: Path, text: str, name: str = "some.toml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


@pytest.fixture
def nowhere(tmp_path: Path) -> Flags:
    """Flags that keep a data directory of the machine out of the test."""
    return {"data_directory": str(tmp_path / "absent")}


def test_nothing_given_is_the_documented_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_settings({}, {})
    assert loaded.settings.listen_address == "127.0.0.1"
    assert loaded.settings.https_port == 443
    assert loaded.settings.hub_host_names == ("127.0.0.1",)
    assert loaded.settings.data_directory == Path("idscope-data")
    assert {origin.source for origin in loaded.origins.values()} == {"default"}


def test_flag_beats_environment_beats_file(tmp_path: Path, nowhere: Flags) -> None:
    config = written(tmp_path, "https_port = 1000\nworkers = 2\noperator_port = 3000\n")
    environment = {"IDSCOPE_HTTPS_PORT": "2000", "IDSCOPE_WORKERS": "3"}
    loaded = load_settings({**nowhere, "https_port": "4000"}, environment, str(config))
    assert (loaded.settings.https_port, loaded.settings.workers, loaded.settings.operator_port) == (4000, 3, 3000)
    assert loaded.origins["https_port"] == Origin("flag", "--https-port")
    assert loaded.origins["workers"] == Origin("environment", "IDSCOPE_WORKERS")
    assert loaded.origins["operator_port"] == Origin("file", str(config))


def test_the_file_in_the_data_directory_is_found(tmp_path: Path) -> None:
    written(tmp_path, "workers = 4", "idscope.toml")
    assert load_settings({"data_directory": str(tmp_path)}, {}).settings.workers == 4


def test_the_file_in_the_data_directory_cannot_move_it(tmp_path: Path) -> None:
    written(tmp_path, 'data_directory = "elsewhere"', "idscope.toml")
    [mistake] = mistakes_of({"data_directory": str(tmp_path)})
    assert "data_directory is set in the file found by it" in mistake


def test_the_file_may_be_named_by_variable(tmp_path: Path, nowhere: Flags) -> None:
    config = written(tmp_path, "workers = 5")
    assert load_settings(nowhere, {"IDSCOPE_CONFIG": str(config)}).settings.workers == 5


def test_a_relative_path_in_a_file_counts_from_the_file(tmp_path: Path, nowhere: Flags) -> None:
    config = written(tmp_path, 'ready_file = "run/ready.json"')
    assert load_settings(nowhere, {}, str(config)).settings.ready_file == tmp_path / "run" / "ready.json"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("azure_timing", "yes", True),
        ("azure_timing", "false", False),
        ("host_names", "DPS.example.com, dps2.example.com,dps.example.com", ("dps.example.com", "dps2.example.com")),
        ("host_names", "", ()),
        ("test_clock_shift", "+2h", 7200.0),
        ("test_clock_shift", "-30m", -1800.0),
        ("test_clock_shift", "90", 90.0),
        ("assign_wait_seconds", "0.25", 0.25),
        ("listen_address", "::", "::"),
        ("sealing_key", KEY, Secret(KEY)),
    ],
)
def test_a_variable_is_read(nowhere: Flags, name: str, text: str, value: object) -> None:
    settings = load_settings(nowhere, {f"IDSCOPE_{name.upper()}": text, "IDSCOPE_HUB_HOST_NAMES": "10.0.0.1"}).settings
    assert getattr(settings, name) == value


def test_flags_of_lists_and_switches_arrive_as_click_gives_them(nowhere: Flags) -> None:
    settings = load_settings({**nowhere, "host_names": ("a.test", "b.test"), "azure_timing": False}, {}).settings
    assert settings.host_names == ("a.test", "b.test")
    assert settings.azure_timing is False


def test_all_addresses_is_no_name_of_a_hub(nowhere: Flags) -> None:
    assert load_settings({**nowhere, "listen_address": "0.0.0.0"}, {}).settings.hub_host_names == ("127.0.0.1",)


def test_every_mistake_is_told_at_once(tmp_path: Path, nowhere: Flags) -> None:
    config = written(tmp_path, 'htps_port = 1\nworkers = "two"\nsealing_key = "x"\nassign_wait_seconds = true\n')
    told = mistakes_of(
        {**nowhere, "https_port": "x", "hub_host_names": ("localhost",), "log_format": "xml"},
        {"IDSCOPE_RETRY_AFTER_SECONDS": "9", "IDSCOPE_CERTIFICATE_FILE": "/c.pem", "IDSCOPE_LOG_LEVEL": ""},
        config,
    )
    for part in (
        f"file {config}: unknown name 'htps_port'. Did you mean 'https_port'?",
        f"file {config}, workers: expected a whole number from 1 to 256, not 'two'",
        f"file {config}: sealing_key may not stand in a file. Set the environment variable IDSCOPE_SEALING_KEY.",
        f"file {config}, assign_wait_seconds: expected a number from 0 to 30, not True",
        "flag --https-port: expected a whole number from 1 to 65535, not 'x'",
        "flag --hub-host-name: 'localhost' has no dot: the C and Java device SDKs refuse such a hub name",
        "flag --log-format: expected auto, human or json, not 'xml'",
        "environment IDSCOPE_RETRY_AFTER_SECONDS: expected a whole number from 2 to 5, not 9",
        "environment IDSCOPE_LOG_LEVEL: is empty. Unset it, or give debug, info, warning or error.",
        (
            "certificate_file (environment IDSCOPE_CERTIFICATE_FILE): is given without key_file. "
            "Give both, or neither for the own CA."
        ),
    ):
        assert part in told
    assert len(told) == 10


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ({"test_clock_shift": "1h", "listen_address": "0.0.0.0"}, "test_clock_shift"),
        ({"azure_timing": True, "retry_after_seconds": "2"}, "azure_timing fixes it at 3"),
        ({"certificate_file": "c", "key_file": "k", "server_key_kind": "rsa"}, "no effect beside certificate_file"),
        ({"https_port": "9443"}, "9443 is https_port as well"),
        ({"operator_plain_port": "9443"}, "9443 is operator_port as well"),
        ({"https_port": "9443", "operator_address": "127.0.0.9", "listen_address": "0.0.0.0"}, "9443 is https_port"),
        ({"listen_address": "::1"}, "'::1' has no dot"),
        ({"hub_host_names": ("*.example.com",)}, "no port, no wildcard"),
        ({"host_names": ("dps.example.com:8443",)}, "no port, no wildcard"),
        ({"listen_address": "localhost"}, "expected an IP address such as 127.0.0.1"),
        ({"drain_seconds": "nan"}, "expected a number from 0 to 600"),
    ],
)
def test_what_does_not_go_together_is_refused(nowhere: Flags, flags: Flags, part: str) -> None:
    [mistake] = mistakes_of(nowhere | flags)
    assert part in mistake


def test_the_same_port_on_another_address_is_no_clash(nowhere: Flags) -> None:
    flags = {**nowhere, "https_port": "9443", "listen_address": "127.0.0.2"}
    assert load_settings(flags, {}).settings.https_port == 9443


def test_a_slip_in_a_variable_is_told_but_a_stranger_is_not(nowhere: Flags) -> None:
    [mistake] = mistakes_of(nowhere, {"IDSCOPE_HTTP_PORT": "1", "IDSCOPE_SERVICE_HOST": "10.0.0.1"})
    assert mistake == "environment: unknown name 'IDSCOPE_HTTP_PORT'. Did you mean 'IDSCOPE_HTTPS_PORT'?"


@pytest.mark.parametrize("text", ["workers = ", "\x00", "[workers"])
def test_a_file_that_is_no_toml_is_told(tmp_path: Path, nowhere: Flags, text: str) -> None:
    [mistake] = mistakes_of(nowhere, config=written(tmp_path, text))
    assert "is not TOML" in mistake


def test_a_named_file_that_is_absent_is_told(tmp_path: Path, nowhere: Flags) -> None:
    [mistake] = mistakes_of(nowhere, config=tmp_path / "absent.toml")
    assert "cannot be read: No such file or directory" in mistake


def test_a_wrong_sealing_key_is_told_without_showing_it(nowhere: Flags) -> None:
    [mistake] = mistakes_of(nowhere, {"IDSCOPE_SEALING_KEY": "c2VjcmV0"})
    assert mistake == "environment IDSCOPE_SEALING_KEY: expected Base64 of 32 bytes"


def test_settings_print_no_secret(nowhere: Flags) -> None:
    assert KEY not in repr(load_settings(nowhere, {"IDSCOPE_SEALING_KEY": KEY}))


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().https_port = 1  # type: ignore[misc]  # that is the point
