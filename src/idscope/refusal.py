"""Owns the words for why a device was refused: the step that refused, the cause, and the sentence with its facts.
It must not know how a cause is found, nor what an operator may do about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import takewhile
from types import MappingProxyType
from typing import Final

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Step(Enum):
    """One thing that is looked at while a device registers, in words for a person."""

    ID_SCOPE = "id scope"
    REGISTRATION_ID = "registration id"
    MECHANISM = "kind of credential"
    TOKEN = "form of the token"  # noqa: S105 - words for a person
    RESOURCE = "resource of the token"
    LIMIT = "limit of failed tries"
    SIGNATURE = "signature"
    EXPIRY = "expiry"
    CERTIFICATES = "form of the certificates"
    COMMON_NAME = "common name"
    ENDORSEMENT_KEY = "endorsement key"
    NONCE = "nonce"
    ENROLLED = "enrollment of the chain"
    AUTHORITY = "verified CA"
    VALIDITY = "rules for certificates"
    REQUEST = "request"
    ENROLLMENT = "enrollment"
    ALLOCATION = "choice of a hub"
    HUB = "hub"


_FIRST: Final = (Step.ID_SCOPE, Step.REGISTRATION_ID, Step.MECHANISM)
_BY_TOKEN: Final = (*_FIRST, Step.TOKEN, Step.RESOURCE, Step.SIGNATURE, Step.EXPIRY)
_BY_TPM: Final = (*_FIRST, Step.ENDORSEMENT_KEY, Step.TOKEN, Step.RESOURCE, Step.EXPIRY, Step.NONCE)
_THROTTLED: Final = (*_FIRST, Step.TOKEN, Step.RESOURCE, Step.LIMIT)
_BY_CHAIN: Final = (*_FIRST, Step.CERTIFICATES, Step.COMMON_NAME, Step.ENROLLED, Step.AUTHORITY, Step.VALIDITY)


def passed_before(refused: Step) -> tuple[str, ...]:
    """The steps that a credential had behind it when one refused; those after the proof are told as they happen."""
    order = next((order for order in (_BY_TOKEN, _BY_CHAIN, _BY_TPM, _THROTTLED) if refused in order), ())
    return tuple(step.value for step in takewhile(lambda step: step is not refused, order))


class Cause(Enum):
    """A kind of refusal, by the name that programs read, and the step at which it shows."""

    UNKNOWN_ID_SCOPE = ("unknown-id-scope", Step.ID_SCOPE)
    INVALID_REGISTRATION_ID = ("invalid-registration-id", Step.REGISTRATION_ID)
    NOT_ENROLLED = ("not-enrolled", Step.MECHANISM)
    NO_CREDENTIAL = ("no-credential", Step.MECHANISM)
    CERTIFICATE_INSTEAD_OF_TOKEN = ("certificate-instead-of-token", Step.MECHANISM)
    TOKEN_INSTEAD_OF_CERTIFICATE = ("token-instead-of-certificate", Step.MECHANISM)
    MECHANISM_ADMITS_NOBODY = ("mechanism-admits-nobody", Step.MECHANISM)
    TOKEN_MALFORMED = ("token-malformed", Step.TOKEN)
    TOKEN_OF_OTHER_SCOPE = ("token-of-other-scope", Step.RESOURCE)
    TOKEN_OF_OTHER_REGISTRATION = ("token-of-other-registration", Step.RESOURCE)
    TOKEN_OF_OTHER_RESOURCE = ("token-of-other-resource", Step.RESOURCE)
    TOKEN_KEY_NAME = ("token-key-name", Step.RESOURCE)
    TOO_MANY_FAILED_TRIES = ("too-many-failed-tries", Step.LIMIT)
    SIGNED_WITH_UNKNOWN_KEY = ("signed-with-unknown-key", Step.SIGNATURE)
    FITS_NO_GROUP = ("fits-no-group", Step.SIGNATURE)
    SIGNED_WITH_GROUP_KEY = ("signed-with-group-key", Step.SIGNATURE)
    SIGNED_FOR_OTHER_SPELLING = ("signed-for-other-spelling", Step.SIGNATURE)
    SIGNED_WITH_KEY_AS_TEXT = ("signed-with-key-as-text", Step.SIGNATURE)
    DERIVED_FROM_KEY_AS_TEXT = ("derived-from-key-as-text", Step.SIGNATURE)
    SIGNED_WITH_DERIVED = ("signed-with-derived-key", Step.SIGNATURE)
    SIGNED_OVER_OTHER_TEXT = ("signed-over-other-text", Step.SIGNATURE)
    TOKEN_EXPIRED = ("token-expired", Step.EXPIRY)
    CERTIFICATES_UNREADABLE = ("certificates-unreadable", Step.CERTIFICATES)
    COMMON_NAME_DIFFERS = ("common-name-differs", Step.COMMON_NAME)
    CERTIFICATE_NOT_ENROLLED = ("certificate-not-enrolled", Step.ENROLLED)
    CHAIN_INCOMPLETE = ("chain-incomplete", Step.ENROLLED)
    CA_NOT_UPLOADED = ("ca-not-uploaded", Step.ENROLLED)
    NO_GROUP_FOR_CHAIN = ("no-group-for-chain", Step.ENROLLED)
    CA_NOT_VERIFIED = ("ca-not-verified", Step.AUTHORITY)
    CA_UPLOADED_ONLY = ("ca-uploaded-only", Step.AUTHORITY)
    CERTIFICATE_EXPIRED = ("certificate-expired", Step.VALIDITY)
    CERTIFICATE_NOT_YET_VALID = ("certificate-not-yet-valid", Step.VALIDITY)
    CERTIFICATE_WEAK = ("certificate-weak", Step.VALIDITY)
    CERTIFICATE_AGAINST_RULES = ("certificate-against-rules", Step.VALIDITY)
    TPM_NOT_OVER_THIS_WIRE = ("tpm-not-over-this-wire", Step.MECHANISM)
    TPM_KEY_UNUSABLE = ("tpm-key-unusable", Step.ENDORSEMENT_KEY)
    TPM_KEY_DIFFERS = ("tpm-key-differs", Step.ENDORSEMENT_KEY)
    TPM_NONCE_DIFFERS = ("tpm-nonce-differs", Step.NONCE)
    CSR_NOT_SIGNED = ("csr-not-signed", Step.REQUEST)
    REGISTERS_ALREADY = ("registers-already", Step.REQUEST)
    ENROLLMENT_CHANGED = ("enrollment-changed", Step.ENROLLMENT)
    ENROLLMENT_DISABLED = ("enrollment-disabled", Step.ENROLLMENT)
    GROUP_DISABLED = ("group-disabled", Step.ENROLLMENT)
    NO_HUB = ("no-hub", Step.ALLOCATION)
    CUSTOM_ALLOCATION = ("custom-allocation", Step.ALLOCATION)
    HUB_UNREACHABLE = ("hub-unreachable", Step.HUB)
    HUB_REFUSED = ("hub-refused", Step.HUB)
    SERVER_UNAVAILABLE = ("server-unavailable", Step.REQUEST)

    def __init__(self, word: str, step: Step) -> None:
        self.word = word
        self.step = step


class Reason:
    """Why, in one sentence for the operator; `facts` are what advice about it names. No secret is in either."""

    __slots__ = ("cause", "facts", "text")

    def __init__(self, cause: Cause, text: str, facts: Mapping[str, str] = _NONE) -> None:
        self.cause = cause
        self.text = text
        self.facts = facts

    def __str__(self) -> str:
        return self.text


class CredentialRefused(Exception):
    """A credential is not good: raised where it is judged, with the reason for the operator."""

    default_cause: Cause

    def __init__(self, text: str, cause: Cause | None = None, **facts: str) -> None:
        super().__init__(text)
        self.reason = Reason(cause or self.default_cause, text, facts)
