"""Owns which values go together. It must not know how values are read, nor act on them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from idscope.settings.mistakes import Mistake
from idscope.settings.sources import Origin
from idscope.settings.table import Settings


def broken_rules(settings: Settings, origins: Mapping[str, Origin]) -> Iterator[Mistake]:
    """Every rule that the values break together."""

    def mistake(name: str, problem: str, advice: str) -> Mistake:
        return Mistake(f"{name} ({origins[name]})", problem, advice)

    def given(name: str) -> bool:
        return origins[name].source != "default"

    if (settings.certificate_file is None) != (settings.key_file is None):
        name, other = (
            ("certificate_file", "key_file") if settings.certificate_file else ("key_file", "certificate_file")
        )
        yield mistake(name, f"is given without {other}", "Give both, or neither for the own CA.")
    if settings.certificate_file and given("server_key_kind"):
        yield mistake("server_key_kind", "has no effect beside certificate_file", "Give one of the two.")
    if settings.azure_timing and given("retry_after_seconds"):
        yield mistake("retry_after_seconds", "azure_timing fixes it at 3", "Give one of the two.")
    if settings.test_clock_shift and not _is_loopback(settings.listen_address):
        yield mistake(
            "test_clock_shift",
            f"is refused on {settings.listen_address}: a shifted clock accepts expired credentials",
            "Set listen_address to a loopback address, such as 127.0.0.1.",
        )
    for name in settings.hub_host_names:
        if "." not in name:
            yield mistake(
                "hub_host_names",
                f"{name!r} has no dot: the C and Java device SDKs refuse such a hub name",
                "Set hub_host_names to a name with a dot or an IPv4 address.",
            )
    yield from _shared_ports(settings, origins)


def _shared_ports(settings: Settings, origins: Mapping[str, Origin]) -> Iterator[Mistake]:
    listeners = [
        ("https_port", settings.listen_address, settings.https_port),
        ("operator_port", settings.operator_address, settings.operator_port),
        ("operator_plain_port", settings.operator_address, settings.operator_plain_port),
    ]
    for index, (name, address, port) in enumerate(listeners):
        for other, other_address, other_port in listeners[:index]:
            if port and port == other_port and _overlap(address, other_address):
                yield Mistake(f"{name} ({origins[name]})", f"{port} is {other} as well", "Give each its own port.")


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _overlap(one: str, other: str) -> bool:
    return one == other or any(ipaddress.ip_address(each).is_unspecified for each in (one, other))
