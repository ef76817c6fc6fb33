"""Owns the flags of enrollments, in the words of Azure's own command line. It must not know what they lead to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args

import click

from idscope.cli.completed_ids import Completion
from idscope.cli.enrollment_kinds import EnrollmentKind
from idscope.cli.given_values import (
    CERTIFICATE,
    JSON,
    TEXT,
    given_certificate,
    given_etag,
    given_object,
    given_registration_id,
    given_text,
)
from idscope.model.enrollment import AllocationPolicy, ProvisioningStatus

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

REPROVISION_POLICIES = ("reprovisionandmigratedata", "reprovisionandresetdata", "never")


def with_id(
    name: str, flags: Iterable[str], words: str, *, required: bool = True, complete: Completion | None = None
) -> Decorator:
    """Give a command an id, as its argument or as a flag; it arrives as `name`."""
    first = next(iter(flags))

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_one(*, argument: str | None, **given: Any) -> Any:
            if argument is not None and given[name] is not None:
                raise click.UsageError(f"The {words} is named twice.")
            given[name] = given[name] if argument is None else argument
            if required and given[name] is None:
                raise click.UsageError(f"Name the {words}: as the argument, or with {first}.")
            return function(**given)

        read: dict[str, Any] = {"callback": given_registration_id, "shell_complete": complete}
        option = click.option(*flags, name, metavar="ID", help=f"Id of the {words}.", **read)
        argument = click.argument("argument", required=False, metavar=f"[{name.upper()}]", **read)
        return argument(option(with_one))

    return decorate


def with_etag(function: F) -> F:
    """Give a command `--etag`."""
    option = click.option(
        "--etag", "-e", metavar="ETAG", callback=given_etag, help="Only if this is still its etag. [whatever it is]"
    )
    return option(function)


def with_show_keys(function: F) -> F:
    """Give a command `--show-keys`."""
    return click.option("--show-keys", "--keys", is_flag=True, help="Show symmetric keys in clear.")(function)


def with_attestation_type(kind: EnrollmentKind) -> Decorator:
    """Give a command `--attestation-type`, which is seldom needed."""
    return click.option(
        "--attestation-type",
        "--at",
        type=click.Choice(kind.attestation_types),
        help="How devices prove themselves. [x509 with a certificate or CA name, "
        f"{'tpm with an endorsement key, ' if kind.one_device else ''}else symmetricKey]",
    )


def with_removals(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that take certificates away."""
    secondary = _switch("--remove-secondary-certificate", "--rsc", about="Remove the secondary certificate or CA name.")
    return _switch("--remove-certificate", "--rc", about="Remove the primary certificate or CA name.")(
        secondary(function)
    )


def with_content(kind: EnrollmentKind) -> Decorator:
    """Give a command the flags of what an enrollment holds; one that is not given arrives as None."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed((*_attestation(kind), *_device(kind), *_hub_and_twin())):
            function = option(function)
        return function

    return decorate


def _attestation(kind: EnrollmentKind) -> Iterable[Decorator]:
    yield click.option("--primary-key", "--pk", metavar=TEXT, callback=given_text, help="Symmetric key. [one is made]")
    yield click.option("--secondary-key", "--sk", metavar=TEXT, callback=given_text, help="The other one, likewise.")
    whose = "device's own" if kind.one_device else "CA's"
    for name, short, which in (("certificate", "--cp", ""), ("secondary-certificate", "--scp", "secondary ")):
        yield click.option(
            f"--{name}-path",
            short,
            f"{name.replace('-', '_')}_path",
            type=click.Path(allow_dash=True),
            metavar=CERTIFICATE,
            callback=given_certificate,
            help=f"The {whose} {which}certificate (PEM or DER).",
        )
    for name, short, which in (("root-ca-name", "--cn", ""), ("secondary-root-ca-name", "--scn", "secondary ")):
        yield click.option(
            f"--{name}",
            f"--{name.replace('root-', '')}",
            short,
            name.replace("-", "_"),
            metavar="NAME",
            help=f"Name of a {which}CA certificate that was uploaded.",
        )
    if kind.one_device:
        yield click.option(
            "--endorsement-key", "--ek", metavar=TEXT, callback=given_text, help="The TPM's endorsement key (Base64)."
        )


def _device(kind: EnrollmentKind) -> Iterable[Decorator]:
    if kind.one_device:
        yield click.option("--device-id", "-d", metavar="ID", help="Device id at the hub. [the registration id]")
        yield click.option(
            "--device-information", "--info", metavar=JSON, callback=given_object, help="Anything, for your own use."
        )
    yield click.option(
        "--provisioning-status",
        "--ps",
        type=click.Choice(get_args(ProvisioningStatus)),
        help="Whether it lets devices in. [enabled]",
    )
    yield click.option(
        "--reprovision-policy",
        "--rp",
        type=click.Choice(REPROVISION_POLICIES),
        help="What becomes of a device's data when it comes to another hub.",
    )


def _hub_and_twin() -> Iterable[Decorator]:
    yield click.option("--allocation-policy", "--ap", type=click.Choice(get_args(AllocationPolicy)), help="Which hub.")
    yield click.option(
        "--iot-hubs", "--ih", multiple=True, metavar="NAME", help="A hub to choose from; again for another, or spaces."
    )
    yield click.option(
        "--iot-hub-host-name", "--hn", metavar="NAME", help="The one hub: short for a static allocation to it."
    )
    yield click.option(
        "--webhook-url", "--wh", metavar=TEXT, callback=given_text, help="What decides, with a custom allocation."
    )
    yield click.option("--api-version", "--av", metavar="VERSION", help="The webhook's api-version.")
    yield click.option(
        "--initial-twin-tags", "--tags", metavar=JSON, callback=given_object, help="Tags of a new device's twin."
    )
    yield click.option(
        "--initial-twin-properties", "--props", metavar=JSON, callback=given_object, help="Its desired properties."
    )
    yield _switch("--edge-enabled", "--ee", about="Whether devices are IoT Edge devices.")


def _switch(*names: str, about: str) -> Decorator:
    """A flag that may stand alone, or say true or false."""
    return click.option(
        *names, type=click.BOOL, is_flag=False, flag_value="true", default=None, metavar="[true|false]", help=about
    )
