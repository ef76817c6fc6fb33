"""A database of every schema that has landed is opened, brought up to date and read by the present code."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from idscope.model.attestation import (
    AttestationMechanism,
    X509Attestation,
    X509CAReferences,
    X509CertificateInfo,
    X509Certificates,
    X509CertificateWithInfo,
)
from idscope.model.enrollment import DeviceCapabilities, EnrollmentGroup, IndividualEnrollment, ReprovisionPolicy
from idscope.records import (
    EnrollmentRecord,
    Placement,
    RegistrationRecord,
    enrollment_row,
    group_row,
    registration_row,
)
from idscope.security.sealing import KEY_BYTES, Sealer
from idscope.storage import (
    AttemptRow,
    EnrollmentRow,
    Key,
    ProvisioningServiceRow,
    RegistrationRow,
    Row,
    ServerRow,
    key_of,
)
from idscope.storage.sql import open_store
from idscope.storage.sql.migration import bring_up_to_date, landed_migrations

SEALER = Sealer(bytes(KEY_BYTES))
FIRST_THAT_SEARCHES = 2

DUMPS = sorted(Path(__file__).parent.glob("schema_*.sql"))


@pytest.fixture(params=DUMPS, ids=lambda dump: dump.stem)
def old_database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    database = tmp_path / "store.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(request.param.read_text("utf-8"))
    return database


def schema_of(database: Path) -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in rows}


def test_every_landed_schema_has_its_dump() -> None:
    assert [dump.name for dump in DUMPS] == [f"schema_{step.version:04d}.sql" for step in landed_migrations()]


def test_an_old_database_ends_with_the_present_schema(old_database: Path, tmp_path: Path) -> None:
    asyncio.run(open_and_close(old_database))
    asyncio.run(open_and_close(tmp_path / "new.db"))
    assert schema_of(old_database) == schema_of(tmp_path / "new.db")


def test_an_old_database_keeps_its_rows(old_database: Path) -> None:
    asyncio.run(read(old_database))


async def open_and_close(database: Path) -> None:
    await open_store(database).close()


async def read(database: Path) -> None:
    store = open_store(database)
    try:
        found = await store.fetch(
            [
                Key(ServerRow, ("server-key",)),
                Key(ProvisioningServiceRow, ("other",)),
                Key(EnrollmentRow, ("0ne00000001", "tpm-1")),
                Key(RegistrationRow, ("0ne00000001", "ключ-'%_\\")),
            ]
        )
        server, service, enrollment, registration = found
        assert server.sealed == "v1:k:n:c"
        assert (service.document, service.revision) == (b'{"a":1}', 1)
        assert (enrollment.endorsement_key_hash, enrollment.created) == ("AB", 1684537845477793)
        assert (registration.document, registration.enrollment_group_key) == (bytes(range(256)), None)
        assert [row.registration_key for row in await store.expired_operations(0, 9)] == ["r"]
        attempts = await store.page(AttemptRow, ("a",), None, 9, order=AttemptRow.BY_ATTEMPT_ID)
        assert [(row.service_id, row.registration_key) for row in attempts] == [("0ne00000001", "r")]
        await store.check()
    finally:
        await store.close()


def test_what_is_searched_is_filled_in_for_rows_that_were_there_before(tmp_path: Path) -> None:
    """As the code of today would write it."""
    rows = rows_of_every_form()
    database = tmp_path / "store.db"
    bring_up_to_date(database, [step for step in landed_migrations() if step.version < FIRST_THAT_SEARCHES])
    with closing(sqlite3.connect(database)) as connection:
        for row in rows:
            columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({row.TABLE})")]
            marks = ", ".join("?" for _ in columns)
            values = [getattr(row, name) for name in columns]
            connection.execute(f"INSERT INTO {row.TABLE} ({', '.join(columns)}) VALUES ({marks})", values)
        connection.commit()
    assert asyncio.run(fetched(database, rows)) == rows


async def fetched(database: Path, rows: list[Row]) -> list[Row]:
    store = open_store(database)
    try:
        return await store.fetch([key_of(row) for row in rows])
    finally:
        await store.close()


def rows_of_every_form() -> list[Row]:
    """Enrollments, groups and registrations with all that is searched, with a part of it, and with nothing."""
    pair = X509Certificates(primary=slot("A1", "2031-02-28T23:59:59Z"), secondary=slot("B2", "1969-12-31T23:59:58Z"))
    one = X509Certificates(primary=slot("C3", "9999-12-31T23:59:59Z"))
    mechanisms = {
        "none": AttestationMechanism(type="none"),
        "null": AttestationMechanism(type="symmetricKey", x509=None),
        "client": AttestationMechanism(type="x509", x509=X509Attestation(client_certificates=pair)),
        "signing": AttestationMechanism(
            type="x509", x509=X509Attestation(signing_certificates=one, ca_references=None)
        ),
        "both": AttestationMechanism(
            type="x509", x509=X509Attestation(client_certificates=one, signing_certificates=pair)
        ),
        "ca": AttestationMechanism(
            type="x509", x509=X509Attestation(ca_references=X509CAReferences(primary="Root-1", secondary=None))
        ),
    }
    members: dict[str, Any] = {
        "provisioning_status": "disabled",
        "allocation_policy": "static",
        "capabilities": DeviceCapabilities(iot_edge=True),
        "reprovision_policy": ReprovisionPolicy(update_hub_assignment=False),
    }
    nulls = dict.fromkeys(members)
    rows: list[Row] = []
    for name, attestation in mechanisms.items():
        for suffix, more in (("some", members), ("null", nulls), ("less", {})):
            key = f"{name}-{suffix}"
            device_id: dict[str, Any] = {"device_id": f"Hub-{name}'s"} if more is members else {}
            single = IndividualEnrollment(registration_id=key, attestation=attestation, **device_id, **more)
            group = EnrollmentGroup(enrollment_group_id=key, attestation=attestation, **more)
            rows.append(enrollment_row("s", EnrollmentRecord(single, key, "e", 1, 2), SEALER))
            rows.append(group_row("s", EnrollmentRecord(group, key, "e", 1, 2), SEALER))
    placement = Placement("h", "HUB.example", "dev-ü")
    for status in ("assigned", "failed", "disabled"):
        for suffix, stands in (("at", placement), ("nowhere", None)):
            record = RegistrationRecord(
                registration_id=f"{status}-{suffix}",
                registration_key=f"{status}-{suffix}",
                status=status,
                mechanism="symmetricKey",
                etag="e",
                created=1,
                updated=2,
                substatus="initialAssignment",
                placement=stands,
                error_code=400209,
            )
            rows.append(registration_row("s", record))
    return rows


def slot(thumbprint: str, not_after: str) -> X509CertificateWithInfo:
    info = X509CertificateInfo(
        subject_name="CN=a",
        sha1_thumbprint="00",
        sha256_thumbprint=thumbprint,
        issuer_name="CN=b",
        not_before_utc="2020-01-01T00:00:00Z",
        not_after_utc=not_after,
        serial_number="01",
        version=3,
    )
    return X509CertificateWithInfo(certificate="AA==", info=info)
