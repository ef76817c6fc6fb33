"""Owns the child processes that hold the SDKs, and one face for the three service SDKs.

It must not know the server: it gets addresses, keys and the CA file, and hands back what the SDKs said.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE_MODULES = HERE / "node" / "node_modules"
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"

ANSWER_SECONDS = 60.0

Document = dict[str, Any]
Call = tuple[str, Document]  # operation, arguments


class SdkError(Exception):
    """What an SDK raised: the name of its class, its text, and the HTTP answer behind it where the SDK shows it."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.name = str(description["name"])
        self.message = str(description["message"])
        self.status: int | None = description["status"]
        self.body: str | None = description["body"]
        self.result: Any = description.get("result")
        super().__init__(f"{self.name} {self.status} {self.message} {self.body}")

    @property
    def error_code(self) -> int:
        """The catalogue's code in the answer's body."""
        assert self.body, f"no body: {self}"
        return int(json.loads(self.body)["errorCode"])


class Driver:
    """One child process: JSON lines in, JSON lines out, its stderr in a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log_file: Path) -> None:
        self.log_file = log_file
        self._ids = itertools.count(1)
        self._answers: queue.Queue[Document] = queue.Queue()
        self._answered: dict[int, Any] = {}
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment},
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def call(self, operation: str, **arguments: Any) -> Any:
        """One operation; returns its result or raises `SdkError`."""
        (answer,) = self.call_all([(operation, arguments)])
        if isinstance(answer, SdkError):
            raise answer
        return answer

    def call_all(self, calls: Sequence[Call]) -> list[Any]:
        """Several operations at once; an error is an `SdkError` in its place."""
        return self.answers(self.ask(calls))

    def ask(self, calls: Sequence[Call]) -> list[int]:
        """Begin several operations; `answers` waits for what this returned."""
        ids = [next(self._ids) for _ in calls]
        assert self._process.stdin is not None
        for number, (operation, arguments) in zip(ids, calls, strict=True):
            given = {name: value for name, value in arguments.items() if value is not None}
            line = json.dumps({"id": number, "operation": operation, "arguments": given})
            self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return ids

    def answers(self, ids: Sequence[int]) -> list[Any]:
        """What the operations came to, in their order."""
        while not self._answered.keys() >= set(ids):
            number, answer = self._next_answer()
            self._answered[number] = answer
        return [self._answered.pop(number) for number in ids]

    def log_text(self) -> str:
        """What the process wrote to its stderr."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def _next_answer(self) -> tuple[int, Any]:
        try:
            answer = self._answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise AssertionError(f"the SDK did not answer in {ANSWER_SECONDS} s\n{self.log_text()[-4000:]}") from None
        if not answer:
            raise AssertionError(f"the SDK's process ended\n{self.log_text()[-4000:]}")
        return answer["id"], SdkError(answer["error"]) if "error" in answer else answer["result"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put({})


def node_driver(ca_file: Path, log_file: Path, **environment: str) -> Driver:
    """The Node SDKs, trusting the CA the way Node documents: a variable read when the process starts."""
    assert NODE_MODULES.is_dir(), "the SDKs for Node are not installed: make test installs them"
    trust = {"NODE_EXTRA_CA_CERTS": str(ca_file)}
    return Driver(["node", str(HERE / "node" / "driver.js")], {**trust, **environment}, log_file)


def python_driver(ca_file: Path, log_file: Path) -> Driver:
    """The Python SDKs in their own environment, trusting the CA the way requests documents."""
    assert SDK_PYTHON.is_file(), "the SDKs for Python are not installed: make test installs them"
    trust = {"REQUESTS_CA_BUNDLE": str(ca_file), "SSL_CERT_FILE": str(ca_file)}
    return Driver([str(SDK_PYTHON), str(HERE / "python_driver.py")], trust, log_file)


@dataclass(frozen=True)
class Wire:
    """A device SDK and the transport that it is told to take."""

    sdk: str
    transport: str
    asynchronous: bool = False

    def __str__(self) -> str:
        return f"{self.sdk}-{'aio-' if self.asynchronous else ''}{self.transport}"

    @property
    def to_hub(self) -> Self:
        """How the same SDK goes on to the hub, which takes devices over MQTT only."""
        return replace(self, transport="MqttWs" if self.transport.endswith("Ws") else "Mqtt")

    def arguments(self) -> Document:
        """What the SDK's driver must be told."""
        return {"wire": self.transport, "asynchronous": self.asynchronous or None}


HTTPS = Wire("node", "Http")
NODE_WIRES = (HTTPS, *(Wire("node", transport) for transport in ("Mqtt", "MqttWs", "Amqp", "AmqpWs")))
PYTHON_WIRES = tuple(
    Wire("python", transport, asynchronous) for transport in ("Mqtt", "MqttWs") for asynchronous in (False, True)
)
WIRES = NODE_WIRES + PYTHON_WIRES


@dataclass(frozen=True)
class ServiceSdk:
    """One of the three service SDKs, asked in the words of the service API about one kind of enrollment."""

    name: str
    driver: Driver
    module: str
    connection_string: str = field(repr=False)
    kind: str = "individual"

    @property
    def groups(self) -> Self:
        """The same SDK, asked about enrollment groups."""
        return replace(self, kind="group")

    def put(self, enrollment: Document, if_match: str | None = None) -> Document:
        return self._document("put", enrollment=enrollment, if_match=if_match)

    def put_back(self, id: str) -> Document:  # noqa: A002
        """Read the enrollment and write it back with its etag, as a program does that changes one member."""
        if self.module == "older_service":
            return self._document("put_back", id=id)
        enrollment = self.get(id)
        return self.put(enrollment, if_match=enrollment["etag"])

    def get(self, id: str) -> Document:  # noqa: A002
        return self._document("get", id=id)

    def delete(self, id: str, if_match: str | None = None) -> None:  # noqa: A002
        self._of_kind("delete", id=id, if_match=if_match)

    def attestation(self, id: str) -> Document:  # noqa: A002
        return self._document("attestation", id=id)

    def query(self, page_size: int | None = None, query: str | None = None) -> list[list[Document]]:
        everything = {"individual": "SELECT * FROM enrollments", "group": "SELECT * FROM enrollmentGroups"}
        pages: list[list[Document]] = self._of_kind("query", query=query or everything[self.kind], page_size=page_size)
        return pages

    def bulk(self, mode: str, enrollments: Sequence[Document]) -> Document:
        return self._document("bulk", mode=mode, enrollments=list(enrollments))

    def get_state(self, registration_id: str) -> Document:
        return dict(self._call("get_state", id=registration_id))

    def delete_state(self, registration_id: str, if_match: str | None = None) -> None:
        self._call("delete_state", id=registration_id, if_match=if_match)

    def query_states(self, group: str, page_size: int | None = None, query: str | None = None) -> list[list[Document]]:
        """Only Node's SDK takes a query here."""
        pages: list[list[Document]] = self._call("query_states", id=group, page_size=page_size, query=query)
        return pages

    def _document(self, operation: str, **arguments: Any) -> Document:
        return dict(self._of_kind(operation, **arguments))

    def _of_kind(self, operation: str, **arguments: Any) -> Any:
        return self._call(operation, kind=self.kind, **arguments)

    def _call(self, operation: str, **arguments: Any) -> Any:
        arguments["connection_string"] = self.connection_string
        return self.driver.call(f"{self.module}.{operation}", **arguments)
