"""The rules of the house: floors, borders and budgets, read off the source itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sql_synthesizer.model.dialects import DIALECTS
from tests.house import FLOORS, PROOF, ROOT, WING, arrows, climb, imported, room, rooms_below, sources, tree

FILES = sources()
FLOOR = {name: number for number, names in FLOORS.items() for name in names}
FILE_LINES = 400
SAME_FLOOR = (0, 4, 5)
"""Floors whose rooms may import each other, without a circle."""
WATCHERS_ONLY = ("prometheus_client", "opentelemetry", "psutil")
MAY_NAME = {"operate": {"psutil"}, PROOF: {"psutil", "opentelemetry", "prometheus_client"}}
"""Beside the wing: who looks at processes from outside."""
LAZY = {
    "sql_synthesizer/__init__.py": ("sql_synthesizer.agent", "750 ms for any part of the package"),
    "sql_synthesizer/access/_limits.py": ("sql_synthesizer.connecting.redis_pool", "120 ms, and few settings name it"),
    "sql_synthesizer/cache/__init__.py": (
        "sql_synthesizer.cache._",
        "130 ms for Redis, 7 ms for Memcached",
    ),
    "sql_synthesizer/cli/__init__.py": (
        "sql_synthesizer.cli",
        "27 ms for keys, 87 ms for stack",
    ),
    "sql_synthesizer/cli/serve.py": (
        "sql_synthesizer.",
        "205 ms for the demo, 32 ms for metric files",
    ),
    "sql_synthesizer/cli/session.py": (
        "sql_synthesizer.",
        "600 ms, and the metrics directory comes first",
    ),
    "sql_synthesizer/cli/jobs.py": ("sql_synthesizer.web", "the metrics directory comes first"),
    "sql_synthesizer/cli/schedules.py": ("sql_synthesizer.web", "the metrics directory comes first"),
    "sql_synthesizer/cli/worker.py": ("sql_synthesizer.monitoring", "the metrics directory comes first"),
    "sql_synthesizer/database/urls.py": (
        "sql_synthesizer.database.",
        "253 ms for PostgreSQL's driver, 207 ms for MariaDB's",
    ),
    "sql_synthesizer/operate/child.py": ("psutil", "18 ms for serve, which asks for the descendants of nobody"),
    "sql_synthesizer/service/canary/questions.py": ("yaml", "14 ms for the web, which reads no canaries"),
    "sql_synthesizer/settings/database.py": ("yaml", "14 ms for every verb, and most have no file of databases"),
    "sql_synthesizer/store/__init__.py": ("sqlalchemy.dialects", "25 ms, and the store is a file by default"),
    "sql_synthesizer/web/server.py": ("sql_synthesizer.", "720 ms, loaded by the arbiter with garbage collection off"),
    "sql_synthesizer/wiring.py": (
        "sql_synthesizer.",
        "506 ms for the model with the package openai, 57 ms for spans",
    ),
    "sql_synthesizer_proof/coverage/mutate.py": (
        "sql_synthesizer_proof.coverage",
        "what it imports has to be changed first",
    ),
    "sql_synthesizer_proof/cli/mixin.py": ("sql_synthesizer_proof.mixin", "a row that does not fit is told in a line"),
}
"""File -> what its functions may import, and the measured reason: milliseconds of CPU after what is loaded anyway."""

every_file = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])


@every_file
def test_imports_go_down(path: Path) -> None:
    name, below = room(path), rooms_below(path)
    if name == "__init__":
        assert below == {"agent"}, "the package's own file hands on the agents, and nothing else"
    elif name in WING:
        allowed = {*FLOORS[0], *FLOORS[1], *WING}
        assert below <= allowed, f"the wing sees floors 0 and 1 only, not {below - allowed}"
    else:
        assert name in FLOOR, f"room {name} stands on no floor"
        own = FLOOR[name]
        for other in below - set(WING):
            assert other in FLOOR, f"{name} imports unknown room {other}"
            assert FLOOR[other] < own or (FLOOR[other] == own in SAME_FLOOR), f"{name} must not import {other}"
        if own < 4:
            assert not below & set(WING), "rooms below floor 4 do not know the watchers"


def test_no_circle_of_rooms() -> None:
    _, upward = climb(arrows())
    assert upward == []


def test_no_circle_of_files() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    _, upward = climb({name: {t for t in imported(tree(path)) if t in names} - {name} for name, path in names.items()})
    assert upward == []


@every_file
def test_borders(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if room(path) != "settings":
        reads = re.search(r"os\.environ(?!\[\"PROMETHEUS_MULTIPROC_DIR\"\] = )|os\.getenv", text)
        assert reads is None, "only settings reads the environment"
    if room(path) not in WING:
        named = {name.split(".")[0] for name in imported(tree(path))} & set(WATCHERS_ONLY)
        assert named <= MAY_NAME.get(room(path), set()), f"{named} may be named only in the wing"
    functions = [n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = {name for function in functions for name in imported(function)}
    allowed, _reason = LAZY.get(str(path.relative_to(ROOT)), ("", ""))
    unfounded = [name for name in inner if not (allowed and name.startswith(allowed))]
    assert not unfounded, f"imports stand at the top of the file: {unfounded}"
    assert "import_module" not in text, "what it loads has no type, and is seen by no rule of the house"


def test_an_engine_is_named_in_its_row_and_its_driver() -> None:
    optional = [row for row in DIALECTS.values() if row.extra]
    assert optional
    for row in optional:
        named = {path.name for path in FILES if row.name in path.read_text(encoding="utf-8").casefold()}
        protocol = {"urls.py"} if row.name == row.protocol else set()  # it chooses the driver of a protocol
        assert named <= {"dialects.py", f"{row.protocol}.py"} | protocol, f"{row.title} has a row; no room names it"


def test_every_reason_for_laziness_is_one() -> None:
    for name, (target, _) in LAZY.items():
        functions = [n for n in ast.walk(tree(ROOT / name)) if isinstance(n, ast.FunctionDef)]
        assert any(found.startswith(target) for function in functions for found in imported(function)), name


@every_file
def test_budgets(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= FILE_LINES, f"{lines} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60 or node.name == "register_routes", f"{node.name} has {length} lines"


def test_a_file_of_tests_is_read_in_one_go_too() -> None:
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in (ROOT / "tests").rglob("*.py")}
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > FILE_LINES} == {}


def test_size() -> None:
    """The whole stays small enough to be read; a higher number here is a decision."""
    lines = sum(path.read_text(encoding="utf-8").count("\n") for path in FILES)
    assert lines <= 55_053, f"{lines} lines: delete what is not needed; what brings something new raises the number"


def test_project_speaks_of_the_product_only() -> None:
    pattern = re.compile(r"/work/|\.\./shared|issue #\d|pythonhosted|pypi\.org|this session", re.IGNORECASE)
    suffixes = {".py", ".md", ".toml", ".yml", ".yaml", ".html", ".js", ".css", ".sh", ".lock", ""}
    skipped = {".git", ".venv", ".sql-synthesizer", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache"}
    skipped |= {".hypothesis", "vendor", "dist"}
    for path in ROOT.rglob("*"):
        if path.is_file() and path.suffix in suffixes and not skipped & set(path.relative_to(ROOT).parts):
            if path == Path(__file__) or path.name == "uv.lock":
                continue
            found = pattern.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert found is None, f"{path.relative_to(ROOT)}: {found}"
