"""Owns the three verdicts. Only this package may make an `Authenticated`; everyone else hands it on unread."""

from __future__ import annotations

from typing import Literal

import msgspec

from idscope.attestation.claim import Claim
from idscope.errors import ProvisioningError
from idscope.model.api_version import ApiVersion
from idscope.model.attestation import AttestationType, X509CertificateInfo
from idscope.secret import Secret
from idscope.security.keys import key_bytes
from idscope.security.tpm_activation import activation_blob
from idscope.security.tpm_public import TpmKey

KeySlot = Literal["primary", "secondary"]


class Proof(msgspec.Struct, frozen=True):
    """How the device proved itself: the mechanism, and which of the enrollment's two slots it used.

    `derived_for` is the spelling of the registration id over which a group's device derived its key, None where the
    key is the device's own. `thumbprint` (SHA-256, upper-case hex) and `certificate` are of the leaf that was shown,
    `signing_certificate` is that of the enrollment below which it was issued. Of a TPM `endorsement_key` is the
    enrolled one, `storage_root_key` the one for which it takes keys in, None where that is not known (both Base64).
    """

    mechanism: AttestationType
    slot: KeySlot
    derived_for: str | None = None
    thumbprint: str | None = None
    certificate: X509CertificateInfo | None = None
    signing_certificate: X509CertificateInfo | None = None
    endorsement_key: str | None = None
    storage_root_key: str | None = None


class Authenticated(msgspec.Struct, frozen=True):
    """A device that proved itself at the time `at`, against the enrollment in the state `enrollment_etag` and all that
    stands beside it (groups, CA certificates) at the service's `revision`.

    `group_key` is the key of the enrollment group that it entered by, None for an individual enrollment. The
    enrollment may be disabled: that is told by `register`, to a caller whose credential is good. The claim stays
    with it, so that a connection that lives on can be judged again once any of this changed.
    """

    service_id: str
    registration_key: str
    enrollment_id: str
    enrollment_etag: str
    group_key: str | None
    proof: Proof
    claim: Claim
    at: int
    revision: int = 0

    def asking(self, tracking_id: str, api_version: ApiVersion) -> Authenticated:
        """The same device with one request of its own, on the wires that authenticate once for many requests."""
        claim = msgspec.structs.replace(self.claim, tracking_id=tracking_id, api_version=api_version)
        return msgspec.structs.replace(self, claim=claim)


class Challenge(msgspec.Struct, frozen=True):
    """A TPM must prove itself first: by a token signed with the nonce, which only it can take in.

    `enrollment_id` is None where nobody looked yet whether there is one.
    """

    endorsement_key: TpmKey
    storage_root_key: TpmKey
    nonce: Secret
    id_scope: str
    enrollment_id: str | None

    def activation_blob(self) -> bytes:
        """The nonce, wrapped for the TPM; another blob each time."""
        nonce = key_bytes(self.nonce)
        return activation_blob(self.endorsement_key, self.storage_root_key, nonce, f"{self.id_scope}/registrations")


class Refused(msgspec.Struct, frozen=True):
    """`error` is what the device is told; its `reason` is for the operator only. `matched_enrollment` decided, an
    individual one or a group (`by_group`)."""

    error: ProvisioningError
    matched_enrollment: str | None = None
    by_group: bool = False


Verdict = Authenticated | Challenge | Refused
