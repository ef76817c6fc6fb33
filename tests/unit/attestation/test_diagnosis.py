"""The guesses at a wrong key: bounded, about nothing that is not for this registration, and never an admission."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

import pytest

from idscope.attestation import Candidates, Claim, GroupCandidate, Refused, diagnose, judge
from idscope.attestation import diagnosis as guesses
from idscope.model.api_version import CURRENT
from idscope.model.attestation import AttestationMechanism
from idscope.model.enrollment import EnrollmentGroup, IndividualEnrollment
from idscope.refusal import Cause
from idscope.secret import Secret
from idscope.testing.application import ID_SCOPE, sas_token

NOW = 1_700_000_000_000_000
EXPIRY = 1_700_003_600
SYMMETRIC = AttestationMechanism(type="symmetricKey")


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def derived(group_key: str, text: str) -> str:
    mac = hmac.new(base64.b64decode(group_key), text.encode(), hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def group(name: str, *keys: str) -> GroupCandidate:
    enrolled = EnrollmentGroup(enrollment_group_id=name, attestation=SYMMETRIC)
    return GroupCandidate(name, enrolled, "e", tuple(map(Secret, keys)))


def claim(token_key: str, registration_id: str = "Device-1", resource: str | None = None) -> Claim:
    named = resource or f"{ID_SCOPE}/registrations/{registration_id}"
    return Claim(
        id_scope=ID_SCOPE,
        registration_id=registration_id,
        api_version=CURRENT,
        wire="Http",
        peer="192.0.2.1",
        tracking_id="t",
        sas=Secret(sas_token(named, token_key, EXPIRY)),
    )


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("place", [0, 49, 99])
def test_the_group_is_named_whichever_it_is_and_whichever_key(place: int, slot: int) -> None:
    groups = [group(f"group-{number}", key(), key()) for number in range(100)]
    wrong = groups[place].keys[slot].reveal()
    why = diagnose(claim(wrong), Candidates("s", None, groups=tuple(groups)))
    assert why is not None
    assert (why.cause, why.facts["group"]) == (Cause.SIGNED_WITH_GROUP_KEY, f"group-{place}")


@pytest.mark.parametrize("spelling", ["DEVICE-1", "Device-1\n", "device-1"])
def test_a_spelling_that_is_not_the_devices_is_told_one_that_counts_is_none(spelling: str) -> None:
    one = key()
    candidates = Candidates("s", None, groups=(group("fleet", one),))
    presented = claim(derived(one, spelling))
    why = diagnose(presented, candidates)
    if spelling == "device-1":  # counts, so there is nothing to tell
        assert why is None
        assert not isinstance(judge(presented, candidates, NOW), Refused)
    else:
        assert why is not None
        assert why.cause is Cause.SIGNED_FOR_OTHER_SPELLING
        assert repr(spelling) in why.text


def test_the_spelling_that_the_token_names_is_tried() -> None:
    """One client lower-cases what it asks for, and derives over what it was configured with."""
    one = key()
    presented = claim(derived(one, "dEvIcE"), "device", f"{ID_SCOPE}/registrations/dEvIcE")
    why = diagnose(presented, Candidates("s", None, groups=(group("fleet", one),)))
    assert why is not None
    assert "derives for 'dEvIcE', and this is 'device'" in why.text


@pytest.mark.parametrize("resource", ["0ne00FFFFFF/registrations/Device-1", f"{ID_SCOPE}/registrations/other", "x"])
def test_a_token_for_something_else_is_not_guessed_at(resource: str) -> None:
    one = key()
    assert diagnose(claim(one, resource=resource), Candidates("s", None, groups=(group("fleet", one),))) is None


def test_whatever_is_guessed_admits_nobody() -> None:
    own, shared = key(), key()
    enrollment = IndividualEnrollment(registration_id="device-1", attestation=SYMMETRIC)
    fleet = (group("fleet", shared),)
    for enrolled, keys in ((None, ()), (enrollment, (Secret(own),))):
        candidates = Candidates("s", enrolled, "e", keys, fleet)
        for wrong in (shared, derived(shared, "DEVICE-1"), derived(own, "Device-1")):
            assert isinstance(judge(claim(wrong), candidates, NOW), Refused)


def test_the_work_is_bounded_however_many_groups_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []

    def counted(signature: bytes, secret: bytes, text: bytes) -> bool:
        tried.append(text)
        return not signature and not secret

    monkeypatch.setattr(guesses, "made_by", counted)
    groups = tuple(group(f"group-{number}", key(), key()) for number in range(300))
    assert diagnose(claim(key()), Candidates("s", None, groups=groups)) is None
    assert len(tried) == guesses.MAX_GUESSES


def test_a_signature_that_is_none_is_made_by_no_key() -> None:
    presented = claim(key())
    broken = f"SharedAccessSignature sr={ID_SCOPE}%2Fregistrations%2FDevice-1&sig=%00&se={EXPIRY}"
    presented = Claim(
        **{name: getattr(presented, name) for name in presented.__struct_fields__} | {"sas": Secret(broken)}
    )
    assert diagnose(presented, Candidates("s", None, groups=(group("fleet", key()),))) is None
