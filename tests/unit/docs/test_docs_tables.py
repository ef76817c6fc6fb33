"""The reference tables say what the code says."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from markdown_pages import DOCS, ROOT, definitions, tables, text_of

from idscope.app.front_ends import OPERATOR_LISTENER_OPERATIONS, PUBLIC_OPERATIONS
from idscope.cli import main
from idscope.errors import ControlPlaneError, HubError, IdscopeError, every_error_class
from idscope.frontends.http.limits import HttpLimits
from idscope.frontends.http.operations import KIBIBYTE, Operation
from idscope.refusal import Cause
from idscope.registration.advice import advice_for
from idscope.storage import StoreUnavailable

REFERENCE = DOCS / "reference"
COMPATIBILITY = (ROOT / "README.md", REFERENCE / "compatibility.md")
MEBIBYTE = 1024 * KIBIBYTE
CLAIM = re.compile(r"\[(?P<word>works|replayed|stored)\]\[(?P<label>[\w-]+)\]")


# Errors


def documented_errors() -> Iterator[dict[str, str]]:
    for head, rows in tables(REFERENCE / "errors.md"):
        if "Class" in head:
            yield from rows


def as_documented(error: type[IdscopeError]) -> dict[str, str]:
    row = {
        "Class": error.__name__,
        "Code": str(error.error_code),
        "Status": str(error().status),
        "Message": error.default_message,
    }
    return row | ({"Code word": error.code_word} if issubclass(error, HubError | ControlPlaneError) else {})


def test_every_error_is_documented_with_its_code_status_and_message() -> None:
    # of the same code and message as its parent, and named in the text
    classes = [error for error in dict.fromkeys(every_error_class()) if error is not StoreUnavailable]

    documented = [{name: value for name, value in row.items() if name != "When"} for row in documented_errors()]

    assert sorted(documented, key=str) == sorted(map(as_documented, classes), key=str)


def test_every_error_says_when() -> None:
    assert all(row["When"] == "-" or row["When"].endswith(".") for row in documented_errors())


def test_an_error_documented_as_never_raised_is_not_raised() -> None:
    never = {row["Class"] for row in documented_errors() if row["When"] == "-"}
    raised = {
        word
        for module in (ROOT / "src" / "idscope").rglob("*.py")
        for word in re.findall(r"(?:raise|return|Refused\() ?(\w+)", module.read_text(encoding="utf-8"))
    }
    assert not never & raised


# Causes


def test_every_cause_is_documented_with_its_step_and_what_to_do() -> None:
    documented = [row for head, rows in tables(REFERENCE / "errors.md") if "Cause" in head for row in rows]

    assert documented == [
        {"Cause": cause.word, "Refused at": cause.step.value, "What to do": advice_for(cause.word, {})}
        for cause in Cause
    ]


# The REST API


def size(limit: int) -> str:
    return f"{limit // MEBIBYTE} MiB" if limit % MEBIBYTE == 0 else f"{limit // KIBIBYTE} KiB"


def as_row(operation: Operation) -> dict[str, str]:
    return {
        "Method": operation.method,
        "Path": operation.path,
        "Right": "-" if operation.right is None else operation.right.value,
        "Answers": ", ".join(str(status) for status in operation.responses),
        "Body up to": size(min(operation.body_limit, HttpLimits().body_bytes)),
        "What": operation.summary,
    }


def test_the_rest_api_page_has_every_operation() -> None:
    documented = [row for head, rows in tables(REFERENCE / "rest-api.md") if "Method" in head for row in rows]

    assert documented == [as_row(operation) for operation in (*PUBLIC_OPERATIONS, *OPERATOR_LISTENER_OPERATIONS)]


def test_the_rest_api_page_has_the_limits_of_the_http_layer() -> None:
    (limits,) = (
        {row["What"]: row["Limit"] for row in rows}
        for head, rows in tables(REFERENCE / "rest-api.md")
        if "Limit" in head
    )

    assert limits["Request target"] == size(HttpLimits().target_bytes)
    assert limits["Request headers"] == f"{size(HttpLimits().header_bytes)}, {HttpLimits().header_count} headers"
    assert limits["Any other body"] == size(HttpLimits().body_bytes)


# The command line


def flags_of(command: click.Command) -> str:
    own = [option for option in command.params if isinstance(option, click.Option)]
    names = [option.opts[0] for option in own if option.name in {"config", "json_wanted", "markdown_wanted"}]
    if not own:
        return "-"
    return ", ".join([*names, "and one for each [setting](settings.md)"])


def argument_of(command: click.Command) -> str:
    arguments: list[Any] = [each for each in command.params if isinstance(each, click.Argument)]
    if not arguments:
        return "-"
    if not isinstance(arguments[0].type, click.Choice):
        return ", ".join(each.human_readable_name for each in arguments)
    *choices, last = arguments[0].type.choices
    return f"{', '.join(choices)} or {last}"


def test_the_command_line_page_has_every_command() -> None:
    (documented,) = (rows for head, rows in tables(REFERENCE / "cli.md") if "Flags" in head)

    assert {row["Command"]: (row["Argument"], row["Flags"]) for row in documented} == {
        f"idscope {name}": (argument_of(command), flags_of(command)) for name, command in main.commands.items()
    }
    for row in documented:
        help_text = main.commands[row["Command"].removeprefix("idscope ")].help or ""
        assert help_text.startswith(row["What"].rstrip(".")), row


ENROLLMENTS = ("enrollment", "enrollment-group", "registration")


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word, child in command.commands.items():
        yield from leaves(child, f"{name} {word}")


def test_the_command_line_page_has_every_command_of_enrollments() -> None:
    (documented,) = (rows for head, rows in tables(REFERENCE / "cli.md") if head == ["Command", "What"])
    commands = {
        path: command for noun in ENROLLMENTS for path, command in leaves(main.commands[noun], f"idscope {noun}")
    }

    assert {row["Command"] for row in documented} == commands.keys()
    for row in documented:
        assert (commands[row["Command"]].help or "").startswith(row["What"]), row


def test_the_command_line_page_has_every_flag_of_an_enrollment() -> None:
    (documented,) = (rows for head, rows in tables(REFERENCE / "cli.md") if "Also" in head)
    everywhere = {one.name for one in leaf(main, "registration", "show").params}
    found: dict[str, set[str]] = {}
    for noun in ("enrollment", "enrollment-group"):
        for verb in ("create", "update"):
            for one in leaf(main, noun, verb).params:
                if isinstance(one, click.Option) and one.name not in everywhere:
                    names = sorted(one.opts, key=len, reverse=True)
                    found.setdefault(one.name or "", set()).update(names)

    written = {row["Flag"]: set(re.findall(r"--?[\w-]+", f"{row['Flag']} {row['Also']}")) for row in documented}

    assert sorted(map(sorted, written.values())) == sorted(map(sorted, found.values()))


def leaf(command: Any, *words: str) -> click.Command:
    for word in words:
        command = command.commands[word]
    found: click.Command = command
    return found


# Compatibility


@cache
def names_of_tests(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("page", COMPATIBILITY, ids=lambda page: page.name)
def test_what_is_said_to_work_names_a_test_that_exists(page: Path) -> None:
    cells = [cell for _, rows in tables(page) for row in rows for cell in row.values()]
    claims = [CLAIM.match(cell) for cell in cells if re.search(r"\b(?:works|replayed|stored)\b", cell)]

    assert claims
    for claim in claims:
        assert claim, "a cell that claims something begins with [works][label]"
        target, names = definitions(page)[claim["label"]]
        file = (page.parent / target).resolve()
        replayed = claim["word"] == "replayed"
        assert "captures" in file.stem if replayed else file.parent == ROOT / "tests" / "sdk"
        assert names
        assert set(names.split()) <= names_of_tests(file), names


@pytest.mark.parametrize("page", COMPATIBILITY, ids=lambda page: page.name)
def test_no_label_is_left_over(page: Path) -> None:
    assert all(f"][{label}]" in text_of(page) for label in definitions(page))


def test_the_versions_of_the_sdks_are_those_that_the_tests_install() -> None:
    sdk = ROOT / "tests" / "sdk"
    installed = json.loads((sdk / "node" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    installed |= re.findall(r"^([\w.-]+)==(\S+)$", (sdk / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)

    written = re.findall(r"`([\w-]+)` (\d[\w.]*)", text_of(REFERENCE / "compatibility.md"))

    assert written
    assert dict(written).items() <= installed.items()
