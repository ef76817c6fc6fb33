"""What architecture and decisions name in code spans is there: files, folders, classes, functions, settings."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from markdown_pages import DOCS, ROOT, code_spans

from idscope.settings import ROWS

SOURCE = ROOT / "src" / "idscope"
ARCHITECTURE = DOCS / "explanation" / "architecture.md"
PAGES = (ARCHITECTURE, *sorted((DOCS / "decisions").glob("*.md")))

A_PATH = re.compile(r"[\w./-]*(?:/|\.(?:py|sql|toml|md))")
A_NAME = re.compile(r"_?[A-Z]\w*[a-z]\w*(?:\.\w+)?|(?:[a-z_]\w*\.)?[a-z_]\w*\(\)")
MADE_AT_RUN_TIME = frozenset({"idscope.toml"})


@cache
def defined_names() -> frozenset[str]:
    """Classes, functions and constants of the package, and `Class.member`."""
    names: set[str] = set()
    for module in SOURCE.rglob("*.py"):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names |= {f"{node.name}.{member}" for member in _members(node)}
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
        names |= _members(tree)
    return frozenset(names)


def _members(body: ast.ClassDef | ast.Module) -> set[str]:
    assigned = [target for node in body.body if isinstance(node, ast.Assign) for target in node.targets]
    assigned += [node.target for node in body.body if isinstance(node, ast.AnnAssign)]
    functions = {node.name for node in body.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return functions | {target.id for target in assigned if isinstance(target, ast.Name)}


def paths_in(page: Path) -> list[str]:
    return sorted(span for span in code_spans(page) if A_PATH.fullmatch(span) and span not in MADE_AT_RUN_TIME)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_and_folder_exists(page: Path) -> None:
    missing = [path for path in paths_in(page) if not (SOURCE / path).exists() and not (ROOT / path).exists()]

    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_class_and_function_exists(page: Path) -> None:
    named = {span.removesuffix("()") for span in code_spans(page) if A_NAME.fullmatch(span)}

    assert not named - defined_names()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_exists(page: Path) -> None:
    flags = {span.split()[0] for span in code_spans(page) if span.startswith("--")}

    assert flags <= {row.flag for row in ROWS}


def test_the_architecture_names_every_package() -> None:
    packages = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    leaves = {path.name for path in SOURCE.glob("*.py") if not path.name.startswith("__")}

    assert {f"{name}/" for name in packages} | leaves <= code_spans(ARCHITECTURE)


def test_the_walk_is_long_enough_to_be_worth_checking() -> None:
    assert len(paths_in(ARCHITECTURE)) > 40
