"""The source of the product as data: files, rooms, imports, floors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVICE, PROOF = "sql_synthesizer", "sql_synthesizer_proof"
FACE_LINES = 40

FLOORS = {
    0: ("settings", "errors", "files", "model", "connecting"),
    1: ("telemetry",),
    2: ("guard", "schema", "synthesizer", "database", "cache", "store", "access", "demo"),
    3: ("service", "jobs"),
    4: ("wiring", "agent", "web", "webapp"),
    5: ("operate", "cli", "__main__"),
    6: (PROOF,),
}
"""Floor -> its rooms, as ``docs/architecture.md`` shows them."""
WING = ("monitoring", "audit", "security_audit")
"""Rooms that see floors 0 and 1 only, and that floor 4 and above see."""


@cache
def tree(path: Path) -> ast.Module:
    """The parsed source of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(node: ast.AST) -> Iterator[str]:
    """Every dotted name that imports below ``node`` may stand for, at the top of a file or inside a function."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


def sources(root: Path = ROOT) -> list[Path]:
    """The Python files of both packages."""
    return sorted(path for package in (SERVICE, PROOF) for path in (root / package).rglob("*.py"))


def room(path: Path, root: Path = ROOT) -> str:
    """The room of a file: what stands at the top of the service's package, or another folder at the root."""
    parts = path.relative_to(root).parts
    return parts[1].removesuffix(".py") if parts[0] == SERVICE else parts[0]


def room_of_name(name: str) -> str | None:
    """The room of a dotted name; None for what is not of this repository, and for the package itself."""
    first, _, rest = name.partition(".")
    if first == SERVICE:
        found = rest.partition(".")[0]
        return found if found and not found.startswith("__") else None
    return first if first in (PROOF, "benchmarks") else None


def rooms_below(path: Path, root: Path = ROOT) -> set[str]:
    """The other rooms that a file imports."""
    return {found for name in imported(tree(path)) if (found := room_of_name(name))} - {room(path, root)}


def is_face(path: Path) -> bool:
    """Whether a file is short, defines nothing and only hands on what others define."""
    kinds = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign)
    return len(path.read_text(encoding="utf-8").splitlines()) < FACE_LINES and all(
        isinstance(node, kinds) for node in tree(path).body
    )


def arrows(root: Path = ROOT) -> dict[str, set[str]]:
    """Room -> the rooms that it imports. The script ``run`` is a room, a face at the top of a package is none."""
    found: dict[str, set[str]] = {"run": set()}
    for path in [*sources(root), *sorted((root / "benchmarks").glob("*.py"))]:
        if path.parent.name != SERVICE or not is_face(path):
            found.setdefault(room(path, root), set()).update(rooms_below(path, root))
    return {name: {target for target in targets if target in found} for name, targets in found.items()}


def climb(below: dict[str, set[str]]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Room -> its floor, one above the highest that it imports, from 1; and the arrows that close a circle."""
    floors: dict[str, int] = {}
    upward: list[tuple[str, str]] = []

    def visit(name: str, trail: tuple[str, ...]) -> int:
        if name not in floors:
            heights = [0]
            for target in sorted(below[name]):
                if target in (*trail, name):
                    upward.append((name, target))
                else:
                    heights.append(visit(target, (*trail, name)))
            floors[name] = 1 + max(heights)
        return floors[name]

    for name in sorted(below):
        visit(name, ())
    return floors, upward
