"""Owns the domain errors: each with its published code, a message safe to send, a private reason.

The HTTP status of an error is `error_code // 1000` (published rule). A front end turns an error into its wire form
in one place; nothing here knows a wire. Codes whose last three digits are unpublished end in 000.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from idscope.refusal import Cause, Reason


class IdscopeError(Exception):
    """Something a caller is told.

    `message` is safe to send to anyone; `reason` is for the operator (log, attempts) and is never sent, `why` is the
    same with its cause, where there is one; `info` is the published optional map of texts.
    """

    error_code: ClassVar[int]
    default_message: ClassVar[str]
    cause: ClassVar[Cause | None] = None
    retry_after: int | None = None  # seconds, where this very error knows them

    def __init__(
        self, message: str | None = None, *, reason: str | Reason = "", info: Mapping[str, str] | None = None
    ) -> None:
        self.message = self.default_message if message is None else message
        self.reason = str(reason)
        self.info = info
        self._why = reason if isinstance(reason, Reason) else None
        super().__init__(self.message)

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self.error_code // 1000

    @property
    def why(self) -> Reason | None:
        """The reason that was given with its cause, else the text with the cause of the class."""
        if self._why is None and self.cause is not None:
            return Reason(self.cause, self.reason or self.message)
        return self._why


class ProvisioningError(IdscopeError):
    """The branch of the device and service APIs of the provisioning service."""


class InvalidArgument(ProvisioningError):
    error_code = 400004
    default_message = "BadRequest"


class InvalidRegistrationId(InvalidArgument):
    default_message = "Invalid RegistrationId"
    cause = Cause.INVALID_REGISTRATION_ID


class InvalidETag(InvalidArgument):
    default_message = "ETag is invalid"


class MalformedJson(ProvisioningError):
    error_code = 400006
    default_message = "The request body is not valid JSON."


class UnsupportedApiVersion(InvalidArgument):
    default_message = "The api-version is missing or not supported."


class AllocationFailed(ProvisioningError):
    """The branch of what ends a registration as `failed`; `lasting` says that another try cannot help."""

    def __init__(self, message: str | None = None, *, reason: str | Reason = "", lasting: bool = False) -> None:
        super().__init__(message, reason=reason)
        self.lasting = lasting


class CustomAllocationFailed(AllocationFailed):
    error_code = 400207
    default_message = "Custom allocation failed."
    cause = Cause.CUSTOM_ALLOCATION


class NoHubAvailable(AllocationFailed):
    error_code = 400208
    default_message = "No IoT hub is available for this enrollment."
    cause = Cause.NO_HUB


class HubRefused(AllocationFailed):
    error_code = 400209
    default_message = "The IoT hub refused the provisioning service."
    cause = Cause.HUB_REFUSED


class Unauthorized(ProvisioningError):
    error_code = 401002
    default_message = "Unauthorized"


class TpmChallenged(Unauthorized):
    """A TPM is asked to prove itself: `authentication_key` (Base64) is for it alone; clients expect both members."""

    default_message = "Authorization required"

    def __init__(self, authentication_key: str = "", key_name: str = "registration") -> None:
        super().__init__(reason="a TPM was challenged")
        self.authentication_key = authentication_key
        self.key_name = key_name


class InvalidCertificate(Unauthorized):
    default_message = "Invalid certificate."


class CaCertificateNotFound(Unauthorized):
    default_message = "CA certificate not found."


class IdScopeNotFound(ProvisioningError):
    """Suffix not published; 000 by choice."""

    error_code = 404000
    default_message = "IdScope not found."
    cause = Cause.UNKNOWN_ID_SCOPE


class RouteNotFound(ProvisioningError):
    error_code = 404000
    default_message = "Resource not found."


class EnrollmentNotFound(ProvisioningError):
    error_code = 404201
    default_message = "Enrollment not found."


class RegistrationNotFound(ProvisioningError):
    error_code = 404202
    default_message = "Registration not found."


class EnrollmentGroupNotFound(ProvisioningError):
    error_code = 404204
    default_message = "EnrollmentGroup not found."


class MethodNotAllowed(ProvisioningError):
    """`allowed` lists the methods of the Allow header; empty where the path misses its id."""

    error_code = 405000
    default_message = "Method not allowed."

    def __init__(self, allowed: tuple[str, ...] = (), message: str | None = None) -> None:
        super().__init__(message)
        self.allowed = allowed


class RequestTimeout(ProvisioningError):
    error_code = 408000
    default_message = "The request did not arrive in time."


class EnrollmentExists(ProvisioningError):
    error_code = 409201
    default_message = "Enrollment already exists."


class EnrollmentGroupExists(ProvisioningError):
    error_code = 409202
    default_message = "EnrollmentGroup already exists."


class RegistrationConflict(ProvisioningError):
    error_code = 409203
    default_message = "Precondition failed."
    cause = Cause.REGISTERS_ALREADY


class PreconditionFailed(ProvisioningError):
    """The etag does not match; numeric suffix not published, 000 by choice."""

    error_code = 412000
    default_message = "Precondition failed: the ETag does not match."


class BodyTooLarge(ProvisioningError):
    error_code = 413000
    default_message = "The request body is too large."


class TargetTooLong(ProvisioningError):
    error_code = 414000
    default_message = "The request target is too long."


class UnsupportedMediaType(ProvisioningError):
    error_code = 415000
    default_message = "The content type must be application/json."


class UnsupportedWebSocketVersion(ProvisioningError):
    """RFC 6455, 4.2.2; suffix by choice."""

    error_code = 426000
    default_message = "Only version 13 of WebSocket is spoken here."


class Throttled(ProvisioningError):
    """Worth another try in `retry_after` seconds."""

    error_code = 429001
    default_message = "Operations are being throttled for this tenant."

    def __init__(
        self, message: str | None = None, *, reason: str | Reason = "", retry_after: int | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after


class HeadersTooLarge(ProvisioningError):
    error_code = 431000
    default_message = "The request headers are too large."


class InternalError(ProvisioningError):
    error_code = 500000
    default_message = "An internal error occurred. The operator finds it in the log by the trackingId."


class NotImplementedByServer(ProvisioningError):
    """Asked in HTTP for what this server does not do (an unknown transfer coding, say)."""

    error_code = 501000
    default_message = "Not implemented."


class ServiceUnavailable(ProvisioningError):
    """The store or the server cannot take the request now; nothing was changed."""

    error_code = 503000
    default_message = "The service cannot take the request now. Try again later."
    cause = Cause.SERVER_UNAVAILABLE


class HubError(IdscopeError):
    """The branch of the IoT Hub service API: a code word beside the number (`ErrorCode:DeviceNotFound;…`)."""

    code_word: ClassVar[str]
    cause = Cause.HUB_REFUSED


class HubArgumentInvalid(HubError):
    error_code = 400004
    code_word = "ArgumentInvalid"
    default_message = "BadRequest"


class HubDeviceDefinedTwice(HubError):
    error_code = 400011
    code_word = "DeviceDefinedMultipleTimes"
    default_message = "A device may be named only once in a bulk operation."


class HubUnauthorized(HubError):
    error_code = 401002
    code_word = "IotHubUnauthorizedAccess"
    default_message = "Unauthorized"


class HubTwinTooLarge(HubError):
    error_code = 403100
    code_word = "DeviceModelMaxPropertiesExceeded"
    default_message = "The twin is too large."


class HubQueueFull(HubError):
    error_code = 403004
    code_word = "DeviceMaximumQueueDepthExceeded"
    default_message = "The device's queue of cloud-to-device messages is full."


class HubDeviceNotFound(HubError):
    error_code = 404001
    code_word = "DeviceNotFound"
    default_message = "Device not found."


class HubDeviceNotOnline(HubError):
    error_code = 404103
    code_word = "DeviceNotOnline"
    default_message = "The operation failed because the requested device isn't online."


class HubDeviceExists(HubError):
    error_code = 409001
    code_word = "DeviceAlreadyExists"
    default_message = "The device is already registered."


class HubPreconditionFailed(HubError):
    error_code = 412001
    code_word = "PreconditionFailed"
    default_message = "Precondition failed."


class HubMessageTooLarge(HubError):
    error_code = 413001
    code_word = "MessageTooLarge"
    default_message = "The message is too large."


class HubTooManyDevices(HubError):
    error_code = 413002
    code_word = "TooManyDevices"
    default_message = "Too many devices in one bulk operation."


class HubThrottled(HubError):
    error_code = 429001
    code_word = "ThrottlingBacklogTimeout"
    default_message = "The hub is throttled."


class HubUnavailable(HubError):
    """The hub did not answer, or answered that it cannot now: worth another try."""

    error_code = 503000
    code_word = "ServiceUnavailable"
    default_message = "The hub cannot be reached."
    cause = Cause.HUB_UNREACHABLE


class HubGatewayTimeout(HubError):
    """The device took a method call and did not answer it in time."""

    error_code = 504101
    code_word = "GatewayTimeout"
    default_message = "Timed out waiting for the response from device."


class ControlPlaneError(IdscopeError):
    """The branch of the control plane (ARM): the name of the HTTP status beside the number, as .NET spells it."""

    code_word: ClassVar[str]


class InvalidCaCertificate(ControlPlaneError):
    error_code = 400000
    code_word = "BadRequest"
    default_message = "The certificate resource is not valid."


class ProofOfPossessionFailed(ControlPlaneError):
    error_code = 400053
    code_word = "BadRequest"
    default_message = "Proof-Of-Possession failed."


class ControlPlaneResourceNotFound(ControlPlaneError):
    """Suffix not published; 000 by choice."""

    error_code = 404000
    code_word = "NotFound"
    default_message = "Resource not found."


class ControlPlanePreconditionFailed(ControlPlaneError):
    error_code = 412001
    code_word = "PreconditionFailed"
    default_message = "Invalid ETag supplied."


def every_error_class(root: type[IdscopeError] = IdscopeError) -> Iterator[type[IdscopeError]]:
    """All classes of the tree that can be raised (the branches themselves are not)."""
    for child in root.__subclasses__():
        if "error_code" in child.__dict__ or hasattr(child, "error_code"):
            yield child
        yield from every_error_class(child)
