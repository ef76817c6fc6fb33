"""The command line as a person meets it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import idscope
from idscope.cli import main

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def test_version(runner: CliRunner) -> None:
    result = runner.invoke(main, ["--version"])
    assert result.output == f"idscope, version {idscope.__version__}\n"


def test_python_m_is_the_command() -> None:
    answer = subprocess.run([sys.executable, "-m", "idscope", "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout == f"idscope, version {idscope.__version__}\n"


def test_serve_hands_over_what_is_in_force(runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    handed: list[tuple[Any, ...]] = []

    def noting(*arguments: Any) -> int:
        handed.append(arguments)
        return 7

    composition_root = types.ModuleType("idscope.app")
    monkeypatch.setattr(composition_root, "run", noting, raising=False)
    monkeypatch.setitem(sys.modules, "idscope.app", composition_root)
    (tmp_path / "c.toml").write_text('[bootstrap]\nid_scope = "0neAAAAAAAA"\n')
    flags = ["--https-port", "8443", "--host-name", "a.test", "--host-name", "b.test", "--azure-timing"]
    result = runner.invoke(main, ["serve", "--config", "c.toml", *flags])
    assert result.exit_code == 7
    [(settings, bootstrap, origins)] = handed
    assert settings.https_port == 8443
    assert settings.host_names == ("a.test", "b.test")
    assert settings.azure_timing is True
    assert bootstrap.id_scope == "0neAAAAAAAA"
    assert str(origins["https_port"]) == "flag --https-port"


@pytest.mark.parametrize("command", ["serve", "settings"])
def test_mistakes_are_told_at_once_with_exit_code_2(runner: CliRunner, command: str) -> None:
    result = runner.invoke(main, [command, "--workers", "none", "--https-port", "0"])
    assert result.exit_code == 2
    assert result.output.startswith("Error: 2 mistakes in the settings:\n")
    assert "flag --workers" in result.output
    assert "flag --https-port" in result.output


def test_settings_as_table_and_json_with_stars(runner: CliRunner) -> None:
    environment = {"IDSCOPE_SEALING_KEY": KEY}
    table = runner.invoke(main, ["settings", "--workers", "3"], env=environment).output
    rows = json.loads(runner.invoke(main, ["settings", "--workers", "3", "--json"], env=environment).output)
    assert re.search(r"^workers +3 +flag --workers ", table, re.MULTILINE)
    assert {"value": 3, "origin": "flag --workers"}.items() <= next(
        row for row in rows if row["name"] == "workers"
    ).items()
    assert KEY not in table + json.dumps(rows)


def test_no_flag_takes_a_secret(runner: CliRunner) -> None:
    assert "sealing" not in runner.invoke(main, ["serve", "--help"]).output.replace("sealing.key", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(runner: CliRunner, shell: str) -> None:
    script = runner.invoke(main, ["completion", shell]).output
    assert f"_IDSCOPE_COMPLETE={shell}_complete" in script
    assert "idscope" in script


def test_completion_knows_flags_and_their_words(runner: CliRunner) -> None:
    environment = {"_IDSCOPE_COMPLETE": "bash_complete", "COMP_WORDS": "idscope serve --log-format ", "COMP_CWORD": "3"}
    answered = runner.invoke(main, env=environment, prog_name="idscope").output
    assert answered.split() == ["plain,auto", "plain,human", "plain,json"]
