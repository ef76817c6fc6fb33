"""Owns what an operator can do about a refusal: one table, a row for each cause. It must not know any one refusal but
by its facts.

`{name}` stands for a fact of the reason; where that is unknown, for the words in `_UNKNOWN`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from idscope.refusal import Cause

_UNKNOWN: Final[Mapping[str, str]] = {
    "registration_id": "REGISTRATION_ID",
    "group": "of the device",
    "enrollment": "of the device",
    "hub": "the hub",
    "ca": "NAME",
}

ADVICE: Final[Mapping[Cause, str]] = {
    Cause.UNKNOWN_ID_SCOPE: "Give the device the id scope of a service of this server; the server prints it when it "
    "starts, and GET /admin/status lists it.",
    Cause.INVALID_REGISTRATION_ID: "Use 1 to 128 of the letters A-Z and a-z, digits, and . _ : -, with a letter or "
    "digit first, and a letter, a digit or - last.",
    Cause.NOT_ENROLLED: "Create an individual enrollment with this registration id, or an enrollment group for it.",
    Cause.NO_CREDENTIAL: "Have the device send its token, or its certificate in the TLS handshake.",
    Cause.CERTIFICATE_INSTEAD_OF_TOKEN: "Configure the device for symmetric keys, or enroll it by its certificate.",
    Cause.TOKEN_INSTEAD_OF_CERTIFICATE: "Configure the device for its certificate, or enroll it by symmetric key.",
    Cause.MECHANISM_ADMITS_NOBODY: "Enroll the device by symmetric key, certificate or TPM.",
    Cause.TOKEN_MALFORMED: "Let an SDK make the token, or make it as SharedAccessSignature "
    "sr={id scope}%2Fregistrations%2F{registration id}&sig=...&se={seconds since 1970}&skn=registration.",
    Cause.TOKEN_OF_OTHER_SCOPE: "Use the same id scope for the token as for the request.",
    Cause.TOKEN_OF_OTHER_REGISTRATION: "Use the same registration id for the token as for the request.",
    Cause.TOKEN_OF_OTHER_RESOURCE: "Make the token for {id scope}/registrations/{registration id}, percent-encoded "
    "once. A token for a hub or for the service API is of no use here.",
    Cause.TOKEN_KEY_NAME: "Leave skn out of the token, or set it to 'registration'.",
    Cause.TOO_MANY_FAILED_TRIES: "Find the devices at this address whose keys fit no group: their attempts stand here "
    "too. The setting failed_group_tries_per_minute says how many are let pass.",
    Cause.SIGNED_WITH_UNKNOWN_KEY: "Compare the key on the device with the enrollment's keys; one that was replaced "
    "does not count any more.",
    Cause.FITS_NO_GROUP: "Enroll the device by itself, or compare its key with the one that its group derives: idscope "
    "device-key GROUP_KEY {registration_id}. A group's key that was replaced does not count any more.",
    Cause.SIGNED_WITH_GROUP_KEY: "Put the derived key on the device: idscope device-key GROUP_KEY {registration_id}. "
    "The group's own key belongs on no device.",
    Cause.SIGNED_FOR_OTHER_SPELLING: "Derive the key from the id exactly as the device sends it, or from that in lower "
    "case: idscope device-key GROUP_KEY {registration_id}.",
    Cause.SIGNED_WITH_KEY_AS_TEXT: "Decode the key from Base64 before it signs.",
    Cause.DERIVED_FROM_KEY_AS_TEXT: "Decode the group's key from Base64 before the device's key is derived from it: "
    "idscope device-key GROUP_KEY {registration_id} shows the result.",
    Cause.SIGNED_WITH_DERIVED: "Put the individual enrollment's own key on the device, or delete that enrollment if "
    "the device shall enter by its group.",
    Cause.SIGNED_OVER_OTHER_TEXT: "Sign the text of sr as it is sent, percent-encoded, then a line feed, then se.",
    Cause.TOKEN_EXPIRED: "Have the device make a new token, and check its clock.",
    Cause.CERTIFICATES_UNREADABLE: "Send DER certificates in the TLS handshake: the device's own, then its "
    "intermediates, no others.",
    Cause.COMMON_NAME_DIFFERS: "Issue a certificate whose subject has the registration id as its one common name, or "
    "have the device register with the name that it has. For C# devices see the setting x509_registration_id.",
    Cause.CERTIFICATE_NOT_ENROLLED: "Enroll this certificate or one above it, or have the device send the one that is "
    "enrolled.",
    Cause.CHAIN_INCOMPLETE: "Have the device send the missing intermediate certificates, or upload the missing issuer "
    "and verify it: idscope certificate create, then idscope certificate verify.",
    Cause.CA_NOT_UPLOADED: "Upload the CA certificate and prove that you hold its key: idscope certificate create, "
    "then idscope certificate verify. Then enroll a group with it or with an intermediate below it.",
    Cause.NO_GROUP_FOR_CHAIN: "Create an enrollment group with a CA certificate of this chain, or an individual "
    "enrollment with the device's certificate.",
    Cause.CA_NOT_VERIFIED: "Upload the root or an intermediate of the chain and prove that you hold its key: idscope "
    "certificate create, then idscope certificate verify. Or have the device send the missing intermediates.",
    Cause.CA_UPLOADED_ONLY: "Prove that you hold its key: idscope certificate verify {ca}.",
    Cause.CERTIFICATE_EXPIRED: "Issue a new certificate; if the server's clock is wrong, set that.",
    Cause.CERTIFICATE_NOT_YET_VALID: "Wait, or issue a certificate that is valid now; check the clocks of the CA and "
    "of the server.",
    Cause.CERTIFICATE_WEAK: "Issue the certificate anew: with RSA of 2048 bits or more or an elliptic curve, signed "
    "with SHA-256. The setting refuse_weak_certificates lets old ones in.",
    Cause.CERTIFICATE_AGAINST_RULES: "Issue the certificate named here anew, so that what it says of itself allows "
    "its use.",
    Cause.TPM_NOT_OVER_THIS_WIRE: "Have the device register over HTTPS or AMQP: no client has a TPM over MQTT.",
    Cause.TPM_KEY_UNUSABLE: "Use an endorsement key and a storage root key of RSA with 2048 bits, each as Base64 of a "
    "TPM2B_PUBLIC, as the SDKs make them.",
    Cause.TPM_KEY_DIFFERS: "Enroll the endorsement key of this very TPM: the enrollment has another one.",
    Cause.TPM_NONCE_DIFFERS: "Have the device begin anew: its token answers an older challenge, or none.",
    Cause.CSR_NOT_SIGNED: "Have the device register without a certificate signing request.",
    Cause.REGISTERS_ALREADY: "Nothing: the device may try again in a moment. Two devices with one registration id show "
    "like this too.",
    Cause.ENROLLMENT_CHANGED: "Nothing if the change was meant; otherwise compare the enrollment with the device.",
    Cause.ENROLLMENT_DISABLED: "Enable the individual enrollment {enrollment} (provisioningStatus) if the device shall "
    "come in.",
    Cause.GROUP_DISABLED: "Enable the enrollment group {group} (provisioningStatus) if its devices shall come in.",
    Cause.NO_HUB: "Link a hub that the enrollment allows, or let the enrollment name one that is linked (iotHubs).",
    Cause.CUSTOM_ALLOCATION: "Give the enrollment another allocation policy.",
    Cause.HUB_UNREACHABLE: "See that {hub} runs and can be reached from this server, then have the device register "
    "again.",
    Cause.HUB_REFUSED: "See what {hub} finds fault with: its quota, its policy's rights, the enrollment's twin.",
    Cause.SERVER_UNAVAILABLE: "Look at the server's log and disk; the device may try again.",
}

_BY_WORD: Final = {cause.word: advice for cause, advice in ADVICE.items()}


def advice_for(cause: str, facts: Mapping[str, str]) -> str:
    """What to do about a cause, by its word; "" where nothing is known of it."""
    text = _BY_WORD.get(cause, "")
    for name, unknown in _UNKNOWN.items():
        text = text.replace(f"{{{name}}}", facts.get(name, unknown))
    return text
