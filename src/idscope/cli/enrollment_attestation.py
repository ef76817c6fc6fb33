"""Owns the attestation that flags ask for: a new one, or what they change of a present one. It must not know which
command asks, nor any server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import click
import msgspec

from idscope.cli.enrollment_kinds import EnrollmentKind
from idscope.model.attestation import (
    AttestationMechanism,
    AttestationType,
    SymmetricKeyAttestation,
    TpmAttestation,
    X509Attestation,
    X509CAReferences,
    X509Certificates,
    X509CertificateWithInfo,
)
from idscope.model.document import UNSET, given
from idscope.secret import Secret

Flags = Mapping[str, Any]

_FILES: Final = ("certificate_path", "secondary_certificate_path")
_NAMES: Final = ("root_ca_name", "secondary_root_ca_name")
_REMOVALS: Final = ("remove_certificate", "remove_secondary_certificate")
_FITS: Final[Mapping[AttestationType, tuple[str, ...]]] = {
    "symmetricKey": ("primary_key", "secondary_key"),
    "x509": (*_FILES, *_NAMES, *_REMOVALS),
    "tpm": ("endorsement_key",),
    "none": (),
}


def new_attestation(kind: EnrollmentKind, flags: Flags) -> AttestationMechanism:
    """What the flags ask for; without any of them a symmetric key, which the service makes.

    Raises click.UsageError.
    """
    asked: AttestationType = flags["attestation_type"] or _implied(flags)
    _check_fit(asked, flags)
    if asked == "tpm" and flags["endorsement_key"] is None:
        raise click.UsageError("A TPM needs --endorsement-key.")
    return changed_attestation(kind, AttestationMechanism(type=asked), flags)


def _implied(flags: Flags) -> AttestationType:
    if _given(flags, _FITS["x509"]):
        return "x509"
    return "tpm" if _given(flags, _FITS["tpm"]) else "symmetricKey"


def attestation_is_asked_for(flags: Flags) -> bool:
    """Whether any flag changes how devices prove themselves."""
    return any(_given(flags, names) for names in _FITS.values())


def changed_attestation(kind: EnrollmentKind, present: AttestationMechanism, flags: Flags) -> AttestationMechanism:
    """The present one with what the flags change of it; what it has and they do not name stays. Raises
    click.UsageError."""
    _check_fit(present.type, flags)
    if present.type == "symmetricKey":
        keys = SymmetricKeyAttestation(
            primary_key=_key(flags, "primary_key"), secondary_key=_key(flags, "secondary_key")
        )
        return msgspec.structs.replace(present, symmetric_key=keys)
    if present.type == "tpm":
        return msgspec.structs.replace(present, tpm=TpmAttestation(endorsement_key=flags["endorsement_key"]))
    if present.type == "x509":
        return msgspec.structs.replace(present, x509=_x509(kind, given(present.x509), flags))
    return present


def _x509(kind: EnrollmentKind, present: X509Attestation | None, flags: Flags) -> X509Attestation:
    """Certificates or names of CAs, never both: whoever names the one kind leaves the other."""
    present = present or X509Attestation()
    if _given(flags, _FILES) and _given(flags, _NAMES):
        raise click.UsageError("Name certificates by file or by the names of uploaded CAs, not both.")
    by_name = _given(flags, _NAMES) or (given(present.ca_references) is not None and not _given(flags, _FILES))
    changed = _references(present, flags) if by_name else _certificates(kind, present, flags)
    if changed is None:
        raise click.UsageError(
            "X.509 needs a certificate: name one with --certificate-path, or an uploaded CA with --root-ca-name."
        )
    return changed


def _references(present: X509Attestation, flags: Flags) -> X509Attestation | None:
    stored = given(present.ca_references) or X509CAReferences()
    primary, secondary = (
        None if removed else flags[name] or given(slot)
        for name, slot, removed in zip(_NAMES, (stored.primary, stored.secondary), _removals(flags), strict=True)
    )
    if primary is None and secondary is None:
        return None
    return X509Attestation(ca_references=X509CAReferences(primary=primary or UNSET, secondary=secondary or UNSET))


def _certificates(kind: EnrollmentKind, present: X509Attestation, flags: Flags) -> X509Attestation | None:
    """Into the pair that is there, which the SDKs fill in ways that no flag does, otherwise into that of the kind."""
    pairs = ("client_certificates", "signing_certificates")
    name = next((one for one in pairs if given(getattr(present, one)) is not None), kind.certificates)
    stored: X509Certificates = given(getattr(present, name)) or X509Certificates()
    primary, secondary = (
        _slot(flags[path], given(slot), removed=removed)
        for path, slot, removed in zip(_FILES, (stored.primary, stored.secondary), _removals(flags), strict=True)
    )
    if primary is None and secondary is None:
        return None
    pair = X509Certificates(primary=primary or UNSET, secondary=secondary or UNSET)
    return X509Attestation(client_certificates=pair) if name == pairs[0] else X509Attestation(signing_certificates=pair)


def _slot(pem: str | None, stored: X509CertificateWithInfo | None, *, removed: bool) -> X509CertificateWithInfo | None:
    """A new certificate takes the place of one that is removed."""
    if pem is not None:
        return X509CertificateWithInfo(certificate=pem)
    return None if removed else stored


def _removals(flags: Flags) -> tuple[bool, bool]:
    first, second = (bool(flags.get(name)) for name in _REMOVALS)
    return first, second


def _key(flags: Flags, name: str) -> Any:
    return UNSET if flags[name] is None else Secret(flags[name])


def _check_fit(kind: AttestationType, flags: Flags) -> None:
    for other, names in _FITS.items():
        strange = _given(flags, names)
        if other != kind and strange:
            told = ", ".join(f"--{name.replace('_', '-')}" for name in strange)
            raise click.UsageError(f"{told}: not with the attestation {kind}.")


def _given(flags: Flags, names: Iterable[str]) -> list[str]:
    return [name for name in names if flags.get(name) not in (None, False)]
