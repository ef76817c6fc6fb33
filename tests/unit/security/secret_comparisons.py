"""Finds comparisons in a module's source that may take as long as a secret has right characters. It must not know which
module it reads.

A secret is what came out of `reveal()`, or a MAC (`hmac.new`, `hmac.digest`), or whatever was made of one in the same
function. Compared it may be by `hmac.compare_digest`, or as a `Secret`, whose `==` does that; its length is none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

_SOURCES = {"reveal", "hmac.new", "hmac.digest"}
# What comes out of these is no secret any more, or compares in constant time (a parsed token's signature is a Secret).
_SAFE = {"len", "bool", "Secret", "parse_sas", "public_key_der", "compare_digest", "hmac.compare_digest"}
_COMPARED_BY = {"startswith", "endswith", "find", "index", "count", "removeprefix", "partition", "__eq__"}
_OPERATORS = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def comparisons(source: str) -> list[int]:
    """The lines of those comparisons."""
    tree = ast.parse(source)
    outside = ast.Module([node for node in tree.body if not isinstance(node, (ast.ClassDef, *_FUNCTIONS))], [])
    scopes = [outside, *(node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS))]
    return sorted({line for scope in scopes for line in _in_scope(scope)})


def _in_scope(scope: ast.AST) -> Iterator[int]:
    secrets = _names(scope)
    for node in ast.walk(scope):
        match node:
            case ast.Compare():
                operands = [node.left, *node.comparators]
                pairs = zip(node.ops, operands, operands[1:], strict=False)
                if any(isinstance(op, _OPERATORS) and _holds(pair, secrets) for op, *pair in pairs):
                    yield node.lineno
            case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in _COMPARED_BY:
                if _holds([value, *node.args], secrets):
                    yield node.lineno
            case ast.Match():
                if _holds([node.subject], secrets):
                    yield node.lineno


def _names(scope: ast.AST) -> frozenset[str]:
    """The variables that a secret gets into, followed until there are no more."""
    names: frozenset[str] = frozenset()
    while True:
        found = names | {name for target, value in _assignments(scope) if _holds([value], names) for name in target}
        if found == names:
            return names
        names = found


def _assignments(scope: ast.AST) -> Iterator[tuple[list[str], ast.AST]]:
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=targets, value=value):
                yield [name for target in targets for name in _targets(target)], value
            case ast.AnnAssign(target=target, value=ast.AST() as value) | ast.NamedExpr(target=target, value=value):
                yield _targets(target), value
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                yield _targets(target), value


def _targets(target: ast.AST) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]


def _holds(nodes: Sequence[ast.AST], names: frozenset[str]) -> bool:
    return any(_is_secret(node, names) for node in nodes)


def _is_secret(node: ast.AST, names: frozenset[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in _SAFE:
            return False
        if called in _SOURCES or called.rpartition(".")[2] in _SOURCES:
            return True
    if isinstance(node, (ast.Compare, *_FUNCTIONS)):
        return False  # true or false, or looked at by itself
    return any(_is_secret(child, names) for child in ast.iter_child_nodes(node))
