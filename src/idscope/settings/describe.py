"""Owns how settings are shown: as a table for a person, as JSON, as the reference page. Secrets are stars in all three.
It must not know where the text goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from idscope.secret import STARS, Secret
from idscope.settings.sources import Origin
from idscope.settings.table import ROWS, Row, Settings, show

_PAGE_HEAD: Final = """\
# Settings

<!-- Made by `python -m idscope settings --markdown`; a test compares. -->

A flag wins over the environment, the environment over the file, the file over the default. The file is the one named by
`--config` (or `IDSCOPE_CONFIG`), otherwise `idscope.toml` in the data directory if it is there; its keys are the names
below, and a relative path in it counts from the file's directory. A list is comma-separated in a variable, a TOML list
in the file, and its flag may be repeated. `idscope settings` shows what would be in force and where each value comes
from. All mistakes are reported at once.

Settings are the process only. What stands in the store (services, policies, hubs) may be named in the file's
`[bootstrap]` table: the first start creates what is absent, and never changes what exists.

"""

_BOOTSTRAP: Final = """
## `[bootstrap]`

All members are optional; what is absent is made up by the first start. Keys are Base64 of 16 to 64 bytes.

```toml
[bootstrap]
id_scope = "0ne00AB12CD"            # 0ne and 8 letters or digits
service_name = "idscope"

[bootstrap.service_policies.provisioningserviceowner]
primary_key = "…"
secondary_key = "…"
rights = ["ServiceConfig", "EnrollmentRead", "EnrollmentWrite"]

[[bootstrap.hubs]]
host_name = "127.0.0.1"             # a hub's name has a dot

[bootstrap.hubs.policies.iothubowner]
primary_key = "…"
```
"""


def as_table(settings: Settings, origins: Mapping[str, Origin]) -> str:
    """Four aligned columns: name, value, origin, help."""
    lines = [("NAME", "VALUE", "ORIGIN", "HELP")]
    lines += [(row.name, show(getattr(settings, row.name)), str(origins[row.name]), row.about.help) for row in ROWS]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[3]]) for line in lines
    )


def as_json(settings: Settings, origins: Mapping[str, Origin]) -> str:
    """A list of objects: name, value, origin, help."""
    rows = [
        {
            "name": row.name,
            "value": _plain(getattr(settings, row.name)),
            "origin": str(origins[row.name]),
            "help": row.about.help,
        }
        for row in ROWS
    ]
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def as_markdown() -> str:
    """The reference page: what there is, whatever is in force here."""
    head = "| Name | Flag | Environment | File | Value | Default | Meaning |\n|---|---|---|---|---|---|---|\n"
    return _PAGE_HEAD + head + "".join(_markdown_row(row) for row in ROWS) + _BOOTSTRAP


def _markdown_row(row: Row) -> str:
    flag = f"`{row.flag}`" if row.flag else "-"
    file = "yes" if "file" in row.about.sources else "-"
    default = f"`{show(row.default)}`" if row.default not in {None, ()} else "-"
    cells = (f"`{row.name}`", flag, f"`{row.variable}`", file, row.kind.words, default, row.about.help)
    return f"| {' | '.join(cells)} |\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return STARS
    return value if value is None or isinstance(value, bool | int | float | tuple) else str(value)
