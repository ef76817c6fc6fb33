"""What a query finds, by three judges: SQLite, the store in memory, and plain Python over the published documents."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tpm_samples import changed

from idscope.enrollments.query import COLLECTIONS
from idscope.model.registration import EnrollmentStatus
from idscope.records import Placement, RegistrationRecord, registration_row
from idscope.storage import CertificateThumbprintRow, EnrollmentGroupRow, EnrollmentRow, Put, RegistrationRow, Unit
from idscope.storage.sql import open_store
from idscope.testing.application import ID_SCOPE, Application
from idscope.testing.certificates import CertificateMaker

Document = dict[str, Any]

GROUP = "group-a"
PATHS = {
    "enrollments": "/enrollments/query",
    "enrollmentGroups": "/enrollmentGroups/query",
    "registrations": f"/registrations/{GROUP}/query",
}
IDS = {"enrollments": "registrationId", "enrollmentGroups": "enrollmentGroupId", "registrations": "registrationId"}

TEXT, NUMBER, TIME, BOOLEAN = "text", "number", "time", "boolean"
SHARED = {
    "provisioningStatus": ("enabled", "disabled"),
    "allocationPolicy": ("hashed", "geoLatency", "static", "custom"),
    "capabilities.iotEdge": BOOLEAN,
    "reprovisionPolicy.updateHubAssignment": BOOLEAN,
    "reprovisionPolicy.migrateDeviceData": BOOLEAN,
    "createdDateTimeUtc": TIME,
    "lastUpdatedDateTimeUtc": TIME,
    "attestation.type": ("none", "tpm", "x509", "symmetricKey"),
    "attestation.x509.caReferences.primary": TEXT,
    "attestation.x509.caReferences.secondary": TEXT,
    "attestation.x509.signingCertificates.primary.info.notAfterUtc": TIME,
    "attestation.x509.signingCertificates.primary.info.sha256Thumbprint": TEXT,
    "attestation.x509.signingCertificates.secondary.info.notAfterUtc": TIME,
    "attestation.x509.signingCertificates.secondary.info.sha256Thumbprint": TEXT,
}
STATE = {
    "status": ("unassigned", "assigning", "assigned", "failed", "disabled"),
    "substatus": ("initialAssignment", "deviceDataMigrated"),
    "assignedHub": TEXT,
    "deviceId": TEXT,
    "errorCode": NUMBER,
    "createdDateTimeUtc": TIME,
    "lastUpdatedDateTimeUtc": TIME,
}
FIELDS: dict[str, dict[str, Any]] = {
    "enrollments": {
        "registrationId": TEXT,
        "deviceId": TEXT,
        **SHARED,
        "attestation.x509.clientCertificates.primary.info.notAfterUtc": TIME,
        "attestation.x509.clientCertificates.primary.info.sha256Thumbprint": TEXT,
        "attestation.x509.clientCertificates.secondary.info.notAfterUtc": TIME,
        "attestation.x509.clientCertificates.secondary.info.sha256Thumbprint": TEXT,
        **{f"registrationState.{name}": kind for name, kind in STATE.items()},
    },
    "enrollmentGroups": {"enrollmentGroupId": TEXT, **SHARED},
    "registrations": {"registrationId": TEXT, **STATE},
}
WITHOUT_CASE = ("registrationId", "enrollmentGroupId", "assignedHub", "Thumbprint", "caReferences.primary", "secondary")


# The world: some of everything


def _pem(maker: CertificateMaker) -> str:
    return maker.certificate.public_bytes(Encoding.PEM).decode()


def _attestation(number: int, kind: str) -> Document:
    client = {"primary": {"certificate": _pem(CertificateMaker.self_signed(f"c{number}", days=(-1, 10 * number + 1)))}}
    if number % 2:
        client["secondary"] = {"certificate": _pem(CertificateMaker.self_signed(f"s{number}", days=(-1, 400 - number)))}
    signing = {"primary": {"certificate": _pem(CertificateMaker.authority(f"a{number}"))}}
    references = {"primary": f"Root-{number % 3}", **({"secondary": "root-1"} if number % 9 else {})}
    tpm = {"endorsementKey": changed(100, bytes([number, 0]))}
    choices: list[Document] = [
        {"type": "symmetricKey"},
        {"type": "x509", "x509": {"clientCertificates": client}},
        {"type": "x509", "x509": {"signingCertificates": signing}},
        {"type": "x509", "x509": {"caReferences": references}},
        {"type": "none"},
        {"type": "tpm", "tpm": tpm},
    ]
    usable = choices if kind == "enrollments" else [choices[0], *choices[2:5]]
    return usable[number % len(usable)]


def _enrollment(kind: str, number: int) -> Document:
    generator = random.Random(number)
    document: Document = {IDS[kind]: f"Device-{number:02}" if number % 2 else f"line:{number % 7}-{number}"}
    document["attestation"] = _attestation(number, kind)
    optional: Document = {
        "provisioningStatus": generator.choice(["enabled", "disabled", None]),
        "allocationPolicy": generator.choice(["hashed", "static", None]),
        "capabilities": generator.choice([{"iotEdge": True}, {"iotEdge": False}, {}, None]),
        "reprovisionPolicy": generator.choice(
            [{"updateHubAssignment": False, "migrateDeviceData": True}, {"migrateDeviceData": False}, None]
        ),
    }
    if kind == "enrollments":
        optional["deviceId"] = generator.choice([f"hub-{number % 4}", f"Hub-{number}", "it's", None])
    return document | {name: value for name, value in optional.items() if generator.random() < 0.7}


def _state(number: int, registration_id: str, group: str | None, now: int) -> RegistrationRecord:
    statuses: tuple[EnrollmentStatus, ...] = ("assigned", "failed", "disabled", "assigned")
    status = statuses[number % 4]
    return RegistrationRecord(
        registration_id=registration_id,
        registration_key=registration_id.lower(),
        status=status,
        mechanism="symmetricKey",
        etag=f"e{number}",
        created=now + number * 1000,
        updated=now + number * 1_000_001,
        substatus="deviceDataMigrated" if number % 3 else "initialAssignment",
        placement=Placement("h", "HUB-1.example" if number % 5 else "hub-2.example", f"dev-{number}"),
        error_code=400200 + number % 6 if status == "failed" else None,
        group_id=group,
    )


class World:
    """The same rows in both stores, and the documents that they are shown as."""

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        self._loop = loop
        self.memory = Application()
        self.sqlite = Application(store=open_store(folder / "idscope.db"))
        self.documents: dict[str, list[Document]] = {}

    async def fill(self) -> None:
        for app in (self.memory, self.sqlite):
            await app.__aenter__()
        app = self.memory
        for kind in ("enrollments", "enrollmentGroups"):
            for number in range(36):
                document = _enrollment(kind, number)
                answer = await app.service("PUT", f"/{kind}/{document[IDS[kind]]}", document)
                assert answer.status == 200, answer.body
                app.clock.advance(1.5)
        await self._register()
        await self._copy()
        enrollments = [
            await self._get(f"/enrollments/{_enrollment('enrollments', n)['registrationId']}") for n in range(36)
        ]
        groups = [
            await self._get(f"/enrollmentGroups/{_enrollment('enrollmentGroups', n)['enrollmentGroupId']}")
            for n in range(36)
        ]
        members = [await self._get(f"/registrations/member-{number}") for number in range(24)]
        self.documents = {"enrollments": enrollments, "enrollmentGroups": groups, "registrations": members}

    async def _get(self, path: str) -> Document:
        answer = await self.memory.service("GET", path)
        assert answer.status == 200, (path, answer.body)
        document: Document = answer.json()
        state = document.get("registrationState", document)
        if state.get("status") == "disabled":  # documented: it can be searched, though it is not shown
            key = state["registrationId"].lower()
            state["createdDateTimeUtc"] = self.created[key]
        return document

    async def _register(self) -> None:
        now, records = self.memory.clock.now(), []
        for number in range(36):
            if number % 3:
                spelled = _enrollment("enrollments", number)["registrationId"]
                records.append(_state(number, spelled, None, now))
        records += [_state(number, f"member-{number}", GROUP.upper(), now) for number in range(24)]
        records += [_state(number, f"other-{number}", "group-b", now) for number in range(5)]
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        self.created = {
            each.registration_key: (epoch + dt.timedelta(microseconds=each.created)).isoformat() for each in records
        }
        rows = [registration_row(ID_SCOPE, record) for record in records]
        await self.memory.store.commit(Unit(tuple(Put(row) for row in rows)))

    async def _copy(self) -> None:
        for kind in (EnrollmentRow, EnrollmentGroupRow, RegistrationRow, CertificateThumbprintRow):
            rows = await self.memory.store.page(kind, (ID_SCOPE,), None, 1000)
            assert rows
            await self.sqlite.store.commit(Unit(tuple(Put(row) for row in rows)))

    def ask(self, app: Application, kind: str, query: str, size: int) -> list[str]:
        return self._loop.run_until_complete(self._ask(app, kind, query, size))

    async def _ask(self, app: Application, kind: str, query: str, size: int) -> list[str]:
        """The ids of all pages."""
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            answer = await app.service("POST", PATHS[kind], {"query": query}, x_ms_max_item_count=str(size), **more)
            assert answer.status == 200, (query, answer.body)
            page = [document[IDS[kind]] for document in answer.json()]
            assert len(page) <= size
            found += page
            if "x-ms-continuation" not in answer.headers:
                return found
            assert page, "an empty page, and more to come"
            more = {"x_ms_continuation": answer.headers["x-ms-continuation"]}

    async def close(self) -> None:
        for app in (self.memory, self.sqlite):
            await app.__aexit__()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder, _loop() as loop:
        made = World(loop, Path(folder))
        loop.run_until_complete(made.fill())
        yield made
        loop.run_until_complete(made.close())


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


# The third judge: documents, in plain Python; None is neither true nor false


class Comparison(NamedTuple):
    field: str
    word: str  # a sign, IN, NOT IN, STARTSWITH, IS_DEFINED
    values: tuple[Any, ...]


Expression = Any  # a Comparison, ("NOT", e), ("AND", e, e …), ("OR", e, e …)


def value_in(document: Document, path: str) -> Any:
    found: Any = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def comparable(field: str, value: Any) -> Any:
    if field.endswith("Utc"):
        moment = dt.datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or dt.UTC)
    if isinstance(value, str) and any(field.endswith(name) for name in WITHOUT_CASE):
        return value.upper()
    return value


SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def judged(expression: Expression, document: Document) -> bool | None:
    if not isinstance(expression, Comparison):
        word, *parts = expression
        verdicts = [judged(part, document) for part in parts]
        if word == "NOT":
            return None if verdicts[0] is None else not verdicts[0]
        decisive = word == "OR"
        return decisive if decisive in verdicts else None if None in verdicts else not decisive
    found = value_in(document, expression.field)
    if expression.word == "IS_DEFINED":
        return found is not None
    if found is None:
        return None
    found = comparable(expression.field, found)
    values = [comparable(expression.field, value) for value in expression.values]
    match expression.word:
        case "IN":
            return found in values
        case "NOT IN":
            return found not in values
        case "STARTSWITH":
            return bool(found.startswith(values[0]))
    return SIGNS[expression.word](found, values[0])


# Queries at random, and how they are written


def written(expression: Expression, generator: random.Random) -> str:
    def some_case(word: str) -> str:
        return generator.choice([word, word.lower(), word.title()])

    blank = generator.choice([" ", "  ", "\n\t"])
    if isinstance(expression, Comparison):
        field, word, values = expression
        literals = [literal(value, generator) for value in values]
        match word:
            case "IS_DEFINED":
                return f"{some_case(word)}{blank}({field})"
            case "STARTSWITH":
                return f"{some_case(generator.choice([word, 'STARTS_WITH']))}({field},{blank}{literals[0]})"
            case "IN" | "NOT IN":
                opening, closing = generator.choice([("(", ")"), ("[", "]")])
                return f"{field} {some_case(word)}{blank}{opening}{', '.join(literals)}{closing}"
        return f"{field}{generator.choice(['', ' '])}{word}{generator.choice(['', blank])}{literals[0]}"
    word, *parts = expression
    inner = [f"({written(part, generator)})" for part in parts]
    if word == "NOT":
        return f"{some_case('NOT')} {inner[0]}"
    return f"{blank}{some_case(word)}{blank}".join(inner)


def literal(value: Any, generator: random.Random) -> str:
    if isinstance(value, bool):
        return generator.choice([str(value), str(value).lower(), str(value).upper()])
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def expressions(kind: str, documents: list[Document]) -> st.SearchStrategy[Expression]:
    """Values are mostly those that stand in some document, so that queries find something."""

    @st.composite
    def comparison(draw: st.DrawFn) -> Comparison:
        field, type_ = draw(st.sampled_from(sorted(FIELDS[kind].items(), key=str)))
        known = sorted({value_in(each, field) for each in documents} - {None})
        foreign: dict[str, list[Any]] = {
            TEXT: ["", "x", "ж"],
            NUMBER: [0, -1],
            TIME: ["2026-01-01", "1970-01-01T00:00:01.5+02:00"],
        }
        values = {BOOLEAN: [True, False]}.get(type_) or (
            list(type_) if isinstance(type_, tuple) else known + foreign[type_]
        )
        words = ["=", "!=", "<>", "IN", "NOT IN", "IS_DEFINED"]
        words += ["<", "<=", ">", ">="] if type_ in {TEXT, NUMBER, TIME} else []
        words += ["STARTSWITH"] if type_ == TEXT else []
        word = draw(st.sampled_from(words))
        if word == "IS_DEFINED":
            return Comparison(field, word, ())
        several = word in {"IN", "NOT IN"}
        chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3 if several else 1))
        if word == "STARTSWITH":
            chosen = [chosen[0][: draw(st.integers(0, 4))]]
        return Comparison(field, word, tuple(chosen))

    def joined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        several = st.lists(inner, min_size=2, max_size=3)
        return st.one_of(
            st.tuples(st.just("NOT"), inner),
            several.map(lambda parts: ("AND", *parts)),
            several.map(lambda parts: ("OR", *parts)),
        )

    return st.recursive(comparison(), joined, max_leaves=6)


@pytest.mark.parametrize("kind", PATHS)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_the_three_judges_agree(world: World, kind: str, data: st.DataObject) -> None:
    documents = world.documents[kind]
    expression = data.draw(expressions(kind, documents))
    generator = random.Random(data.draw(st.integers(0, 2**16)))
    query = f"SELECT * FROM {kind} WHERE {written(expression, generator)}"
    size = generator.choice([1, 3, 10, 100])

    in_sqlite = world.ask(world.sqlite, kind, query, size)

    assert in_sqlite == world.ask(world.memory, kind, query, size), query
    expected = [each[IDS[kind]] for each in documents if judged(expression, each)]
    assert sorted(in_sqlite) == sorted(expected), query


def test_every_field_is_judged_there_and_not_there(world: World) -> None:
    for collection in COLLECTIONS:
        fields = FIELDS[collection.name]
        assert {field.name for field in collection.fields} == set(fields)
        always = set()
        for field in fields:
            there = [value_in(each, field) is not None for each in world.documents[collection.name]]
            assert any(there), (collection.name, field)
            always |= {field} if all(there) else set()
        own = {IDS[collection.name], "createdDateTimeUtc", "lastUpdatedDateTimeUtc"}
        assert always - own <= {"attestation.type", "status", "registrationState.status"}
