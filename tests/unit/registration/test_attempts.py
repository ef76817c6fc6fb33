"""Attempts: kept in batches, bounded for known and for unknown ids, and never a reason for a device to wait."""

from __future__ import annotations

import asyncio

from idscope.attestation import Claim
from idscope.errors import Unauthorized
from idscope.model.api_version import CURRENT
from idscope.registration.attempts import AttemptRecorder, Run
from idscope.secret import Secret
from idscope.storage import AttemptRow, Put, Unit
from idscope.testing import MemoryStore
from idscope.testing.application import Application

SECRET = "SharedAccessSignature sr=x&sig=c2VjcmV0&se=1"


def attempt(number: int, *, known: bool, registration_id: str = "device"):
    claim = Claim(
        id_scope="0ne00ABCDEF",
        registration_id=registration_id,
        api_version=CURRENT,
        wire="Http",
        peer="127.0.0.9",
        tracking_id=f"attempt-{number:05}",
        sas=Secret(SECRET),
    )
    run = Run(claim, "0ne00ABCDEF", "authenticate", number, registration_id if known else None)
    return run.attempt("refused", number + 7, error=Unauthorized(reason="because"))


async def kept(store, bucket):
    return [row.attempt_id for row in await store.page(AttemptRow, ("0ne00ABCDEF", bucket), None, 1000)]


def record(attempts, **limits):
    async def inside():
        store = MemoryStore()
        recorder = AttemptRecorder(store, interval=0, **limits)
        for one in attempts:
            recorder.record(one)
        await recorder.close()
        return store

    return asyncio.run(inside())


def test_the_last_ones_of_a_known_id_are_kept():
    store = record([attempt(number, known=True) for number in range(25)], kept_per_id=10)
    assert asyncio.run(kept(store, "device")) == [f"attempt-{number:05}" for number in range(15, 25)]


def test_a_flood_of_unknown_ids_pushes_out_nothing_of_a_known_one():
    flood = [attempt(number, known=False, registration_id=f"x{number}") for number in range(1, 3000)]
    store = record([attempt(0, known=True), *flood], kept_unknown=100, capacity=5000)
    assert asyncio.run(kept(store, "device")) == ["attempt-00000"]
    unknown = asyncio.run(kept(store, ""))
    assert unknown[-1] == "attempt-02999"
    assert len(unknown) <= 100 + 500, "the bound, and one batch"


def test_what_does_not_fit_is_dropped_oldest_first():
    store = record([attempt(number, known=False) for number in range(50)], capacity=10)
    assert asyncio.run(kept(store, "")) == [f"attempt-{number:05}" for number in range(40, 50)]


def test_a_store_that_is_down_costs_the_batch_and_nothing_else():
    async def inside():
        store = MemoryStore()
        recorder = AttemptRecorder(store, interval=0)
        store.unavailable = "disk full"
        recorder.record(attempt(1, known=True))
        await recorder.close()
        store.unavailable = ""
        recorder.record(attempt(2, known=True))
        await recorder.close()
        return await kept(store, "device")

    assert asyncio.run(inside()) == ["attempt-00002"]


def test_an_attempt_says_what_happened_and_holds_no_secret():
    store = record([attempt(1, known=True)])
    (row,) = asyncio.run(store.page(AttemptRow, ("0ne00ABCDEF", "device"), None, 10))
    document = row.document.decode()
    for part in ('"reason":"because"', '"wire":"Http"', '"peer":"127.0.0.9"', '"error_code":401002', '"duration_us":7'):
        assert part in document
    assert "c2VjcmV0" not in document


def test_what_the_first_version_kept_can_still_be_explained():
    """A document as it was written before causes were kept."""
    old = (
        b'{"attempt_id":"6b2fbc5f-3c0e-4b9e-9d43-2f6b1d1a7f01","at":1700000000000000,"service_id":"0ne00ABCDEF",'
        b'"registration_id":"Device","registration_key":"device","known":false,"wire":"Http","peer":"192.0.2.1",'
        b'"api_version":"2021-06-01","verb":"authenticate","verdict":"refused","steps":[],"matched_enrollment":null,'
        b'"error_code":401002,"reason":"because","duration_us":7}'
    )
    row = AttemptRow(
        service_id="0ne00ABCDEF",
        bucket="",
        at=1_700_000_000_000_000,
        attempt_id="6b2fbc5f-3c0e-4b9e-9d43-2f6b1d1a7f01",
        registration_key="device",
        verdict="refused",
        document=old,
    )

    async def inside():
        async with Application() as app:
            await app.store.commit(Unit.of(Put(row)))
            return (await app.operator("GET", "/admin/registrations/DEVICE/attempts")).json()["attempts"]

    (attempt,) = asyncio.run(inside())
    assert (attempt["reason"], attempt["idScope"], attempt["steps"]) == ("because", "0ne00ABCDEF", [])
    assert not {"cause", "advice", "refusedStep", "enrollment"} & set(attempt)
