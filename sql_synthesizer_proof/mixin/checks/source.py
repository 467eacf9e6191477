"""What the service's code says, so that a row of a table that nothing else speaks of is found."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import sql_synthesizer

PACKAGE = Path(sql_synthesizer.__file__).parent


def list_faults(subject: str, expected: Mapping[str, object]) -> Iterator[str]:
    """A line for each fault whose contrary does not hold."""
    yield from (f"{subject}: {fault}" for fault, holds in expected.items() if not holds)


@cache
def words_in(*files: str) -> frozenset[str]:
    """Each name, each attribute as ``owner.attribute`` and each text in quotes in some files of the service."""
    return frozenset(word for file in files for word in _find_words(ast.parse((PACKAGE / file).read_text("utf-8"))))


@cache
def words_beside(*files: str) -> frozenset[str]:
    """The words of all other files of the service."""
    every = (path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    return frozenset().union(*(words_in(file) for file in every if file not in files))


def _find_words(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        owner = node.value
        named = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
        yield f"{named}.{node.attr}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield repr(node.value)
    for name, child in ast.iter_fields(node):
        caught = isinstance(node, ast.ExceptHandler) and name == "type"  # who catches an error does not raise it
        for part in child if isinstance(child, list) else [child]:
            if isinstance(part, ast.AST) and not caught:
                yield from _find_words(part)
