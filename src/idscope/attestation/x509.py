"""Owns attestation by certificate: the leaf names the device, and is enrolled itself or leads to who is.
It must not know where certificates were stored, nor how the handshake showed that the device holds the key.

An individual enrollment trusts what is enrolled in it. A group is met on the way up from the leaf, the nearest one
decides, and it needs a certificate that was uploaded and verified at its own or above.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from idscope.attestation.authorities import (
    Authorities,
    X509Group,
    client_thumbprints,
    reference_names,
    referred,
    signing_certificates,
)
from idscope.attestation.claim import Claim
from idscope.attestation.lookup import Candidates
from idscope.attestation.rules import AttestationRules
from idscope.attestation.verdict import KeySlot, Proof, Refused, Verdict
from idscope.errors import CaCertificateNotFound, InvalidCertificate, ProvisioningError, Unauthorized
from idscope.model.enrollment import IndividualEnrollment
from idscope.refusal import Cause, Reason
from idscope.security.certificate_chain import Path, find_paths, read_chain
from idscope.security.chain_certificate import ChainCertificate, ChainRefused
from idscope.security.path_validation import check_path


class _Trusted(NamedTuple):
    """A path, the position in it of the certificate that is trusted, and the slot of the enrollment that is met."""

    path: Path
    position: int
    slot: KeySlot


class _Met(NamedTuple):
    """A group that is met, at which position of a path, and by which certificate."""

    position: int
    certificate: ChainCertificate
    group: X509Group


def judge_individual(claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates, now: int) -> Verdict:
    """Authenticated where the leaf is enrolled, or was issued below what is enrolled or referred to."""
    if not claim.chain:
        sent, cause = "nothing", Cause.NO_CREDENTIAL
        if claim.sas is not None:
            sent, cause = "a token and no certificate", Cause.TOKEN_INSTEAD_OF_CERTIFICATE
        reason = Reason(cause, f"{sent} was sent, and the enrollment attests by certificate")
        return Refused(Unauthorized(reason=reason), enrollment.registration_id)
    try:
        proof = _prove_individual(claim, enrollment, candidates, now)
    except ChainRefused as refusal:
        return Refused(InvalidCertificate(reason=refusal.reason), enrollment.registration_id)
    except CaCertificateNotFound as error:
        return Refused(error, enrollment.registration_id)
    return candidates.let_in(claim, enrollment, proof, now)


def judge_groups(claim: Claim, candidates: Candidates, now: int) -> Verdict:
    """The first group decides whose certificate is met on the way from the leaf to the root, also where it is
    disabled."""
    matched: str | None = None
    try:
        leaf, presented = _presented(claim, candidates.rules)
        paths = find_paths(leaf, presented, candidates.authorities.pool)
        met = _nearest_group(paths, candidates.authorities)
        if met is None:
            return Refused(_why_no_group(paths, candidates.authorities))
        matched = met.group.group.enrollment_group_id
        proof = _prove_group(met, paths, candidates, now)
    except ChainRefused as refusal:
        return Refused(InvalidCertificate(reason=refusal.reason), matched, by_group=matched is not None)
    except CaCertificateNotFound as error:
        return Refused(error, matched, by_group=True)
    return candidates.let_in_by_group(claim, met.group, proof, now)


# What is common to both kinds of enrollment


def _presented(claim: Claim, rules: AttestationRules) -> tuple[ChainCertificate, Path]:
    """The leaf, which names the claimed id, and the others. Raises ChainRefused."""
    leaf, *others = read_chain(claim.chain)
    _check_registration_id(leaf, claim.registration_id, rules)
    return leaf, tuple(others)


def _check_registration_id(leaf: ChainCertificate, registration_id: str, rules: AttestationRules) -> None:
    """Compared without case in ASCII only: other letters may have an ASCII one as their lower case."""
    what = "common name"
    names = leaf.common_names
    if rules.x509_registration_id == "first_dns_name_or_common_name" and leaf.dns_names:
        what, names = "first DNS name", leaf.dns_names[:1]
    if len(names) != 1:
        text = f"{leaf.name} has {len(names)} common names, and the registration id is the one of the leaf"
        raise ChainRefused(text, Cause.COMMON_NAME_DIFFERS)
    if not names[0].isascii() or names[0].lower() != registration_id.lower():
        text = f"the {what} of the leaf is {names[0][:150]!r}, the registration id is {registration_id!r}"
        raise ChainRefused(text, Cause.COMMON_NAME_DIFFERS)


def _proof(leaf: ChainCertificate, slot: KeySlot, signing: ChainCertificate | None = None) -> Proof:
    return Proof(
        "x509",
        slot,
        thumbprint=leaf.thumbprint,
        certificate=leaf.info,
        signing_certificate=None if signing is None else signing.info,
    )


def _first_proof(trusted: Iterable[_Trusted], now: int, rules: AttestationRules) -> Proof | None:
    """The proof of the first path that holds, None where there is no path. Raises ChainRefused."""
    refusal: ChainRefused | None = None
    for path, position, slot in trusted:
        try:
            check_path(path[: position + 1], now, refuse_weak=rules.refuse_weak_certificates)
        except ChainRefused as error:
            refusal = refusal or error
            continue
        return _proof(path[0], slot, path[position])
    if refusal is not None:
        raise refusal
    return None


# Individual enrollments


def _prove_individual(claim: Claim, enrollment: IndividualEnrollment, candidates: Candidates, now: int) -> Proof:
    """Raises ChainRefused, CaCertificateNotFound."""
    rules, authorities = candidates.rules, candidates.authorities
    leaf, presented = _presented(claim, rules)
    slot = _client_slot(enrollment, leaf)
    if slot is not None:
        check_path((leaf,), now, refuse_weak=rules.refuse_weak_certificates)
        return _proof(leaf, slot)
    enrolled = signing_certificates(enrollment.attestation)
    slots = _verified_references(enrollment, authorities)
    slots |= {certificate.thumbprint: slot for slot, certificate in reversed(enrolled)}
    if not slots:
        raise _not_enrolled(leaf, enrollment)
    # What this enrollment trusts need not be known to any other.
    paths = find_paths(leaf, (*presented, *(certificate for _, certificate in enrolled)), authorities.pool)
    proof = _first_proof(_met_by(paths, slots), now, rules)
    if proof is None:
        text = f"the chain leads to no certificate of the enrollment: {_dead_end(paths)}"
        raise ChainRefused(text, Cause.CERTIFICATE_NOT_ENROLLED)
    return proof


def _client_slot(enrollment: IndividualEnrollment, leaf: ChainCertificate) -> KeySlot | None:
    slots = client_thumbprints(enrollment.attestation)
    return next((slot for slot, thumbprint in slots if thumbprint == leaf.thumbprint), None)


def _verified_references(enrollment: IndividualEnrollment, authorities: Authorities) -> dict[str, KeySlot]:
    found = reversed(referred(enrollment.attestation, authorities.uploaded))
    return {ca.thumbprint: slot for slot, ca in found if ca.is_verified}


def _not_enrolled(leaf: ChainCertificate, enrollment: IndividualEnrollment) -> ChainRefused | CaCertificateNotFound:
    names = [name for _, name in reference_names(enrollment.attestation)]
    if names:
        listed = ", ".join(repr(name) for name in dict.fromkeys(names))
        text = f"the enrollment refers to {listed}, not uploaded or not verified"
        return CaCertificateNotFound(reason=Reason(Cause.CA_NOT_VERIFIED, text))
    text = f"the certificate of {leaf.name} is none of those that are enrolled"
    return ChainRefused(text, Cause.CERTIFICATE_NOT_ENROLLED)


# Groups


def _nearest_group(paths: Iterable[Path], authorities: Authorities) -> _Met | None:
    """The one with the fewest steps from the leaf."""
    met = [
        _Met(position, certificate, authorities.groups[certificate.thumbprint])
        for path in paths
        for position, certificate in enumerate(path)
        if position and certificate.thumbprint in authorities.groups
    ]
    return min(met, key=lambda one: one.position, default=None)


def _prove_group(met: _Met, paths: tuple[Path, ...], candidates: Candidates, now: int) -> Proof:
    """Raises ChainRefused, CaCertificateNotFound."""
    thumbprint = met.certificate.thumbprint
    through = [path for path in paths if len(path) > met.position and path[met.position].thumbprint == thumbprint]
    slot = met.group.slots[thumbprint]
    verified = candidates.authorities.verified
    trusted = [
        _Trusted(path, position, slot)
        for path in through
        if (position := _first_verified(path, met.position, verified)) is not None
    ]
    proof = _first_proof(trusted, now, candidates.rules)
    if proof is None:
        raise CaCertificateNotFound(reason=_not_verified(met, tuple(through), candidates.authorities))
    return msgspec.structs.replace(proof, signing_certificate=met.certificate.info)


def _not_verified(met: _Met, paths: tuple[Path, ...], authorities: Authorities) -> Reason:
    """Where a certificate of the way up is uploaded, its name is a fact: it only waits to be verified."""
    text = (
        f"{met.certificate.name} of the group {met.group.group.enrollment_group_id!r} is not below a verified CA "
        f"certificate: {_dead_end(paths)}; {authorities.verified_names()}"
    )
    above = {certificate.thumbprint for path in paths for certificate in path[met.position :]}
    name = next((ca.name for ca in authorities.uploaded.values() if ca.thumbprint in above), None)
    if name is None:
        return Reason(Cause.CA_NOT_VERIFIED, text)
    return Reason(Cause.CA_UPLOADED_ONLY, f"{text}; {name} is uploaded and waits to be verified", {"ca": name})


def _first_verified(path: Path, start: int, verified: frozenset[str]) -> int | None:
    found = (position for position in range(start, len(path)) if path[position].thumbprint in verified)
    return next(found, None)


def _why_no_group(paths: tuple[Path, ...], authorities: Authorities) -> ProvisioningError:
    leads_to_verified = any(_first_verified(path, 1, authorities.verified) is not None for path in paths)
    text = f"no enrollment group holds a certificate of the chain: {_dead_end(paths)}; {authorities.verified_names()}"
    self_signed = paths[0][0].subject == paths[0][0].issuer
    if leads_to_verified or self_signed:
        cause = Cause.NO_GROUP_FOR_CHAIN if leads_to_verified else Cause.CERTIFICATE_NOT_ENROLLED
        return InvalidCertificate(reason=Reason(cause, text))
    last = _longest(paths)[-1]
    cause = Cause.CA_NOT_UPLOADED if last.subject == last.issuer else Cause.CHAIN_INCOMPLETE
    return CaCertificateNotFound(reason=Reason(cause, text))


def _met_by(paths: Iterable[Path], slots: Mapping[str, KeySlot]) -> Iterator[_Trusted]:
    for path in paths:
        for position, certificate in enumerate(path):
            if position and certificate.thumbprint in slots:
                yield _Trusted(path, position, slots[certificate.thumbprint])
                break


def _dead_end(paths: Iterable[Path]) -> str:
    """Where the longest way up ends, and why."""
    last = _longest(paths)[-1]
    if last.subject == last.issuer:
        return f"it ends at the self-signed {last.name}"
    return f"it stops at {last.name}, whose issuer {last.issuer_name} was neither sent nor uploaded"


def _longest(paths: Iterable[Path]) -> Path:
    return max(paths, key=len)
