"""Owns the one table of settings: a row each, with type, default, kind and help.
It must not know where a value comes from, nor what is done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_type_hints

import msgspec

from idscope.secret import STARS, Secret
from idscope.settings.kinds import (
    Address,
    Choice,
    Duration,
    FilePath,
    Flag,
    HostNames,
    Kind,
    Number,
    SecretKey,
    Whole,
)

Source: TypeAlias = Literal["flag", "environment", "file"]
ANYWHERE: Final[tuple[Source, ...]] = ("flag", "environment", "file")
ENVIRONMENT_PREFIX: Final = "IDSCOPE_"

_PORT: Final = Whole(1, 65535)
_SECONDS: Final = Number(0.05, 3600)


class About(msgspec.Struct, frozen=True):
    """What a row says beside name, type and default. `flag` where it is not the name with dashes."""

    help: str
    kind: Kind
    flag: str = ""
    sources: tuple[Source, ...] = ANYWHERE


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the process: where it listens, what it keeps where, its limits."""

    data_directory: Annotated[Path, About("Where everything is kept; made with mode 0700.", FilePath())] = Path(
        "idscope-data"
    )
    listen_address: Annotated[str, About("Address of the device, service and hub APIs.", Address())] = "127.0.0.1"
    host_names: Annotated[
        tuple[str, ...],
        About("Further names of the provisioning service, also put into its certificate.", HostNames(), "--host-name"),
    ] = ()
    hub_host_names: Annotated[
        tuple[str, ...],
        About(
            "Names of the embedded hubs, one hub each; where none is given: the listen address.",
            HostNames(dotted=True),
            "--hub-host-name",
        ),
    ] = ()
    https_port: Annotated[int, About("Port of the device, service and hub APIs.", _PORT)] = 443
    mqtt_port: Annotated[int, About("Port of MQTT for devices; 0: none.", Whole(0, 65535))] = 8883
    amqp_port: Annotated[int, About("Port of AMQP for devices; 0: none.", Whole(0, 65535))] = 5671
    operator_address: Annotated[str, About("Address of the operator listener.", Address())] = "127.0.0.1"
    operator_port: Annotated[int, About("Port of the operator listener (TLS).", _PORT)] = 9443
    operator_plain_port: Annotated[
        int, About("Port on which /healthz and /readyz also answer over plain HTTP; 0: none.", Whole(0, 65535))
    ] = 0
    workers: Annotated[int, About("Number of processes; one for each core is a good number.", Whole(1, 256))] = 1
    certificate_file: Annotated[
        Path | None, About("Your own server certificate with its chain (PEM), instead of the own CA's.", FilePath())
    ] = None
    key_file: Annotated[Path | None, About("The private key of certificate_file (PEM).", FilePath())] = None
    server_key_kind: Annotated[
        Literal["ecdsa", "rsa"],
        About(
            "Key of the certificate that the own CA issues: ECDSA P-256, or RSA 2048 at about twice the price a "
            "connection.",
            Choice(("ecdsa", "rsa")),
        ),
    ] = "ecdsa"
    azure_timing: Annotated[
        bool, About("Answer in the real service's rhythm: first `assigning`, Retry-After 3.", Flag())
    ] = False
    assign_wait_seconds: Annotated[
        float, About("How long a register request waits for its result before it answers `assigning`.", Number(0, 30))
    ] = 1.0
    retry_after_seconds: Annotated[
        int, About("Retry-After of an `assigning` answer; SDKs expect 2 to 5.", Whole(2, 5))
    ] = 2
    hub_retry_limit_seconds: Annotated[
        float, About("How long a hub that fails is asked again before the registration fails.", Number(0, 3600))
    ] = 60.0
    mqtt_connack_bad_credentials: Annotated[
        bool,
        About(
            "Refuse a bad credential at the MQTT CONNECT (CONNACK 5) instead of answering 401 on the response topic.",
            Flag(),
        ),
    ] = False
    strict_api_versions: Annotated[
        bool, About("Refuse every api-version that is not published, on the device API too.", Flag())
    ] = False
    refuse_weak_certificates: Annotated[
        bool,
        About("Refuse device and CA certificates with RSA keys below 2048 bits, or signed with SHA-1 or MD5.", Flag()),
    ] = True
    x509_registration_id: Annotated[
        Literal["common_name", "first_dns_name_or_common_name"],
        About(
            "Where a device's certificate holds its registration id; devices of the C# SDK take the first DNS name.",
            Choice(("common_name", "first_dns_name_or_common_name")),
        ),
    ] = "common_name"
    test_clock_shift: Annotated[
        float, About("For tests: run with a shifted clock; only on a loopback address.", Duration(), "--test-clock")
    ] = 0.0
    log_format: Annotated[
        Literal["auto", "human", "json"],
        About(
            "auto: for people on a terminal, JSON lines otherwise.",
            Choice(("auto", "human", "json")),
        ),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        About(
            "The least important lines that are written.",
            Choice(("debug", "info", "warning", "error")),
        ),
    ] = "info"
    sealing_key: Annotated[
        Secret | None,
        About(
            "Key that seals secrets in the store, instead of sealing.key in the data directory.",
            SecretKey(32, 32),
            sources=("environment",),
        ),
    ] = None
    drain_seconds: Annotated[
        float, About("How long a stopping server may finish what it accepted.", Number(0, 600))
    ] = 10.0
    max_connections: Annotated[int, About("Open connections of one worker.", Whole(1, 1_000_000))] = 10_000
    max_concurrent_handshakes: Annotated[
        int, About("TLS handshakes under way in one worker; further connections wait.", Whole(1, 100_000))
    ] = 200
    handshake_seconds: Annotated[float, About("Time for a TLS handshake.", _SECONDS)] = 10.0
    header_seconds: Annotated[float, About("Time for the head of a request, from its first byte.", _SECONDS)] = 10.0
    body_seconds: Annotated[float, About("Time for the body of a request.", _SECONDS)] = 30.0
    keep_alive_seconds: Annotated[float, About("How long an idle connection is kept.", _SECONDS)] = 75.0
    failed_group_tries_per_minute: Annotated[
        int,
        About(
            "Tokens from one address that may fit no symmetric-key group in a minute, for each worker, before unknown "
            "devices there get 429; 0: any number.",
            Whole(0, 1_000_000),
        ),
    ] = 300
    attempts_kept_per_id: Annotated[
        int, About("Registration attempts kept for each known registration id.", Whole(0, 10_000))
    ] = 10
    attempts_kept_unknown: Annotated[
        int, About("Registration attempts kept for all unknown registration ids together.", Whole(0, 10_000_000))
    ] = 10_000
    ready_file: Annotated[
        Path | None,
        About(
            "Written (mode 0600, JSON: ports, id scope, CA file, connection strings, admin token) once the server is "
            "up, removed when it stops.",
            FilePath(),
        ),
    ] = None


class Row(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    default: Any
    about: About

    @property
    def kind(self) -> Kind:
        return self.about.kind

    @property
    def flag(self) -> str | None:
        """`--https-port`; None where no flag may set it."""
        if "flag" not in self.about.sources:
            return None
        return self.about.flag or "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def repeatable(self) -> bool:
        """A list: its flag may be given several times."""
        return isinstance(self.default, tuple)


def show(value: Any) -> str:
    """A value for a person; secrets as stars, nothing as a dash."""
    match value:
        case Secret():
            return STARS
        case None | ():
            return "-"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case tuple():
            return ",".join(value)
        case _:
            return str(value)


def _rows() -> tuple[Row, ...]:
    hints = get_type_hints(Settings, include_extras=True)
    return tuple(
        Row(field.name, field.default, hints[field.name].__metadata__[0]) for field in msgspec.structs.fields(Settings)
    )


ROWS: Final = _rows()
