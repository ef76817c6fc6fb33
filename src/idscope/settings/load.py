"""Owns which source wins: flags, then environment, then file, then defaults. It must not know any one setting's use."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from idscope.settings.bootstrap import Bootstrap, read_bootstrap
from idscope.settings.mistakes import Mistake, SettingsMistakes
from idscope.settings.rules import broken_rules
from idscope.settings.sources import (
    BOOTSTRAP,
    CONFIG_VARIABLE,
    Found,
    Origin,
    from_environment,
    from_file,
    from_flags,
    read_file,
)
from idscope.settings.table import ROWS, Settings

CONFIG_NAME: Final = "idscope.toml"
_LOOPBACK: Final = "127.0.0.1"


class Loaded(msgspec.Struct, frozen=True):
    """The settings, what the first start creates, and each value's origin by setting name."""

    settings: Settings
    bootstrap: Bootstrap
    origins: Mapping[str, Origin]


def load_settings(flags: Mapping[str, Any], environment: Mapping[str, str], config: str | None = None) -> Loaded:
    """All settings; `config` is the file named by flag. Raises SettingsMistakes with everything that is wrong."""
    mistakes: list[Mistake] = []
    outer = from_environment(environment, mistakes) | from_flags(flags, mistakes)
    path, table = _file(config or environment.get(CONFIG_VARIABLE), outer, mistakes)
    inner = from_file(path, table, mistakes) if path else {}
    bootstrap = read_bootstrap(table[BOOTSTRAP], f"file {path}, {BOOTSTRAP}", mistakes) if BOOTSTRAP in table else None
    settings, origins = _merge(inner | outer)
    mistakes.extend(broken_rules(settings, origins))
    if mistakes:
        raise SettingsMistakes(mistakes)
    return Loaded(settings, bootstrap or Bootstrap(), origins)


def _file(named: str | None, outer: Mapping[str, Found], mistakes: list[Mistake]) -> tuple[Path | None, dict[str, Any]]:
    if named:
        path = Path(named).expanduser()
        return path, read_file(path, mistakes)
    directory = outer["data_directory"].value if "data_directory" in outer else Settings().data_directory
    path = directory / CONFIG_NAME
    if not path.exists():
        return None, {}
    table = read_file(path, mistakes)
    if "data_directory" in table:
        advice = "Remove it, or name the file by --config."
        mistakes.append(Mistake(f"file {path}", "data_directory is set in the file found by it", advice))
    return path, table


def _merge(found: Mapping[str, Found]) -> tuple[Settings, dict[str, Origin]]:
    settings = Settings(**{name: each.value for name, each in found.items()})
    origins = {row.name: found[row.name].origin if row.name in found else Origin("default") for row in ROWS}
    if not settings.hub_host_names:
        settings = msgspec.structs.replace(settings, hub_host_names=(_first_hub(settings.listen_address),))
    return settings, origins


def _first_hub(listen_address: str) -> str:
    """Devices are told this name, so an address that means "all of them" cannot be it."""
    return _LOOPBACK if ipaddress.ip_address(listen_address).is_unspecified else listen_address
