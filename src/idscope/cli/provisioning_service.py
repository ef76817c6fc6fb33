"""Owns how a command reaches one provisioning service of a running server: by name, page by page, with what the service
says of itself. It must not know what the command wants there."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click
import msgspec

from idscope.cli.running_server import NoServer, NotThere, Reply, RunningServer, running_server, with_server
from idscope.model.api_version import PUBLISHED

F = TypeVar("F", bound=Callable[..., Any])

# The newest: an older one would hide members, and an update would lose them.
_API_VERSION: Final = PUBLISHED[-1]
_PAGE: Final = 500


class NoService(NoServer):
    """The server has no provisioning service of that name."""

    exit_code = NotThere.exit_code


class ServiceFacts(msgspec.Struct, frozen=True):
    """What a client of the service must know."""

    name: str
    id_scope: str
    host_name: str


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    services: list[str]
    id_scopes: list[str]
    host_names: list[str]

    def facts(self) -> list[ServiceFacts]:
        return [ServiceFacts(*each) for each in zip(self.services, self.id_scopes, self.host_names, strict=True)]


class ProvisioningService:
    """One provisioning service, asked with the admin token. Nothing is asked before it must be."""

    def __init__(self, service: str | None, which: Mapping[str, str | None]) -> None:
        self._asked = service
        self._which = which

    @functools.cached_property
    def server(self) -> RunningServer:
        """Raises NoServer."""
        return running_server(**self._which)

    @functools.cached_property
    def facts(self) -> ServiceFacts:
        """Raises NoServer, Refused."""
        try:
            services = msgspec.json.decode(self.server.exchange("GET", "/admin/status").body, type=_Status).facts()
        except NotThere:
            raise NoServer("What answers there is no operator listener: its port is 9443 by default.") from None
        except msgspec.MsgspecError:
            raise NoServer("What answers there does not answer as idscope of this version does.") from None
        wanted = services[0].name if self._asked is None else self._asked
        for one in services:
            if one.name.lower() == wanted.lower():
                return one
        names = ", ".join(one.name for one in services)
        raise NoService(f"There is no provisioning service {wanted} on this server: it has {names}.")

    @property
    def flags(self) -> str:
        """The flags that find this service again, for a command to paste; never the token."""
        which = {"service": self._asked, **{name: value for name, value in self._which.items() if name != "token"}}
        return "".join(f" --{name.replace('_', '-')} {shlex.quote(value)}" for name, value in which.items() if value)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request of the service API. Raises NoServer, Refused."""
        service = quote(self.facts.name, safe="")
        target = f"/provisioningServices/{service}{path}?api-version={_API_VERSION}"
        return self.server.exchange(method, target, body, headers)

    def pages(self, path: str, query: str, top: int | None) -> Iterator[list[msgspec.Raw]]:
        """All pages of a query, or as many as hold `top` documents; a person who waits sees how far it is.

        Raises NoServer, Refused.
        """
        body, headers, shown = msgspec.json.encode({"query": query}), dict[str, str](), 0
        while True:
            size = _PAGE if top is None else min(_PAGE, top - shown)
            reply = self.ask("POST", path, body, {**headers, "x-ms-max-item-count": str(size)})
            page = msgspec.json.decode(reply.body, type=list[msgspec.Raw])
            shown += len(page)
            yield page
            continuation = reply.headers.get("x-ms-continuation")
            _tell_progress(shown, more=continuation is not None)
            if continuation is None or (top is not None and shown >= top):
                return
            headers["x-ms-continuation"] = continuation


def with_service(function: F) -> Callable[..., Any]:
    """Give a command the flags that say which service of which server; it arrives as `service`."""

    @functools.wraps(function)
    def asked(*, service: str | None, **flags: Any) -> Any:
        which = {name: flags.pop(name) for name in ("url", "token", "ca_file", "data_directory")}
        return function(service=ProvisioningService(service, which), **flags)

    option = click.option(
        "--service", "--dps-name", "-n", metavar="NAME", help="Provisioning service; without it the first one."
    )
    return with_server(option(asked))


def with_query(function: F) -> F:
    """Give a list `--query` and `--top`."""
    top = click.option("--top", type=click.IntRange(min=1), metavar="NUMBER", help="No more than so many. [all]")
    query = click.option("--query", default="SELECT *", metavar="QUERY", help="Which ones. [SELECT *]")
    return query(top(function))


def _tell_progress(shown: int, *, more: bool) -> None:
    """One line that writes over itself, where a person waits for output that goes elsewhere."""
    if sys.stderr.isatty() and not sys.stdout.isatty():
        click.echo(f"\r{shown:,} so far ..." if more else "\r\033[K", err=True, nl=False)
