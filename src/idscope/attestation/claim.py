"""Owns the claim: what came from outside, before anything of it is believed. It must not know what makes it true."""

from __future__ import annotations

import msgspec

from idscope.events import Wire
from idscope.model.api_version import ApiVersion
from idscope.model.attestation import TpmAttestation
from idscope.secret import Secret


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A device's claim to be `registration_id` of `id_scope`, with its credentials as presented.

    `sas` is the whole authorization text; `chain` is DER, leaf first; `tpm` are the keys of a TPM. `nonce` is ours, not
    the device's: what a TPM on this very connection is challenged with, or was. `tracking_id` is told to the device
    with a refusal, `peer` is its address.
    """

    id_scope: str
    registration_id: str
    api_version: ApiVersion
    wire: Wire
    peer: str
    tracking_id: str
    sas: Secret | None = None
    chain: tuple[bytes, ...] = ()
    tpm: TpmAttestation | None = None
    nonce: Secret | None = None
