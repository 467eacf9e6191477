"""The rules of the house: floors, borders and budgets, read off the source itself."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sql_synthesizer"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    0: ("settings", "errors", "model", "events", "spreadsheet"),
    1: ("facts", "telemetry", "traceparent", "testing"),
    2: ("guard", "schema", "synthesizer", "database", "cache", "store", "access", "demo"),
    3: ("service", "jobs"),
    4: ("wiring", "api", "pages", "officer", "webapp", "server"),
    5: ("proof", "cli", "__main__"),
}
WING = ("monitoring", "audit", "security_audit")
WATCHERS_ONLY = ("prometheus_client", "opentelemetry", "psutil")
LAZY = {"cli/__init__.py", "cli/session.py", "synthesizer/llm.py"}
"""Where importing inside a function is the point: verbs load when called, the model client when configured."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int | None:
    return next((number for number, names in FLOORS.items() if name in names), None)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


def own_rooms(path: Path) -> set[str]:
    found = {name.split(".")[1] for name in imports(tree(path)) if name.startswith("sql_synthesizer.")}
    return {name for name in found if not name.startswith("__")} - {room(path)}


ids = [str(path.relative_to(PACKAGE)) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_go_down(path: Path) -> None:
    name = room(path)
    if name == "__init__":
        assert not own_rooms(path)
    elif name in WING:
        allowed = {*FLOORS[0], *FLOORS[1], *WING}
        assert own_rooms(path) <= allowed, f"the wing sees floors 0 and 1 only, not {own_rooms(path) - allowed}"
    else:
        own = floor(name)
        assert own is not None, f"room {name} stands on no floor"
        for other in own_rooms(path) - set(WING):
            below = floor(other)
            assert below is not None, f"{name} imports unknown room {other}"
            assert below < own or (below == own and own in (0, 1, 4, 5)), f"{name} must not import {other}"
        if own < 4:
            assert not own_rooms(path) & set(WING), "rooms below floor 4 do not know the watchers"


def test_no_import_cycles() -> None:
    names = {".".join(("sql_synthesizer", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    edges = {
        name: {target for target in imports(tree(path)) if target in names} - {name} for name, path in names.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in edges[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_borders(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if room(path) != "settings":
        reads = re.search(r"os\.environ(?!\[\"PROMETHEUS_MULTIPROC_DIR\"\] = )|os\.getenv", text)
        assert reads is None, "only settings reads the environment"
    if room(path) not in WING:
        own = {"psutil"} if room(path) == "proof" else set()
        named = {name.split(".")[0] for name in imports(tree(path))} & set(WATCHERS_ONLY) - own
        assert not named, f"{named} may be named only in the wing"
    if str(path.relative_to(PACKAGE)) not in LAZY:
        functions = [n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        inner = [name for function in functions for name in imports(function)]
        assert not inner, f"imports stand at the top of the file: {inner}"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_budgets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    assert lines <= 400, f"{lines} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60 or node.name == "register", f"{node.name} has {length} lines"
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = sum(token.type == tokenize.COMMENT and "noqa" not in token.string for token in tokens)
    assert comments <= max(4, 0.07 * lines), f"{comments} comments in {lines} lines"


def test_serving_never_builds() -> None:
    """The mixin needs packages that only development has."""
    allowed = {PACKAGE / "cli" / "mixin.py"}
    for path in FILES:
        if "mixin" not in path.relative_to(PACKAGE).parts and path not in allowed:
            assert not [name for name in imports(tree(path)) if name.startswith("sql_synthesizer.monitoring.mixin")]


def test_size() -> None:
    """The whole stays small enough to be read; a higher number here is a decision."""
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in FILES}
    apart = [path for path in FILES if room(path) in ("synthesizer", "proof") or "mixin" in path.parts]
    assert sum(lines.values()) <= 31_500
    assert sum(lines[path] for path in FILES if path not in apart) <= 18_000


def test_project_speaks_of_the_product_only() -> None:
    pattern = re.compile(r"/work/|\.\./shared|issue #\d|pythonhosted|pypi\.org|this session", re.IGNORECASE)
    suffixes = {".py", ".md", ".toml", ".yml", ".yaml", ".html", ".js", ".css", ".sh", ".lock", ""}
    skipped = {
        ".git",
        ".venv",
        ".sql-synthesizer",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
    }
    for path in ROOT.rglob("*"):
        if path.is_file() and path.suffix in suffixes and not skipped & set(path.relative_to(ROOT).parts):
            if path == Path(__file__) or "vendor" in path.parts or path.name == "uv.lock":
                continue
            found = pattern.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert found is None, f"{path.relative_to(ROOT)}: {found}"
