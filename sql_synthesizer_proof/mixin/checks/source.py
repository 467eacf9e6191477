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
def words_in(*places: str) -> frozenset[str]:
    """Each name, each attribute as ``owner.attribute`` and each text in quotes in files or rooms of the service."""
    return frozenset().union(*(_words_of(file) for place in places for file in _files_in(place)))


@cache
def words_beside(*places: str) -> frozenset[str]:
    """The words of all other files of the service."""
    apart = {file for place in places for file in _files_in(place)}
    return frozenset().union(*(_words_of(file) for file in PACKAGE.rglob("*.py") if file not in apart))


def _files_in(place: str) -> list[Path]:
    path = PACKAGE / place
    return [path] if path.is_file() else [*path.rglob("*.py")]


@cache
def _words_of(file: Path) -> frozenset[str]:
    return frozenset(_find_words(ast.parse(file.read_text("utf-8"))))


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
