"""Owns the kinds of values that a setting can have: how each is read from text and from TOML, and how it is shown.
It must not know any one setting."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from idscope.secret import Secret

_HOST_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)\Z")
_DURATION: Final = re.compile(r"([+-]?)(\d+(?:\.\d+)?)(s|m|h|d)?\Z")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_YES: Final = frozenset({"true", "yes", "on", "1"})
_NO: Final = frozenset({"false", "no", "off", "0"})


class Kind(Protocol):
    """One kind of value. `parse` and `accept` raise ValueError with words that say what was expected."""

    @property
    def words(self) -> str:
        """What values there are, for a person."""
        ...

    def parse(self, text: str) -> Any:
        """The value written as one text (a flag, an environment variable)."""
        ...

    def accept(self, value: Any) -> Any:
        """The value as it stands in a TOML file."""
        ...


class Whole(msgspec.Struct, frozen=True):
    """A whole number between two bounds, both included."""

    least: int
    most: int

    @property
    def words(self) -> str:
        return f"whole number from {self.least} to {self.most}"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text.strip()):
            raise ValueError(f"expected a {self.words}, not {text!r}")
        return self.accept(int(text))

    def accept(self, value: Any) -> int:
        if type(value) is not int or not self.least <= value <= self.most:
            raise ValueError(f"expected a {self.words}, not {value!r}")
        return value


class Number(msgspec.Struct, frozen=True):
    """A number of seconds, or of anything else, between two bounds."""

    least: float
    most: float

    @property
    def words(self) -> str:
        return f"number from {self.least:g} to {self.most:g}"

    def parse(self, text: str) -> float:
        try:
            return self.accept(float(text))
        except ValueError:
            raise ValueError(f"expected a {self.words}, not {text!r}") from None

    def accept(self, value: Any) -> float:
        if type(value) not in {int, float} or not self.least <= value <= self.most:
            raise ValueError(f"expected a {self.words}, not {value!r}")
        return float(value)


class Flag(msgspec.Struct, frozen=True):
    """Yes or no."""

    @property
    def words(self) -> str:
        return "true or false"

    def parse(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in _YES | _NO:
            raise ValueError(f"expected {self.words}, not {text!r}")
        return word in _YES

    def accept(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"expected {self.words} without quotes, not {value!r}")  # noqa: TRY004 - one error class
        return value


class Choice(msgspec.Struct, frozen=True):
    """One of a few words."""

    options: tuple[str, ...]

    @property
    def words(self) -> str:
        return ", ".join(self.options[:-1]) + f" or {self.options[-1]}"

    def parse(self, text: str) -> str:
        return self.accept(text)

    def accept(self, value: Any) -> str:
        if value not in self.options:
            raise ValueError(f"expected {self.words}, not {value!r}")
        return str(value)


class FilePath(msgspec.Struct, frozen=True):
    """A path; `~` is the home directory. A relative one in a file counts from the file's directory."""

    @property
    def words(self) -> str:
        return "path"

    def parse(self, text: str) -> Path:
        return self.accept(text)

    def accept(self, value: Any) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError(f"expected a path, not {value!r}")
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise ValueError(f"the home directory in {value!r} is not known") from None


class Address(msgspec.Struct, frozen=True):
    """An IP address to listen on."""

    @property
    def words(self) -> str:
        return "IP address"

    def parse(self, text: str) -> str:
        return self.accept(text)

    def accept(self, value: Any) -> str:
        try:
            return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
        except ValueError:
            raise ValueError(f"expected an IP address such as 127.0.0.1, not {value!r}") from None


class HostNames(msgspec.Struct, frozen=True):
    """Host names or IP addresses, lower case; `dotted` refuses a name without a dot."""

    dotted: bool = False

    @property
    def words(self) -> str:
        return "host names or IP addresses" + (", each with a dot" if self.dotted else "")

    def parse(self, text: str) -> tuple[str, ...]:
        return self.accept([part.strip() for part in text.split(",")])

    def accept(self, value: Any) -> tuple[str, ...]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple):
            raise ValueError(f"expected a list of {self.words}, not {value!r}")  # noqa: TRY004 - one error class
        return tuple(dict.fromkeys(read_host_name(name, dotted=self.dotted) for name in names))


class Duration(msgspec.Struct, frozen=True):
    """Seconds, or a number with s, m, h or d; a sign is allowed."""

    @property
    def words(self) -> str:
        return "seconds, or a number with s, m, h or d, such as +2h"

    def parse(self, text: str) -> float:
        found = _DURATION.match(text.strip())
        if found is None:
            raise ValueError(f"expected {self.words}, not {text!r}")
        seconds = float(found[2]) * _SECONDS[found[3] or ""]
        return -seconds if found[1] == "-" else seconds

    def accept(self, value: Any) -> float:
        if type(value) in {int, float}:
            return float(value)
        return self.parse(value if isinstance(value, str) else "")


class SecretKey(msgspec.Struct, frozen=True):
    """A secret of so many bytes in Base64; no message ever shows it."""

    least: int
    most: int

    @property
    def words(self) -> str:
        count = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        return f"Base64 of {count} bytes"

    def parse(self, text: str) -> Secret:
        return self.accept(text)

    def accept(self, value: Any) -> Secret:
        try:
            decoded = base64.b64decode(value if isinstance(value, str) else "", validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if not self.least <= len(decoded) <= self.most:
            raise ValueError(f"expected {self.words}")
        return Secret(value)


def read_host_name(value: Any, *, dotted: bool = False) -> str:
    """The name in lower case; raises ValueError where it is neither a host name nor an IP address."""
    name = value.lower() if isinstance(value, str) else ""
    if not _is_address(name) and (len(name) > 253 or not all(_HOST_LABEL.match(label) for label in name.split("."))):
        raise ValueError(f"expected a host name or IP address (no port, no wildcard), not {value!r}")
    if dotted and "." not in name:
        raise ValueError(f"{value!r} has no dot: the C and Java device SDKs refuse such a hub name")
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return "%" not in name
