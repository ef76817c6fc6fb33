"""Owns the `[bootstrap]` table of the settings file: what the first start creates where it is absent.
It must not know what exists already, nor how it is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from idscope.directory import Right
from idscope.secret import Secret
from idscope.settings.kinds import SecretKey, read_host_name
from idscope.settings.mistakes import Mistake, unknown_name

# Public source: the published documents show `0ne` + 8 characters; compared without case by one client.
_ID_SCOPE: Final = re.compile(r"0ne[0-9A-Za-z]{8}\Z")
_SERVICE_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{1,62}[A-Za-z0-9])\Z")
_POLICY_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def _id_scope(value: Any) -> str:
    if not isinstance(value, str) or not _ID_SCOPE.match(value):
        raise ValueError(f"expected 0ne and 8 letters or digits, such as 0ne00AB12CD, not {value!r}")
    return value


def _service_name(value: Any) -> str:
    if not isinstance(value, str) or not _SERVICE_NAME.match(value):
        raise ValueError(f"expected 3 to 64 letters, digits or inner dashes, not {value!r}")
    return value


def _rights(value: Any) -> frozenset[Right]:
    words = [right.value for right in Right]
    if not isinstance(value, list) or not value or not all(word in words for word in value):
        raise ValueError(f"expected a list of rights out of {', '.join(words)}")
    return frozenset(Right(word) for word in value)


def _hub_name(value: Any) -> str:
    return read_host_name(value, dotted=True)


class BootstrapPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A shared access policy; a key or the rights that are absent are made by the first start."""

    primary_key: Annotated[Secret | None, SecretKey(16, 64).accept] = None
    secondary_key: Annotated[Secret | None, SecretKey(16, 64).accept] = None
    rights: Annotated[frozenset[Right] | None, _rights] = None


class BootstrapHub(msgspec.Struct, frozen=True, kw_only=True):
    """An embedded hub."""

    host_name: Annotated[str, _hub_name]
    policies: dict[str, BootstrapPolicy] = msgspec.field(default_factory=dict)


class Bootstrap(msgspec.Struct, frozen=True, kw_only=True):
    """What the first start creates; it never changes what exists."""

    id_scope: Annotated[str | None, _id_scope] = None
    service_name: Annotated[str | None, _service_name] = None
    service_policies: dict[str, BootstrapPolicy] = msgspec.field(default_factory=dict)
    hubs: tuple[BootstrapHub, ...] = ()


def read_bootstrap(table: Any, origin: str, mistakes: list[Mistake]) -> Bootstrap:
    """The table as a Bootstrap; every mistake in it is added to the list."""
    read = _Reader(mistakes).read(Bootstrap, table, origin)
    if not isinstance(read, Bootstrap):
        return Bootstrap()
    names = [hub.host_name for hub in read.hubs]
    mistakes.extend(
        Mistake(origin, f"two hubs are called {name!r}", "Give each hub its own name.")
        for name in sorted({name for name in names if names.count(name) > 1})
    )
    return read


class _Reader:
    """Walks the declared types beside the value, so that one mistake does not hide the next (msgspec stops at the
    first); `_FAILED` stands for what could not be read."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self._mistakes = mistakes

    def read(self, kind: Any, value: Any, path: str) -> Any:
        if get_origin(kind) is Annotated:
            return self._checked(kind.__metadata__[0], value, path)
        if get_origin(kind) is dict:
            return self._by_name(get_args(kind)[1], value, path)
        if get_origin(kind) is tuple:
            return self._list(get_args(kind)[0], value, path)
        return self._table(kind, value, path)

    def _checked(self, accept: Callable[[Any], Any], value: Any, path: str) -> Any:
        try:
            return accept(value)
        except ValueError as error:
            return self._failed(path, str(error))

    def _by_name(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            return self._failed(path, "expected a table")
        for name in value:
            if not _POLICY_NAME.match(name):
                self._failed(path, f"{name!r} is no policy name: 1 to 64 letters, digits, dots, dashes, underscores")
        return {name: self.read(kind, each, f"{path}.{name}") for name, each in value.items()}

    def _list(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, list):
            return self._failed(path, "expected a list of tables")
        return tuple(self.read(kind, each, f"{path}[{index}]") for index, each in enumerate(value))

    def _table(self, kind: type[msgspec.Struct], value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            return self._failed(path, "expected a table")
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        known = {name: each for name, each in value.items() if name in fields}
        self._mistakes.extend(unknown_name(path, name, fields) for name in value if name not in fields)
        read = {name: self.read(fields[name].type, each, f"{path}.{name}") for name, each in known.items()}
        absent = [name for name, field in fields.items() if field.required and name not in value]
        for name in absent:
            self._failed(path, f"{name} is missing")
        return _FAILED if absent or _FAILED in read.values() else kind(**read)

    def _failed(self, path: str, problem: str) -> Any:
        self._mistakes.append(Mistake(path, problem))
        return _FAILED


_FAILED: Final = object()
