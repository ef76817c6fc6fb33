"""Owns the rules of attestation that an operator may set. It must not know where they are set."""

from __future__ import annotations

from typing import Literal

import msgspec

RegistrationIdSource = Literal["common_name", "first_dns_name_or_common_name"]


class AttestationRules(msgspec.Struct, frozen=True, kw_only=True):
    """`x509_registration_id`: where a leaf holds the registration id; C# devices take the first DNS name if there is
    one. `refuse_weak_certificates`: RSA below 2048 bits, SHA-1, MD5."""

    refuse_weak_certificates: bool = True
    x509_registration_id: RegistrationIdSource = "common_name"
