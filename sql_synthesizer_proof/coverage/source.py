"""What the source of the service says of itself: which errors a room raises, and which verbs there are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click

import sql_synthesizer
from sql_synthesizer.cli import VERBS, load_verb
from sql_synthesizer.errors import error_classes

PACKAGE = Path(sql_synthesizer.__file__).parent
REASON_OF = {cls.__name__: cls.reason for cls in error_classes()}
_CATCHES = {"isinstance", "suppress"}
"""Functions that are given classes of errors which others raise."""


def find_files(*rooms: str) -> Iterator[Path]:
    """The files of rooms, each named as a folder or a file of the package."""
    for room in rooms:
        place = PACKAGE / room
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


@cache
def raised_in(*rooms: str) -> frozenset[str]:
    """The reasons of the errors that the code of these rooms names, other than to catch them or in annotations."""
    return frozenset(
        REASON_OF[name]
        for path in find_files(*rooms)
        for name in _named_in(ast.parse(path.read_text(encoding="utf-8")))
        if name in REASON_OF
    )


def _named_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        yield node.id if isinstance(node, ast.Name) else node.attr
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _CATCHES:
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns") or (isinstance(node, ast.ExceptHandler) and name == "type"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                yield from _named_in(part)


def find_commands() -> Iterator[tuple[str, click.Command]]:
    """Each command of the command line that does something, by its words."""
    for verb in VERBS:
        command = load_verb(verb)
        if isinstance(command, click.Group):
            yield from ((f"{verb} {name}", below) for name, below in command.commands.items())
        elif command is not None:
            yield verb, command
