"""Owns what a person needs after an enrollment was made: the values for the device. It must not know where it is
shown."""

from __future__ import annotations

from typing import Final

import msgspec

from idscope.cli.enrollment_content import Members
from idscope.cli.enrollment_kinds import EnrollmentKind
from idscope.cli.provisioning_service import ProvisioningService

_WIDTH: Final = 17


def next_steps(kind: EnrollmentKind, service: ProvisioningService, made: Members, *, keys_are_shown: bool) -> str:
    """Name and value of what the device must be told, and how the rest is got. Raises NoServer, Refused."""
    enrollment_id: str = msgspec.json.decode(made[kind.id_member])
    how = msgspec.json.decode(made["attestation"])["type"]
    rows = [
        ("id scope", service.facts.id_scope),
        ("registration id", enrollment_id if kind.one_device else "one for each device"),
        ("host", service.facts.host_name),
        ("CA to trust", service.server.ca_file or "that of the server"),
        *_credential(kind, service, enrollment_id, how, keys_are_shown=keys_are_shown),
    ]
    title = "The device needs:" if kind.one_device else "A device needs:"
    return "\n".join([title, *(f"  {name.ljust(_WIDTH)}{value}" for name, value in rows)])


def _credential(
    kind: EnrollmentKind, service: ProvisioningService, enrollment_id: str, how: str, *, keys_are_shown: bool
) -> list[tuple[str, str]]:
    if how == "none":
        return [("", "but this enrollment lets no device in: its attestation is none")]
    if how == "tpm":
        return [("TPM", "the one with this endorsement key")]
    if how == "x509" and kind.one_device:
        return [("certificate", "the one that is enrolled, with its key; its common name must be the registration id")]
    if how == "x509":
        return [
            ("certificate", "issued below the group's, its common name the registration id:"),
            ("", "idscope device-certificate create REGISTRATION_ID --ca FILE"),
            ("", f"A CA counts when it is verified: idscope certificate list{service.flags}"),
        ]
    if kind.one_device:
        shown = "primaryKey or secondaryKey, shown above"
        return [
            ("key", shown if keys_are_shown else f"idscope enrollment show {enrollment_id} --show-keys{service.flags}")
        ]
    return [
        ("key", "derived from the group's for its registration id:"),
        ("", f"idscope enrollment-group compute-device-key {enrollment_id} --registration-id ID{service.flags}"),
    ]
