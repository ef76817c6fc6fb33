"""Owns what a started server says of itself: to a person, to the log, and to programs in the ready file.
It must not know how it was started."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, TextIO

import msgspec
import structlog

from idscope import __version__
from idscope.app.first_steps import Target, first_steps
from idscope.durable_file import replace_file
from idscope.secret import Secret

_log = structlog.get_logger("idscope")

_WIDTH: Final = 17


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What a person or a program needs next; `notes` are what turned out otherwise than one would expect."""

    id_scope: str
    host_name: str
    https_port: int
    mqtt_port: int
    amqp_port: int
    hub_host_name: str
    ca_file: Path
    service_connection_string: Secret
    hub_connection_string: Secret
    operator_url: str
    admin_token: Secret
    admin_token_file: Path
    data_directory: Path
    notes: tuple[str, ...] = ()


def tell(started: Started, stream: TextIO, *, people: bool) -> None:
    """The banner on a terminal; elsewhere one log line without secrets, which stand in the ready file."""
    if people:
        stream.write(banner(started))
        stream.flush()
        return
    _log.info("serving", **_public(started))
    for note in started.notes:
        _log.warning(note)


def banner(started: Started) -> str:
    """The text for a person. It shows the keys: whoever sees this terminal started the server."""
    facts = [
        ("id scope", started.id_scope),
        ("host", started.host_name),
        ("ports", _ports(started)),
        ("hub", started.hub_host_name),
        ("CA to trust", str(started.ca_file)),
        ("service API", started.service_connection_string.reveal()),
        ("hub API", started.hub_connection_string.reveal()),
        ("operator", started.operator_url),
        ("operator token", f"{started.admin_token.reveal()}  (in {started.admin_token_file})"),
        ("data", str(started.data_directory)),
    ]
    return "\n".join(
        [
            f"\nidscope {__version__} is serving; Ctrl-C stops it.\n",
            *(f"  {name.ljust(_WIDTH)}{value}" for name, value in facts),
            *(f"\n  NOTE: {note}" for note in started.notes),
            *(f"\n# {title}:\n{lines}" for title, lines in first_steps(_target(started))),
            "\n",
        ]
    )


def write_ready_file(path: Path, started: Started) -> None:
    """Everything for programs, mode 0600; there as a whole or not at all. Its directory is made if it is absent."""
    secrets = {
        "service_connection_string": started.service_connection_string.reveal(),
        "hub_connection_string": started.hub_connection_string.reveal(),
        "admin_token": started.admin_token.reveal(),
    }
    document = {**_public(started), **secrets, "pid": os.getpid()}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def remove_ready_file(path: Path) -> None:
    """Called when the server stops; no error where it is gone."""
    path.unlink(missing_ok=True)


def _public(started: Started) -> dict[str, str | int]:
    return {
        "version": __version__,
        "id_scope": started.id_scope,
        "host_name": started.host_name,
        "https_port": started.https_port,
        "mqtt_port": started.mqtt_port,
        "amqp_port": started.amqp_port,
        "hub_host_name": started.hub_host_name,
        "ca_file": str(started.ca_file),
        "operator_url": started.operator_url,
        "admin_token_file": str(started.admin_token_file),
        "data_directory": str(started.data_directory),
    }


def _ports(started: Started) -> str:
    ports = [f"{started.https_port} (HTTPS, WebSocket)"]
    ports += [f"{started.mqtt_port} (MQTT)"] if started.mqtt_port else []
    ports += [f"{started.amqp_port} (AMQP)"] if started.amqp_port else []
    return ", ".join(ports)


def _target(started: Started) -> Target:
    return Target(
        host_name=started.host_name,
        id_scope=started.id_scope,
        ca_file=started.ca_file,
        service_connection_string=started.service_connection_string,
        data_directory=started.data_directory,
        command=_command(),
    )


def _command() -> str:
    """The command of this very installation: it need not be in the path of whoever reads this."""
    installed = Path(sys.executable).with_name("idscope")
    return str(installed) if installed.exists() else f"{sys.executable} -m idscope"
