"""Owns the published files: examples, schemas, observed shapes, deviations. It must not know the server."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

HERE = Path(__file__).parent
OBSERVED: dict[str, Any] = json.loads((HERE / "observed.json").read_text())
DEVIATIONS: list[dict[str, Any]] = tomllib.loads((HERE / "deviations.toml").read_text())["deviation"]
SCHEMAS: dict[str, dict[str, Any]] = {
    name: json.loads((HERE / "schemas" / f"{name}.json").read_text())
    for name in ("service-2021-10-01", "device-2021-10-01", "device-2026-04-01", "control-plane-2022-12-12")
}
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})\Z")
_FORMATS = jsonschema.FormatChecker(())
_FORMATS.checks("date-time")(lambda value: not isinstance(value, str) or bool(_TIME.match(value)))


@dataclass(frozen=True)
class Example:
    """A sample request with its sample answers by status; `request` is None where none is printed."""

    title: str
    operation_id: str
    method: str
    path: str
    request: Any
    responses: dict[int, Any]


@dataclass(frozen=True)
class PublishedOperation:
    """One operation of a schema file, references not resolved."""

    schema: str
    operation_id: str
    method: str
    path: str
    definition: dict[str, Any]

    @property
    def success(self) -> dict[int, dict[str, Any]]:
        return {int(code): one for code, one in self.definition["responses"].items() if code != "default"}

    @property
    def body(self) -> dict[str, Any] | None:
        """The schema of the request body."""
        for parameter in self.definition["parameters"]:
            if parameter.get("in") == "body":
                schema: dict[str, Any] = parameter["schema"]
                return schema
        return None

    @property
    def headers(self) -> set[str]:
        """The request headers, in lower case."""
        return {one["name"].lower() for one in self.definition["parameters"] if one.get("in") == "header"}


def examples() -> list[Example]:
    found = []
    for path in sorted((HERE / "examples").glob("*.json")):
        one = json.loads(path.read_text())
        answers = {int(code): body for code, body in one["responses"].items()}
        found.append(Example(one["title"], one["operationId"], one["method"], one["path"], one.get("request"), answers))
    return found


def operations(schema: str) -> Iterator[PublishedOperation]:
    for path, methods in SCHEMAS[schema]["paths"].items():
        for method, definition in methods.items():
            yield PublishedOperation(schema, definition["operationId"], method.upper(), path, definition)


def resolved(schema: str, node: dict[str, Any]) -> dict[str, Any]:
    """The definition that a node refers to, or the node; the wrapper that the emitter makes for 202 is taken off."""
    while "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        node = SCHEMAS[schema]["definitions"][name]
        if set(node.get("properties", {})) == {"body"}:
            node = node["properties"]["body"]
    return node


def members(schema: str, node: dict[str, Any] | None) -> set[str]:
    """The paths of all members of a document, such as `attestation.tpm.endorsementKey`; free objects end a path."""
    return set() if node is None else set(_members(schema, node, ""))


def _members(schema: str, node: dict[str, Any], prefix: str) -> Iterator[str]:
    node = resolved(schema, node)
    if node.get("type") == "array":
        yield from _members(schema, node["items"], prefix)
        return
    if "additionalProperties" in node:
        return
    for name, child in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from _members(schema, child, f"{prefix}{name}.")


def problems(schema: str, node: dict[str, Any], document: Any) -> list[tuple[str, str]]:
    """Where a document breaks the published schema: path without indexes, and the keyword that it breaks.

    A member that the schema does not name breaks `additionalProperties`, and is named as the path's last part.
    """
    definitions = {name: _closed(one) for name, one in SCHEMAS[schema]["definitions"].items()}
    validator = jsonschema.Draft4Validator({**_closed(node), "definitions": definitions}, format_checker=_FORMATS)
    found = []
    for error in validator.iter_errors(document):
        path = ".".join(str(part) for part in error.absolute_path if not isinstance(part, int))
        if error.validator == "additionalProperties" and error.validator_value is False:
            path = ".".join(filter(None, (path, re.findall(r"'(\w+)' (?:was|were)", error.message)[-1])))
        found.append((path, str(error.validator)))
    return found


def _closed(node: Any) -> Any:
    """The schema node, refusing members that it does not name."""
    if isinstance(node, list):
        return [_closed(child) for child in node]
    if not isinstance(node, dict):
        return node
    if set(node.get("properties", {})) == {"body"}:
        return _closed(node["properties"]["body"])
    closed = {key: _closed(child) for key, child in node.items()}
    if "properties" in node and isinstance(node["properties"], dict) and "type" in node:
        closed.setdefault("additionalProperties", False)
    return closed


def deviations(kind: str) -> list[dict[str, Any]]:
    """The rows of one kind."""
    return [row for row in DEVIATIONS if row["kind"] == kind]
