"""Owns how a command finds the running server and asks it something: by the local data directory, or by URL and token.
It must not know what a command asks.

A running server leaves `control/server.json` (mode 0600) in its data directory, with `operator_url`, `ca_file` and
`admin_token_file`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from idscope.cli.given_values import TEXT, given_text
from idscope.cli.options import load
from idscope.secret import Secret

F = TypeVar("F", bound=Callable[..., Any])

DESCRIPTION: Final = Path("control") / "server.json"
TOKEN_VARIABLE: Final = "IDSCOPE_ADMIN_TOKEN"  # noqa: S105 - the name of a variable
_SECONDS: Final = 30.0
_TOKEN: Final = re.compile(r"[!-~]+")


class NoServer(click.ClickException):
    """No server could be asked; the text says which one, and what to do."""


class Refused(click.ClickException):
    """The server answered with an error. `error_code` is its published code, a number or (of hubs) a word, None where
    it named none."""

    def __init__(self, message: str, status: int, error_code: int | str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code

    def saying(self, message: str) -> Refused:
        """The same refusal in words that know what was asked."""
        return type(self)(message, self.status, self.error_code)


class NotThere(Refused):
    """What was asked for is not there; a script tells this from other refusals by the exit code."""

    exit_code = 3


class Reply(msgspec.Struct, frozen=True):
    """An answer that is no error; `headers` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


class ServerDescription(msgspec.Struct, frozen=True):
    """What a running server tells the commands on its own machine."""

    operator_url: str
    admin_token_file: str
    ca_file: str | None = None


class RunningServer:
    """The operator listener of a server, asked with the admin token over TLS, as long as the command runs."""

    def __init__(self, url: str, token: Secret, ca_file: str | None) -> None:
        host, port = _address(url)
        if not _TOKEN.fullmatch(token.reveal()):
            raise NoServer("The admin token is one line of letters, digits and punctuation: this one is not.")
        self._url = url
        self._token = token
        self.ca_file = ca_file
        self._connection = http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=_context(ca_file))
        click.get_current_context().call_on_close(self._connection.close)

    def ask(self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The answer's document, None where it has none. Raises NoServer, Refused."""
        content = None if body is None else msgspec.json.encode(body)
        said = self.exchange(method, target, content, headers).body
        return msgspec.json.decode(said) if said else None

    def exchange(
        self, method: str, target: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """The answer as it came. Raises NoServer, Refused."""
        sent = {
            "Authorization": f"Bearer {self._token.reveal()}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        try:
            self._connection.request(method, target, content, sent)
            answer = self._connection.getresponse()
            said = answer.read()
        except ssl.SSLCertVerificationError as error:
            raise NoServer(
                f"The certificate of {self._url} cannot be trusted ({error.verify_message}): name the CA's file with "
                "--ca-file."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise NoServer(f"No server answers at {self._url} ({error}): is it running?") from None
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(answer.status, said)
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, said)


def _address(url: str) -> tuple[str, int]:
    """Raises NoServer."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    if parts.scheme != "https" or not host:
        raise NoServer(f"{url} is not the https:// address of an operator listener.")
    return host, port


def _context(ca_file: str | None) -> ssl.SSLContext:
    """Raises NoServer."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise NoServer(f"The CA file {ca_file} holds no certificate in PEM.") from None
    except OSError as error:
        raise NoServer(f"The CA file {ca_file} cannot be read: {error.strerror}.") from None


def _refusal(status: int, body: bytes) -> Refused:
    if status == HTTPStatus.UNAUTHORIZED:
        return Refused("The server does not take this admin token: it stands in admin.token of its data.", status)
    text = "no reason was given"
    code: int | str | None = None
    with contextlib.suppress(ValueError, KeyError, AttributeError):
        said = json.loads(body)
        code, text = _said_by_hub(said["Message"]) if "Message" in said else (_code(said), said["message"])
    kind = NotThere if status == HTTPStatus.NOT_FOUND else Refused
    return kind(f"The server answered {status}: {text}", status, code)


def _code(said: Mapping[str, Any]) -> int | str | None:
    code: int | str | None = said.get("errorCode", said.get("code"))
    return code


def _said_by_hub(message: str) -> tuple[str, str]:
    """`ErrorCode:DeviceNotFound;text`."""
    word, _, text = message.partition(";")
    return word.removeprefix("ErrorCode:"), text


def with_server(function: F) -> F:
    """Give a command the flags that say which server; they arrive as keyword arguments of `running_server`."""
    for option in (
        click.option("--ca-file", type=click.Path(), metavar="PATH", help="CA of the server at --url (PEM)."),
        click.option(
            "--token", metavar=TEXT, callback=given_text, envvar=TOKEN_VARIABLE, help="Its admin token (admin.token)."
        ),
        click.option("--url", metavar="URL", help="Operator listener of a server elsewhere."),
        click.option("--data-directory", type=click.Path(), metavar="PATH", help="Data directory of a server here."),
    ):
        function = option(function)
    return function


def running_server(
    url: str | None, token: str | None, ca_file: str | None, data_directory: str | None
) -> RunningServer:
    """The server that the flags of `with_server` name. Raises NoServer, click.UsageError."""
    if url is not None:
        if token is None:
            raise click.UsageError(f"--url needs --token (or the variable {TOKEN_VARIABLE}).")
        return RunningServer(url, Secret(token), ca_file)
    directory = load(None, {"data_directory": data_directory}).settings.data_directory
    found = _description(directory)
    own_token = _token(Path(found.admin_token_file)) if token is None else token
    return RunningServer(found.operator_url, Secret(own_token), found.ca_file if ca_file is None else ca_file)


def _description(directory: Path) -> ServerDescription:
    path = directory / DESCRIPTION
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServerDescription)
    except FileNotFoundError:
        raise NoServer(
            f"No server runs on {os.path.abspath(directory)}: start it with `idscope serve`, name its directory with "  # noqa: PTH100 - shown, not used
            "--data-directory, or a server elsewhere with --url and --token."
        ) from None
    except (OSError, msgspec.MsgspecError):
        raise NoServer(f"{path} cannot be read: are you the user who runs the server?") from None


def _token(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise NoServer(f"{path} cannot be read: are you the user who runs the server?") from None
