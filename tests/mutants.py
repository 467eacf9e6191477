"""The small mistakes that could be made in the functions of a room, one at a time."""

from __future__ import annotations

import ast
import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

from tests.house import ROOT, SERVICE, sources

Part = ast.expr | ast.stmt | ast.ExceptHandler
Change = tuple[str, Part, Part]
"""What is changed, the part of the source that goes, and what stands there instead."""

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""A flipped comparison, and a boundary moved by one."""
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
CHANGE_CHARACTERS = 100
"""Longest change that is said in full; two that begin alike are told apart by their number."""


@dataclass(frozen=True)
class Mutant:
    """A file with one change; ``name`` tells it apart from all others, wherever the lines move."""

    path: str
    """Of the file, below the service's package."""
    function: str
    change: str
    old: Part = field(compare=False, repr=False)
    new: Part = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        return f"{self.path}: {self.function}: {self.change}"

    @property
    def lines(self) -> range:
        """The lines that are changed."""
        return range(self.old.lineno, (self.old.end_lineno or self.old.lineno) + 1)

    def source(self, original: str) -> str:
        """The text of the file after the change."""
        lines = original.encode().splitlines(keepends=True)  # positions in a syntax tree count bytes
        first, last = self.old.lineno - 1, (self.old.end_lineno or self.old.lineno) - 1
        before = b"".join(lines[:first]) + lines[first][: self.old.col_offset]
        after = lines[last][self.old.end_col_offset :] + b"".join(lines[last + 1 :])
        text = ast.unparse(ast.fix_missing_locations(self.new))
        text = f"({text})" if isinstance(self.old, ast.expr) else text.replace("\n", "\n" + " " * self.old.col_offset)
        return (before + text.encode() + after).decode()

    def diff(self, original: str) -> str:
        """The change as a patch shows it, without its head."""
        before, after = original.splitlines(keepends=True), self.source(original).splitlines(keepends=True)
        return "".join(list(difflib.unified_diff(before, after, n=0))[2:])


def _with(node: Any, **fields: Any) -> Any:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _constants(node: ast.Constant) -> Iterator[Change]:
    values: dict[type, Callable[[Any], tuple[Any, ...]]] = {
        bool: lambda value: (not value,),
        int: lambda value: (value - 1, value + 1),
        float: lambda value: (value * 2 or 1.0,),
        bytes: lambda value: (value + b"x",),
        str: lambda value: () if " " in value else (value + "x",),  # the wording of messages is no contract
    }
    for value in values.get(type(node.value), lambda _: ())(node.value):
        yield f"{node.value!r} -> {value!r}", node, ast.Constant(value)


def _comparisons(node: ast.Compare) -> Iterator[Change]:
    for place, operator in enumerate(node.ops):
        for other in COMPARISONS[type(operator)]:
            changed = _with(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
            yield f"{ast.unparse(node)}: {type(operator).__name__} -> {other.__name__}", node, changed


def _expressions(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Constant():
            yield from _constants(node)
        case ast.Compare():
            yield from _comparisons(node)
        case ast.BoolOp():
            other = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield f"{ast.unparse(node)} -> {other.__name__.lower()}", node, _with(node, op=other())
        case ast.UnaryOp(op=ast.Not()):
            yield f"{ast.unparse(node)}: not dropped", node, node.operand
        case ast.BinOp() if operator := ARITHMETIC.get(type(node.op)):
            change = f"{ast.unparse(node)}: {type(node.op).__name__} -> {operator.__name__}"
            yield change, node, _with(node, op=operator())


def _named(error: ast.expr | None) -> str:
    if error is None:
        return "anything"
    return ast.unparse(error.func if isinstance(error, ast.Call) else error)


def _is_empty(body: list[ast.stmt]) -> bool:
    return all(isinstance(node, ast.Pass) for node in body)


def _statements(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.If() | ast.While() | ast.IfExp() if not isinstance(node.test, ast.UnaryOp):
            yield f"{ast.unparse(node.test)}: negated", node.test, ast.UnaryOp(ast.Not(), node.test)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield f"{ast.unparse(value)}: None returned", value, ast.Constant(None)
        case ast.Raise():
            yield f"raise {_named(node.exc)}: swallowed", node, ast.Pass()
        case ast.ExceptHandler() if not _is_empty(node.body):
            yield f"except {_named(node.type)}: swallowed", node, _with(node, body=[ast.Pass()])
        case (
            ast.Expr(value=ast.Call())
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
            | (ast.AugAssign() | ast.Delete() | ast.Break() | ast.Continue())
        ):
            yield f"{ast.unparse(node)}: deleted", node, ast.Pass()


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What may be changed below a node: no annotation, no docstring, nothing within a text."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            is_text = isinstance(child, ast.JoinedStr) or (
                isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            )
            if isinstance(child, ast.AST) and not is_text:
                yield child
                yield from _nodes(child)


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The outermost functions and methods, by their qualified names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def mutants(room: str, root: Path = ROOT) -> dict[Mutant, float]:
    """Every mutant of a room with its weight: the lines of a function are shared by its mutants."""
    top = root / SERVICE
    found: dict[Mutant, float] = {}
    for path in sources(root):
        if top / room in path.parents or path == top / f"{room}.py":
            for name, function in _functions(ast.parse(path.read_text(encoding="utf-8"))):
                made = list(_mutants_of(path.relative_to(top).as_posix(), name, function))
                lines = (function.end_lineno or function.lineno) - function.lineno + 1
                found |= {mutant: lines / len(made) for mutant in made}
    return found


def _mutants_of(path: str, name: str, function: ast.AST) -> Iterator[Mutant]:
    """A change that can be made in several places is told apart by its number."""
    seen = Counter[str]()
    for node in _nodes(function):
        for said, old, new in (*_expressions(node), *_statements(node)):
            change = shorten(said, CHANGE_CHARACTERS, placeholder=" ...")
            seen[change] += 1
            yield Mutant(path, name, f"{change} ({seen[change]})" if seen[change] > 1 else change, old, new)


def choose(weights: dict[Mutant, float], count: int, seed: int) -> list[Mutant]:
    """Some of the mutants, drawn by weight without replacement.

    The draw of a mutant depends on its name alone, so that a change elsewhere leaves the choice as it is
    (Efraimidis and Spirakis: the largest u ** (1 / weight), here by its logarithm).
    """

    def draw(mutant: Mutant) -> float:
        digest = hashlib.sha256(f"{seed} {mutant.name}".encode()).digest()
        return math.log((int.from_bytes(digest[:8], "big") + 1) / 2**64) / weights[mutant]

    return sorted(weights, key=draw, reverse=True)[:count]
