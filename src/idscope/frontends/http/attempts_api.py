"""Owns the operator's rows of registration attempts: by registration id, or by the trackingId that a device saw.
It must not be reachable by devices: they learn only what the real service says.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from idscope.clock import format_time
from idscope.directory import Right
from idscope.errors import InvalidArgument, RouteNotFound
from idscope.events import Attempt
from idscope.frontends.http.answers import Answer
from idscope.frontends.http.operations import Request
from idscope.frontends.http.operator_api import OperatorUseCases, operator_row
from idscope.model.document import Document, encode, given
from idscope.model.enrollment import Enrollment
from idscope.model.registration import DeviceRegistrationState
from idscope.records import registration_state
from idscope.registration.advice import advice_for
from idscope.registration.explanation import LARGEST_PAGE, Explanation, Explanations, Place, Standing

DEFAULT_PAGE: Final = 10
_MAX_CONTINUATION: Final = 200
_GROUPS_SHOWN: Final = 20


class MatchedEnrollment(Document):
    """`kind`: "individual" or "group"."""

    id: str
    kind: str | UnsetType = UNSET


class AttemptDocument(Document):
    """One run. `steps` were passed, `refused_step` was not; what is unknown or does not apply is left out."""

    tracking_id: str
    time_utc: str
    verdict: str
    verb: str
    registration_id: str
    id_scope: str
    service: str | UnsetType
    wire: str
    address: str
    api_version: str
    enrollment: MatchedEnrollment | UnsetType
    steps: list[str]
    refused_step: str | UnsetType
    cause: str | UnsetType
    reason: str | UnsetType
    advice: str | UnsetType
    error_code: int | UnsetType
    duration_milliseconds: float


class EnrollmentStanding(Document):
    """An individual enrollment, or a group by which the id may enter, without its credentials."""

    id: str
    attestation: str
    enabled: bool


class StandingDocument(Document):
    """What there is of the id now. `groups` are the first of `group_count`, where no individual enrollment decides."""

    enrollment: EnrollmentStanding | UnsetType
    groups: list[EnrollmentStanding]
    group_count: int
    registration: DeviceRegistrationState | UnsetType
    under_way: bool


class ExplanationDocument(Document):
    registration_id: str
    service: str
    id_scope: str
    standing: StandingDocument
    attempts: list[AttemptDocument]
    continuation: str | UnsetType


class AttemptsDocument(Document):
    attempts: list[AttemptDocument]


async def registration_attempts(operator: OperatorUseCases, request: Request) -> Answer:
    explanations, registration_id = _explanations(operator), request.path["id"]
    explanation = await explanations.of_registration(
        registration_id,
        request.query.get("service"),
        _read_continuation(request.query.get("continuation")),
        _limit(request.query.get("limit")),
    )
    return Answer(200, encode(_document(explanations, registration_id, explanation)))


async def attempt_by_tracking_id(operator: OperatorUseCases, request: Request) -> Answer:
    explanations = _explanations(operator)
    attempts = await explanations.of_attempt(request.path["trackingId"])
    if not attempts:
        raise RouteNotFound(
            "No attempt is kept under this trackingId: it was pushed out by newer ones, or is not of a registration."
        )
    return Answer(200, encode(AttemptsDocument(attempts=[_attempt(explanations, each) for each in attempts])))


def _explanations(operator: OperatorUseCases) -> Explanations:
    if operator.explanations is None:
        raise RouteNotFound("This server keeps no attempts.")
    return operator.explanations


def _document(explanations: Explanations, registration_id: str, told: Explanation) -> ExplanationDocument:
    return ExplanationDocument(
        registration_id=registration_id,
        service=told.service.name,
        id_scope=told.service.service_id,
        standing=_standing(told.standing),
        attempts=[_attempt(explanations, each) for each in told.attempts],
        continuation=UNSET if told.next_page is None else _write_continuation(told.next_page),
    )


def _attempt(explanations: Explanations, attempt: Attempt) -> AttemptDocument:
    matched = attempt.matched_enrollment
    return AttemptDocument(
        tracking_id=attempt.attempt_id,
        time_utc=format_time(attempt.at),
        verdict=attempt.verdict,
        verb=attempt.verb,
        registration_id=attempt.registration_id,
        id_scope=attempt.id_scope or attempt.service_id,
        service=explanations.service_name(attempt.service_id) or UNSET,
        wire=attempt.wire,
        address=attempt.peer,
        api_version=attempt.api_version,
        enrollment=UNSET if matched is None else MatchedEnrollment(id=matched, kind=attempt.matched_kind or UNSET),
        steps=list(attempt.steps),
        refused_step=attempt.refused_step or UNSET,
        cause=attempt.cause or UNSET,
        reason=attempt.reason or UNSET,
        advice=advice_for(attempt.cause, attempt.facts) or UNSET,
        error_code=UNSET if attempt.error_code is None else attempt.error_code,
        duration_milliseconds=attempt.duration_us / 1000,
    )


def _standing(standing: Standing) -> StandingDocument:
    record = standing.enrollment
    groups = [each.enrollment for each in standing.groups] if record is None else []
    return StandingDocument(
        enrollment=UNSET if record is None else _enrollment(record.enrollment.registration_id, record.enrollment),
        groups=[_enrollment(each.enrollment_group_id, each) for each in groups[:_GROUPS_SHOWN]],
        group_count=len(groups),
        registration=UNSET if standing.registration is None else registration_state(standing.registration),
        under_way=standing.under_way,
    )


def _enrollment(name: str, enrollment: Enrollment) -> EnrollmentStanding:
    enabled = given(enrollment.provisioning_status) != "disabled"
    return EnrollmentStanding(id=name, attestation=enrollment.attestation.type, enabled=enabled)


def _limit(text: str | None) -> int:
    if not text:
        return DEFAULT_PAGE
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:10]) <= LARGEST_PAGE:
        raise InvalidArgument(f"limit must be a whole number from 1 to {LARGEST_PAGE}.")
    return int(text)


def _write_continuation(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _read_continuation(token: str | None) -> Place | None:
    """Raises InvalidArgument for a token that this server did not write."""
    if not token:
        return None
    try:
        place: Place = msgspec.json.decode(base64.urlsafe_b64decode(token[:_MAX_CONTINUATION]), type=Place)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidArgument("continuation is not a continuation token of this server.") from None
    return place


ATTEMPT_OPERATIONS: Final = (
    operator_row(
        "RegistrationAttempts_List",
        "/admin/registrations/{id}/attempts",
        registration_attempts,
        ExplanationDocument,
        "The last attempts of a registration id, newest first, why each was refused, and what stands now.",
        Right.SERVICE_CONFIG,
        query=("service", "limit", "continuation"),
    ),
    operator_row(
        "Attempt_Get",
        "/admin/attempts/{trackingId}",
        attempt_by_tracking_id,
        AttemptsDocument,
        "The attempt whose trackingId a device saw.",
        Right.SERVICE_CONFIG,
    ),
)
