"""The `[bootstrap]` table: what is read, and that one mistake does not hide the next."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from idscope.directory import Right
from idscope.secret import Secret
from idscope.settings import Bootstrap, SettingsMistakes, load_settings

KEY = base64.b64encode(b"k" * 32).decode()


def bootstrap_of(directory: Path, text: str) -> Bootstrap:
    config = directory / "some.toml"
    config.write_text(text)
    return load_settings({"data_directory": str(directory / "absent")}, {}, str(config)).bootstrap


def mistakes_of(directory: Path, text: str) -> list[str]:
    with pytest.raises(SettingsMistakes) as caught:
        bootstrap_of(directory, text)
    prefix = f"file {directory / 'some.toml'}, "
    return [str(mistake).removeprefix(prefix) for mistake in caught.value.mistakes]


def test_no_table_is_an_empty_bootstrap(tmp_path: Path) -> None:
    assert bootstrap_of(tmp_path, "") == Bootstrap()


def test_all_members_are_read(tmp_path: Path) -> None:
    read = bootstrap_of(
        tmp_path,
        f"""
        [bootstrap]
        id_scope = "0ne00AB12CD"
        service_name = "my-dps"
        [bootstrap.service_policies.provisioningserviceowner]
        primary_key = "{KEY}"
        rights = ["ServiceConfig", "EnrollmentRead"]
        [[bootstrap.hubs]]
        host_name = "Hub.Example.com"
        [bootstrap.hubs.policies.iothubowner]
        secondary_key = "{KEY}"
        [[bootstrap.hubs]]
        host_name = "127.0.0.2"
        """,
    )
    assert (read.id_scope, read.service_name) == ("0ne00AB12CD", "my-dps")
    owner = read.service_policies["provisioningserviceowner"]
    assert owner.primary_key == Secret(KEY)
    assert owner.secondary_key is None
    assert owner.rights == frozenset({Right.SERVICE_CONFIG, Right.ENROLLMENT_READ})
    assert [hub.host_name for hub in read.hubs] == ["hub.example.com", "127.0.0.2"]
    assert read.hubs[0].policies["iothubowner"].secondary_key == Secret(KEY)
    assert KEY not in repr(read)


def test_every_mistake_is_told_and_no_key_is_shown(tmp_path: Path) -> None:
    told = mistakes_of(
        tmp_path,
        """
        [bootstrap]
        id_scop = "0ne00AB12CD"
        service_name = "-"
        [bootstrap.service_policies.one]
        primary_key = "dG9vIHNob3J0"
        rights = ["Everything"]
        [bootstrap.service_policies."bad name"]
        [[bootstrap.hubs]]
        host_name = "localhost"
        [[bootstrap.hubs]]
        policies = {}
        """,
    )
    rights = ", ".join(right.value for right in Right)
    assert sorted(told) == sorted(
        [
            "bootstrap: unknown name 'id_scop'. Did you mean 'id_scope'?",
            "bootstrap.service_name: expected 3 to 64 letters, digits or inner dashes, not '-'",
            "bootstrap.service_policies.one.primary_key: expected Base64 of 16 to 64 bytes",
            f"bootstrap.service_policies.one.rights: expected a list of rights out of {rights}",
            (
                "bootstrap.service_policies: 'bad name' is no policy name: 1 to 64 letters, digits, dots, dashes, "
                "underscores"
            ),
            "bootstrap.hubs[0].host_name: 'localhost' has no dot: the C and Java device SDKs refuse such a hub name",
            "bootstrap.hubs[1]: host_name is missing",
        ]
    )


@pytest.mark.parametrize("id_scope", ["0ne1234567", "0ne123456789", "0NE12345678", "0ne1234567_", "0ne12345678\\n"])
def test_an_id_scope_of_another_form_is_refused(tmp_path: Path, id_scope: str) -> None:
    [told] = mistakes_of(tmp_path, f'[bootstrap]\nid_scope = "{id_scope}"')
    assert told.startswith("bootstrap.id_scope: expected 0ne and 8 letters or digits")


@pytest.mark.parametrize("table", ["bootstrap = 1", "[bootstrap]\nhubs = 1", "[bootstrap]\nservice_policies = 1"])
def test_another_type_is_told(tmp_path: Path, table: str) -> None:
    [told] = mistakes_of(tmp_path, table)
    assert "expected a" in told


def test_two_hubs_of_one_name_are_refused(tmp_path: Path) -> None:
    hubs = '[[bootstrap.hubs]]\nhost_name = "a.test"\n' * 2
    [told] = mistakes_of(tmp_path, hubs)
    assert "two hubs are called 'a.test'" in told
